"""`radnet task prepare`: a converter, the split, the build."""

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radnet.console import say, warn
from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.files import explained_disk_errors, require_new_directory
from radnet.scans.archive import Inventory, Reject
from radnet.scans.keys import KeyedHash
from radnet.shards.build import build_inventory
from radnet.shards.manifest import Manifest, require_set_or_nothing
from radnet.shards.settings import BuildSettings
from radnet.shards.shard_set import ShardSet
from radnet.shards.splits import SPLITS
from radnet.shards.subset import subset_set
from radnet.transfer.prepare.contract import COMMON, PUBLIC_SECRET, Conversion, Converter, PrepareOptions, Request
from radnet.transfer.prepare.registry import converter_named
from radnet.transfer.prepare.splits import Leaks, Settled, settle_split
from radnet.transfer.prepare.unpack import unpacked
from radnet.transfer.tasks import PREPARED, Task, task_items

MOST_NAMES = 8


@dataclass(frozen=True)
class PrepareReport:
    """What a preparation did.

    Attributes:
        task: The task, with the classes of the set.
        manifest: The manifest of the set.
        rejects: Everything that was not used, with paths; for the terminal.
        counts: Class -> split -> images with it.
        own_split: Whether the split is that of the data set.
        leaks: What leaks between the sides; None where the keys decide.
        same_pixels: Images that occur on more than one side, pixel by pixel.
    """

    task: Task
    manifest: Manifest
    rejects: tuple[Reject, ...]
    counts: Mapping[str, Mapping[str, int]]
    own_split: bool
    leaks: Leaks | None
    same_pixels: int


class NothingPreparedError(RadnetError):
    """A source of which nothing was used.

    Args:
        source: The source.
        rejects: Why, file by file.
    """

    def __init__(self, source: Path, rejects: tuple[Reject, ...]) -> None:
        self.rejects = rejects
        counts = Counter(reject.reason for reject in rejects)
        detail = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
        super().__init__(
            f"No image of this source can be used ({detail or 'there is none'})",
            file=source,
            fix="See the table of what was not used",
        )


def prepare_task(
    task: Task,
    source: Path,
    out: Path,
    hasher: KeyedHash | None = None,
    options: PrepareOptions | None = None,
    *,
    jobs: int = 1,
    overwrite: bool = False,
) -> PrepareReport:
    """Convert a download to the shard set of a task.

    Args:
        task: The task; it names its converter.
        source: Directory of the download, or a zip or tar file of it.
        out: Directory of the set; it appears when the set is complete.
        hasher: Keyed hash for patients, groups and files; None is for data sets that are public.
        options: The options.
        jobs: Worker processes.
        overwrite: Replace an existing set.

    Raises:
        UsageError: A path or option is wrong, or the source is not what the task is made of.
        RadnetError: Nothing could be used, the disk is full, or a worker died.
    """
    options = options or PrepareOptions()
    if task.prepare is None:
        raise UsageError(f"The task {task.name!r} has no converter", fix="radnet shards build makes its set")
    converter = converter_named(task.prepare.converter)
    _require_taken(converter, options, task)
    if hasher is None:
        if not converter.public:
            raise UsageError(f"The task {task.name!r} is made of data of your own: its keys need a secret")
        hasher = PUBLIC_SECRET
    source, out = source.absolute(), out.absolute()
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UsageError("The set would lie inside its source", file=out, fix="Choose an output outside of it")
    require_new_directory(out, overwrite=overwrite)
    require_set_or_nothing(out)
    with _staging(out) as staging, unpacked(source, staging / "source", converter.files) as directory:
        (staging / "images").mkdir()
        request = Request(task, directory, staging / "images", options, hasher, jobs)
        conversion = converter.convert(request)
        for note in conversion.notes:
            say(note)
        if not isinstance(conversion.inventory, Inventory):
            return _selected(task, request, conversion, out, overwrite)
        return _built(task, request, conversion, conversion.inventory, out, overwrite)


def is_public(task: Task) -> bool:
    """Whether the data of a task are public, so that preparing them needs no secret."""
    return task.prepare is not None and converter_named(task.prepare.converter).public


def _built(
    task: Task, request: Request, conversion: Conversion, inventory: Inventory, out: Path, overwrite: bool
) -> PrepareReport:
    options = request.options
    if not inventory.series:
        raise NothingPreparedError(request.source, inventory.rejects)
    settled = settle_split(inventory, options)
    for note in settled.notes:
        say(note)
    if settled.leaks:
        fix = "they were left out" if settled.leaks.left_out else "--drop-leaks leaves them out of train and val"
        warn(f"{settled.leaks.sentence()}; {fix}")
    settings = BuildSettings(
        split_fractions=options.split_fractions,
        shard_bytes=options.shard_bytes,
        modalities=conversion.modalities,
        size=options.size,
        # the sides of an own split stay as published; a repeat within them is part of the published set
        keep_duplicates=settled.own,
        keep_air=conversion.kind != "segment" and conversion.modalities != ("CT",),
    )
    task = task.with_classes(conversion.kind, conversion.classes)
    built = build_inventory(
        settled.inventory,
        request.source,
        out,
        request.hasher,
        settings,
        about=_about(task, settled, options),
        jobs=request.jobs,
        overwrite=overwrite,
    )
    shards = ShardSet.open(out)
    counts = class_counts(task, shards)
    _warn_of_missing_classes(counts)
    return PrepareReport(task, built.manifest, built.rejects, counts, settled.own, settled.leaks, built.crossing_splits)


def _selected(task: Task, request: Request, conversion: Conversion, out: Path, overwrite: bool) -> PrepareReport:
    """A part of a set that is there already, copied."""
    selection = conversion.inventory
    if isinstance(selection, Inventory):
        raise TypeError("an inventory is built, not copied")
    manifest = subset_set(request.source, out, selection, shard_bytes=request.options.shard_bytes, overwrite=overwrite)
    counts = class_counts(task, ShardSet.open(out))
    _warn_of_missing_classes(counts)
    return PrepareReport(task, manifest, (), counts, False, None, 0)


def _about(task: Task, settled: Settled, options: PrepareOptions) -> dict[str, Any]:
    """What the manifest's settings say of the preparation."""
    split: dict[str, Any] = {"kind": "own" if settled.own else "keyed"}
    if settled.own:
        split["val_drawn"] = options.val_share if settled.val_drawn else None
    if settled.leaks is not None:
        split["leaks"] = settled.leaks.describe()
    return {PREPARED: {"task": task.name, "kind": task.kind, "classes": list(task.classes), "split": split}}


def class_counts(task: Task, shards: ShardSet) -> dict[str, dict[str, int]]:
    """Class -> split -> images with it; of several labels each counts."""
    if task.kind == "segment":
        return {}
    items = task_items(task, shards, needs=())
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for number, name in enumerate(task.classes):
        has = items.target[:, number] == 1 if task.kind == "multi" else items.target == number
        for split in SPLITS:
            counts[name][split] = int((has & (items.split == split)).sum())
    return dict(counts)


def _warn_of_missing_classes(counts: Mapping[str, Mapping[str, int]]) -> None:
    nowhere = [name for name, of_class in counts.items() if not any(of_class.values())]
    if nowhere:
        warn(f"the set holds no image of {_listed(nowhere)}")
    for split in SPLITS:
        absent = [name for name, of_class in counts.items() if not of_class[split] and name not in set(nowhere)]
        if absent and any(of_class[split] for of_class in counts.values()):
            warn(f"the {split} split holds no image of {_listed(absent)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{len(names)} class{'es' if len(names) > 1 else ''}: {', '.join(names[:MOST_NAMES])}{more}"


def _require_taken(converter: Converter, options: PrepareOptions, task: Task) -> None:
    """Refuse an option that the converter would silently ignore."""
    known = COMMON | converter.takes
    for name in sorted(options.model_fields_set - known):
        raise UsageError(
            f"The task {task.name!r} has no such option",
            seen="--" + name.replace("_", "-"),
            fix=did_you_mean(name, known).replace("_", "-"),
        )


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A directory beside the output for what is unpacked or decoded on the way."""
    with explained_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".staging", dir=out.parent))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
