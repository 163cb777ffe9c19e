"""What a converter of downloads takes and gives back.

A converter knows the layout of one download and nothing else. It says which files are images (or volumes), with which
labels, of which patient and on which side of the split that the data came with. What follows is the same for all of
them: `radnet.transfer.prepare.run` settles the split, looks for leaks and builds the set as `radnet shards build` does,
so keys, rejects, duplicates and resuming are those of every set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from radnet.scans.archive import Inventory
from radnet.scans.keys import KeyedHash
from radnet.shards.sample import DEFAULT_SHARD_BYTES
from radnet.shards.splits import DEFAULT_FRACTIONS
from radnet.shards.subset import Selection
from radnet.transfer.tasks import Task

SplitChoice = Literal["auto", "own", "keyed"]


class PrepareOptions(BaseModel):
    """The options of `radnet task prepare`. Those of `COMMON` are for all converters, the rest for some.

    Attributes:
        split: "own" keeps the split that the data came with, "keyed" draws one by the hash of the patient or group,
            "auto" takes the own one where it has a training and a test side.
        split_fractions: Shares of train, val and test for "keyed".
        val_share: Share of the training groups that become val where the own split has none.
        drop_leaks: Leave out what is in train or val and, by group or by content, in test as well (or in train and
            val).
        size: Longer side in pixels to which larger images are averaged down; None keeps every size.
        shard_bytes: Largest size of a shard's file.
        csv: Table of images; default `labels.csv` of the source, where there is one.
        path_column: Its column of paths, relative to the source.
        label_columns: Its columns of labels: one of class names, or several of 0 and 1.
        group_column: Its column of patients or groups.
        split_column: Its column of sides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: SplitChoice = "auto"
    split_fractions: tuple[float, float, float] = DEFAULT_FRACTIONS
    val_share: float = Field(default=0.1, ge=0, lt=1)
    drop_leaks: bool = False
    size: int | None = None
    shard_bytes: int = DEFAULT_SHARD_BYTES
    csv: Path | None = None
    path_column: str | None = None
    label_columns: tuple[str, ...] = ()
    group_column: str | None = None
    split_column: str | None = None


PUBLIC_SECRET = KeyedHash(b"radnet: public data sets need no secret")
"""In place of a secret where the data are public."""
COMMON = frozenset({"split", "split_fractions", "val_share", "drop_leaks", "size", "shard_bytes"})
"""Options that the shared path understands, so that no converter need."""


@dataclass(frozen=True)
class Request:
    """One call of a converter.

    Attributes:
        task: The task to prepare a set for.
        source: Directory of the download; of a zip or tar file what was in it. Absolute.
        staging: An empty directory for images that are in no file of their own; it is gone when the set is built.
        options: The options; the common ones are no business of a converter.
        hasher: Makes the keys.
        jobs: Processes that may read headers.
    """

    task: Task
    source: Path
    staging: Path
    options: PrepareOptions
    hasher: KeyedHash
    jobs: int = 1


@dataclass(frozen=True)
class Conversion:
    """What a converter found.

    Attributes:
        inventory: The series, each with labels (and mask), patient key and, where the data came with a split, `split`;
            and everything that is not used. `images.listed_images` makes one of a list of pictures,
            `radnet.scans.archive.take_inventory` one of volumes. A `Selection` instead takes a part of a shard set
            that `source` is.
        modalities: Which modalities the series are of.
        kind: What the labels are.
        classes: The classes in the order of their numbers, where the task leaves them to the set.
        notes: What a person should know, a sentence each.
    """

    inventory: Inventory | Selection
    modalities: tuple[str, ...]
    kind: Literal["single", "multi", "segment"] = "single"
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Converter(Protocol):
    """Knows the layout of one download; a subclass says what differs from the defaults.

    Attributes:
        takes: Names of the options it understands besides `COMMON`; a call with others is refused.
        public: Whether anybody may download the data, patients' pseudonyms and all. Then the keys need no secret, and
            every house that prepares the data gets the same set, to the hash: their results can be compared.
        files: Endings of files that may stand in place of a directory and are read as they are.
    """

    takes: ClassVar[frozenset[str]] = frozenset()
    public: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ()

    def convert(self, request: Request) -> Conversion:
        """Find the images of a download and what is said of them.

        Raises:
            UsageError: The source is not this download: the message names what was expected and what is there.
        """
