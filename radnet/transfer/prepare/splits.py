"""The split of a prepared set, and what leaks between its sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from radnet.console import progress
from radnet.errors import UsageError
from radnet.scans.archive import Inventory, Reject, SeriesSource
from radnet.shards.splits import SPLITS, split_of
from radnet.transfer.prepare.contract import PrepareOptions

LEAK, NO_SIDE = "leak", "no_side"
GLIMPSE_BYTES = 4096
PRECEDENCE = {"test": 0, "val": 1, "train": 2}
"""Whose side is kept where one must give way: the test set stays what its makers published."""


@dataclass(frozen=True)
class Leaks:
    """What lies on two sides of a split.

    Attributes:
        groups: Patients or groups on two or three sides.
        group_images: Images of these groups.
        files: Contents (equal bytes) that occur on two or three sides.
        by_sides: "train+test" -> groups on both.
        left_out: Images that were left out for it, where that was asked for.
    """

    groups: int = 0
    group_images: int = 0
    files: int = 0
    by_sides: tuple[tuple[str, int], ...] = ()
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.groups or self.files)

    def describe(self) -> dict[str, Any]:
        """As JSON values for the manifest."""
        return {
            "groups": self.groups,
            "group_images": self.group_images,
            "files": self.files,
            "by_sides": dict(self.by_sides),
            "left_out": self.left_out,
            "groups_kept": 0 if self.left_out else self.groups,
        }

    def sentence(self) -> str:
        """For a warning."""
        sides = ", ".join(f"{pair} {count}" for pair, count in self.by_sides)
        return (
            f"the split that the data came with leaks: {self.groups} groups with {self.group_images} images are on "
            f"more than one side{f' ({sides})' if sides else ''}, {self.files} files lie byte by byte on several sides"
        )


@dataclass(frozen=True)
class Settled:
    """An inventory whose split is decided.

    Attributes:
        inventory: Its series carry `split` where the own split is kept, and none otherwise.
        own: Whether the own split is kept.
        leaks: What leaks; None for a split by key, which cannot.
        val_drawn: Whether the validation side was drawn from the training side.
        notes: What a person should know, a sentence each.
    """

    inventory: Inventory
    own: bool
    leaks: Leaks | None
    val_drawn: bool
    notes: tuple[str, ...] = ()


def settle_split(inventory: Inventory, options: PrepareOptions) -> Settled:
    """Keep the own split or let the keys decide.

    Args:
        inventory: As a converter gave it.
        options: What the user asked for.

    Raises:
        UsageError: The own split is asked for and there is none, or a side has another name than it may.
    """
    series = inventory.series
    sided = [source for source in series if source.split is not None]
    for source in sided:
        if source.split not in SPLITS:
            raise UsageError("A side of a split is train, val or test", seen=source.split, fix="Correct the table")
    if options.split == "own" and not sided:
        raise UsageError("This data set came without a split of its own", seen="own", fix="Use --split keyed")
    whole = {"train", "test"} <= {source.split for source in sided}
    if options.split == "keyed" or not sided or (options.split == "auto" and not whole):
        keyed = replace(inventory, series=tuple(replace(source, split=None) for source in series))
        note = (
            "the split that the data came with lacks a training or test side, so the keys decide (--split own keeps it)"
        )
        return Settled(keyed, False, None, False, (note,) if sided and options.split == "auto" else ())
    rejects = [*inventory.rejects]
    for source in series:
        if source.split is None:
            rejects += source.unreadable(NO_SIDE, "The split of the data set does not say on which side it is").rejects
    val_drawn = not any(source.split == "val" for source in sided) and options.val_share > 0
    if val_drawn:
        sided = [_with_val(source, options.val_share) for source in sided]
    leaks = find_leaks(sided)
    if leaks and options.drop_leaks:
        sided, left = _without_leaks(sided)
        rejects += left
        leaks = replace(leaks, left_out=len(left))
    return Settled(replace(inventory, series=tuple(sided), rejects=tuple(rejects)), True, leaks, val_drawn)


def find_leaks(series: Sequence[SeriesSource]) -> Leaks:
    """What lies on two sides of the split that the series carry."""
    sides: dict[str, set[str]] = defaultdict(set)
    for source in series:
        sides[source.patient_key].add(str(source.split))
    groups = {patient for patient, of_patient in sides.items() if len(of_patient) > 1}
    pairs = Counter(
        "+".join(pair)
        for patient in groups
        for pair in combinations([split for split in SPLITS if split in sides[patient]], 2)
    )
    return Leaks(
        groups=len(groups),
        group_images=sum(source.patient_key in groups for source in series),
        files=sum(1 for _ in _same_files(series)),
        by_sides=tuple(sorted(pairs.items())),
    )


def _with_val(source: SeriesSource, share: float) -> SeriesSource:
    """A part of the training groups, by the hash of their keys, becomes val."""
    if source.split == "train" and split_of(source.patient_key, (1 - share, share, 0.0)) == "val":
        return replace(source, split="val")
    return source


def _without_leaks(series: Sequence[SeriesSource]) -> tuple[list[SeriesSource], list[Reject]]:
    """Each group, and each content, on one side only: test goes before val, val before train."""
    kept_on: dict[str, str] = {}
    for source in series:
        side = str(source.split)
        best = kept_on.get(source.patient_key, side)
        kept_on[source.patient_key] = min(best, side, key=PRECEDENCE.__getitem__)
    repeated: set[str] = set()
    for same in _same_files(series):
        best = min((str(source.split) for source in same), key=PRECEDENCE.__getitem__)
        repeated.update(source.series_key for source in same if source.split != best)
    kept: list[SeriesSource] = []
    rejects: list[Reject] = []
    for source in series:
        if source.split != kept_on[source.patient_key] or source.series_key in repeated:
            rejects += source.unreadable(LEAK, "Its group, or the same file, is on another side of the split").rejects
        else:
            kept.append(source)
    return kept, rejects


def _same_files(series: Sequence[SeriesSource]) -> Iterator[list[SeriesSource]]:
    """Series of one file whose bytes are equal, two or more at a time, where they are on several sides.

    Of files of one size a few kilobytes are read; all bytes only of those that agree in them.
    """
    single = [source for source in series if len(source.files) == 1]
    with progress("looking for leaks (files)", len(single)) as meter:
        by_size: dict[int, list[SeriesSource]] = defaultdict(list)
        for source in single:
            by_size[source.files[0].stat().st_size].append(source)
        for same_size in by_size.values():
            for alike in _apart(same_size, _glimpse):
                yield from _apart(alike, _all_bytes)
            meter.advance(len(same_size))


def _apart(series: list[SeriesSource], key: Callable[[Path], bytes]) -> list[list[SeriesSource]]:
    """The groups of equal keys that lie on several sides; keys are taken only where there can be such a group."""
    if len({source.split for source in series}) < 2:
        return []
    groups: dict[bytes, list[SeriesSource]] = defaultdict(list)
    for source in series:
        groups[key(source.files[0])].append(source)
    return [group for group in groups.values() if len({source.split for source in group}) > 1]


def _glimpse(path: Path) -> bytes:
    """A few kilobytes from the middle of a file, which differ between pictures as its head may not."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size // 2 - GLIMPSE_BYTES // 2, 0))
        return file.read(GLIMPSE_BYTES)


def _all_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
