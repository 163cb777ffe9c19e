"""Whether test images were in the pretraining set, found by the hashes of their pixels and the keys of patients.

A model's provenance names the content of every set it was pretrained on, those of its initial weights too. Such a set
is looked for among the sets that are at hand, and its training slices are held against the test slices. Equal hashes
mean equal pixels: a slice that was resized, cropped or compressed otherwise is not found, so sets that were stored at
different sizes are compared by patient alone. Patient keys of two secrets have nothing in common, so where the
manifests say that the secrets differ, pixels alone are compared, and nothing where sizes differ as well. What cannot be
compared is said, never assumed.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.models import LoadedModel, ModelName
from radnet.records import Overlap
from radnet.shards import ShardSet
from radnet.shards.manifest import MANIFEST, read_manifest
from radnet.transfer.model_facts import ModelFacts
from radnet.transfer.tasks import TaskItems

RUN_SETTINGS = "settings.json"
_COLUMNS = ["split", "content_hash", "patient_key"]


def overlap_with_test(
    model: LoadedModel | ModelFacts, shards: ShardSet, items: TaskItems, places: Sequence[Path] = ()
) -> Overlap:
    """What the pretraining sets of a model share with the test slices of a task.

    Args:
        model: The model; `data` names the content of its pretraining sets.
        shards: The labelled set.
        items: Its labelled slices.
        places: Shard sets, or directories of them, in which pretraining sets are looked for. The labelled set and
            what a run says it read are looked at anyway.
    """
    test = items.rows[items.side("test")]
    if model.arm == "random":
        return Overlap(checked=True, test_items=len(test), shared_patients=0, message="random weights: no pretraining")
    if not model.data:
        return Overlap(
            checked=False,
            test_items=len(test),
            message=f"the contents of the pretraining set are not known ({model.pretraining})",
        )
    known = _at_hand(model, shards, places)
    own = shards.manifest
    index = shards.index
    content = index["content_hash"].to_numpy()[test].astype(np.str_)
    patients = np.unique(index["patient_key"].to_numpy()[test].astype(np.str_))
    shared = np.zeros(len(test), dtype=bool)
    shared_patients: set[str] = set()
    looked_into: list[str] = []
    unsure = _Unsure()
    for wanted in dict.fromkeys(model.data):
        path = known.get(wanted)
        if path is None:
            unsure.missing.append(wanted[:12])
            continue
        seen, seen_patients = _trained_on(path, wanted)
        found = np.isin(content, seen)
        theirs = read_manifest(path)
        comparable = unsure.add(
            wanted[:12], other_size=theirs.slice_size != own.slice_size, other_secret=own.other_secret(theirs)
        )
        if comparable or found.any():
            looked_into.append(wanted)
        shared |= found
        shared_patients |= set(patients[np.isin(patients, seen_patients)].tolist())
    keys_tell = bool(looked_into) and not (unsure.by_pixel or unsure.nothing)
    return Overlap(
        checked=bool(looked_into) and not unsure.missing and not unsure.nothing,
        test_items=len(test),
        shared_items=int(shared.sum()),
        shared_patients=len(shared_patients) if keys_tell or shared_patients else None,
        sets=tuple(looked_into),
        message=unsure.words(bool(looked_into)),
    )


def made_up_overlap(
    known: Overlap | None, model: ModelFacts, shards: ShardSet, items: TaskItems, places: Sequence[Path] = ()
) -> Overlap | None:
    """What is known of the overlap of a finished cell, looked at again where more pretraining sets are at hand now.

    Args:
        known: What its record says; stays where less can be compared now.
        model: See `overlap_with_test`, as the rest.
        shards: The labelled set.
        items: Its labelled slices.
        places: Where pretraining sets are looked for.
    """
    if known is None or known.checked:
        return known
    if (set(model.data) - set(known.sets)).isdisjoint(_at_hand(model, shards, places)):
        return known
    now = overlap_with_test(model, shards, items, places)
    return now if set(known.sets) <= set(now.sets) else known


@dataclass
class _Unsure:
    """Pretraining sets, by the first digits of their content, of which not all can be known.

    Attributes:
        missing: Not at hand.
        by_patient: Stored at another size: pixels do not tell.
        by_pixel: Keyed with another secret: patient keys do not tell.
        nothing: Both.
    """

    missing: list[str] = field(default_factory=list)
    by_patient: list[str] = field(default_factory=list)
    by_pixel: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)

    def add(self, name: str, *, other_size: bool, other_secret: bool) -> bool:
        """Note what cannot be compared of a set; whether anything can."""
        if other_size and other_secret:
            self.nothing.append(name)
        elif other_size:
            self.by_patient.append(name)
        elif other_secret:
            self.by_pixel.append(name)
        return not (other_size and other_secret)

    def words(self, compared: bool) -> str:
        """What was compared, and what could not be."""
        said = []
        if compared:
            said.append("compared by the SHA-256 of pixels and by patient key, training slices against test slices")
        if self.by_patient:
            said.append(f"stored at another size, so only patient keys can tell: {', '.join(self.by_patient)}")
        if self.by_pixel:
            said.append(f"keyed with another secret, so only pixels can tell: {', '.join(self.by_pixel)}")
        if self.nothing:
            said.append(
                "stored at another size and keyed with another secret, so neither pixels nor patient keys can tell: "
                f"{', '.join(self.nothing)} (build the two sets with one secret)"
            )
        if self.missing:
            said.append(
                f"pretraining sets that are not at hand and were not compared: {', '.join(self.missing)} (name the "
                "directory that holds them as pretraining_sets=[DIRECTORY])"
            )
        return "; ".join(said)


def overlap_words(overlap: Overlap) -> str:
    """What is known of an overlap on one line."""
    if not overlap.checked and not overlap.sets:
        return f"overlap with pretraining not checked: {overlap.message}"
    share = 100 * overlap.shared_items / max(overlap.test_items, 1)
    images = f"{overlap.shared_items} of {overlap.test_items} test images ({share:.1f} %)"
    if overlap.shared_patients is None:
        found = f"{images} are in the pretraining set, of their patients nothing is known"
    else:
        found = f"{images} and {overlap.shared_patients} of their patients are in the pretraining set"
    return found if overlap.checked else f"{found}, as far as could be checked: {overlap.message}"


def _read_by_run(name: ModelName) -> Iterable[Path]:
    """Sets that a run directory says it trained on."""
    file = Path(name.value) / RUN_SETTINGS
    if name.scheme != "run" or not file.is_file():
        return []
    try:
        data = json.loads(file.read_text(encoding="utf-8"))["settings"]["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [Path(place) for place in ([data] if isinstance(data, str) else data) if "://" not in place]


def _at_hand(model: LoadedModel | ModelFacts, shards: ShardSet, places: Iterable[Path]) -> dict[str, Path]:
    """Content hash -> path of the sets that a model may have been pretrained on: see `overlap_with_test`."""
    return _sets_by_content([shards.path, *_read_by_run(model.name), *places])


def _sets_by_content(places: Iterable[Path]) -> dict[str, Path]:
    """Content hash -> path of the sets at these places or directly below them; what is no set is passed over."""
    found: dict[str, Path] = {}
    for place in places:
        for path in (place, *(file.parent for file in sorted(place.glob(f"*/{MANIFEST}")))):
            if (path / MANIFEST).is_file():
                try:
                    found.setdefault(read_manifest(path).content_hash(), path)
                except RadnetError:  # of another version: then it is one that is not at hand
                    continue
    return found


@lru_cache(maxsize=16)
def _trained_on(path: Path, content: str) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Content hashes and patient keys of the training slices of the set with this content, each sorted and unique."""
    manifest = read_manifest(path)
    if manifest.content_hash() != content:
        raise RadnetError(
            "A pretraining set has changed while it was looked at", file=path, fix="Run the command again"
        )
    table = pq.read_table(path / manifest.index.file, columns=_COLUMNS)
    table = table.filter(pc.equal(table["split"], "train"))
    hashes, patients = (
        np.unique(np.asarray(table[name].drop_null().to_numpy(zero_copy_only=False), dtype=np.str_))
        for name in _COLUMNS[1:]
    )
    return hashes, patients
