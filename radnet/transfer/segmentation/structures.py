"""What the numbers of a mask mean to a task: structures as unions of labels.

LiTS names liver 1 and tumour 2, and scores "liver" as both together; BraTS scores three nested regions that are unions
of its labels. So a task says for each structure which labels belong to it, and each pixel may be in several.

Shape legend: K structures, Y rows, X columns.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from radnet.errors import RadnetError
from radnet.scans.structures import MOST_BITS

LARGEST = 1 << 16


class MaskSettings(BaseModel):
    """The `masks` part of a task.

    Attributes:
        structures: Name -> labels whose union it is; the order is that of the classes.
        other_labels: What a label means that belongs to no structure: "refuse", or "background" where masks are known
            to hold more than the task asks for.
        sequences: Values of the index column `label_sequence`, one a channel: the image is the sequences of a study
            side by side. Empty: every series is an image of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    structures: dict[str, tuple[int, ...]] = Field(min_length=1)
    other_labels: Literal["refuse", "background"] = "refuse"
    sequences: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _labels_can_be(self) -> "MaskSettings":
        for name, labels in self.structures.items():
            if not labels or min(labels) < 1 or max(labels) >= LARGEST:
                raise ValueError(f"structure {name!r} needs labels from 1 to {LARGEST - 1}, not {list(labels)}")
        if len(set(self.sequences)) < len(self.sequences):
            raise ValueError(f"a sequence is named twice: {list(self.sequences)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The structures, in the order of their numbers 0 to K - 1."""
        return tuple(self.structures)

    def of_mask(self, mask: NDArray[Any], *, bits: bool) -> NDArray[np.bool_]:
        """Which pixels belong to each structure.

        Args:
            mask: uint8 or uint16, (Y, X), labels, or bit sets of them.
            bits: Whether it holds bit sets (see `radnet.scans.structures`).

        Returns:
            bool, (K, Y, X).
        """
        if bits:
            wanted = [
                np.uint16(sum(1 << (label - 1) for label in labels if label <= MOST_BITS))
                for labels in self.structures.values()
            ]
            return np.stack([(mask.astype(np.uint16) & one) != 0 for one in wanted])
        table = np.zeros((len(self.structures), int(np.iinfo(mask.dtype).max) + 1), bool)
        for number, labels in enumerate(self.structures.values()):
            table[number, [label for label in labels if label < table.shape[1]]] = True
        return np.asarray(table[:, mask])

    def unknown(self, mask: NDArray[Any], *, bits: bool) -> set[int]:
        """Labels of a mask that belong to no structure; empty where others are background."""
        if self.other_labels == "background":
            return set()
        values = np.flatnonzero(np.bincount(mask.ravel()))
        if bits:
            every = int(np.bitwise_or.reduce(values)) if len(values) else 0
            values = np.array([bit + 1 for bit in range(MOST_BITS) if every >> bit & 1], dtype=np.int64)
        known = {0, *(label for labels in self.structures.values() for label in labels)}
        return {int(value) for value in values} - known

    def require_known(self, found: set[int], where: str) -> None:
        """Refuse labels that the task does not name.

        Raises:
            RadnetError: There are some.
        """
        if found:
            known = sorted({label for labels in self.structures.values() for label in labels})
            raise RadnetError(
                f"A mask of {where} holds labels outside the task's structures, whose labels are {known}",
                seen=sorted(found),
                fix="Add them to a structure of task.masks.structures, or set task.masks.other_labels=background",
            )
