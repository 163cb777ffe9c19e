"""Encoded series on their way from the workers to the one writer: files in the spool, never whole in memory.

A part is a file of samples one after another: a line of JSON (row, sizes of image and mask), then the bytes of image
and mask. It lives for minutes and is read by the build that ordered it only.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from radnet.errors import RadnetError
from radnet.scans.archive import Reject, SeriesSource, UnreadableSeries, read_series
from radnet.shards.rows import AIR_ONLY, samples_of
from radnet.shards.sample import Sample
from radnet.shards.settings import BuildSettings

AIR_SENTENCE = "Slices without any tissue: air, at most a part of the couch, or one value all over"


@dataclass(frozen=True)
class SeriesReport:
    """What became of one series.

    Attributes:
        samples: Samples of it in the part.
        rejects: What of it was not used.
        left_out: Reason -> slices that were read and are not in the part.
        removed_tags: Keyword -> files that held the element, whose value did not enter the scan.
    """

    samples: int
    rejects: tuple[Reject, ...]
    left_out: Mapping[str, int]
    removed_tags: Mapping[str, int]


@dataclass(frozen=True)
class Part:
    """What a worker gives back: a file and what is in it.

    Attributes:
        path: The file.
        series: One report a series, in the order of the task.
    """

    path: Path
    series: tuple[SeriesReport, ...]


def encode_part(sources: Sequence[SeriesSource], settings: BuildSettings, path: Path) -> Part:
    """Read and encode series, one after another; what a worker does.

    Args:
        sources: The series.
        settings: What shapes the set.
        path: The file to write.

    Raises:
        OSError: The disk is full.
    """
    with path.open("wb") as file:
        return Part(path, tuple(_encode_series(source, settings, file) for source in sources))


def read_part(part: Part) -> Iterator[tuple[SeriesReport, Iterator[Sample]]]:
    """The series of a part with their samples; the samples of one must be taken before the next one's.

    Raises:
        RadnetError: The file is not what the worker wrote.
    """
    with part.path.open("rb") as file:
        for report in part.series:
            yield report, _samples(file, report.samples, part.path)


def _encode_series(source: SeriesSource, settings: BuildSettings, file: BinaryIO) -> SeriesReport:
    try:
        reading = read_series(source)
    except UnreadableSeries as error:
        return SeriesReport(0, error.rejects, {}, {})
    rejects = reading.rejects
    samples, left_out = 0, Counter[str]()
    for item in samples_of(reading.scan, settings):
        if isinstance(item, str):
            left_out[item] += 1
            continue
        sizes = {"image": len(item.image), "mask": None if item.mask is None else len(item.mask)}
        file.write(json.dumps({"row": item.row, **sizes}).encode() + b"\n")
        file.write(item.image)
        file.write(item.mask or b"")
        samples += 1
    if left_out[AIR_ONLY]:
        rejects = (*rejects, source.left_out(AIR_ONLY, AIR_SENTENCE, left_out[AIR_ONLY]))
    return SeriesReport(samples, rejects, dict(left_out), reading.removed_tags)


def _samples(file: BinaryIO, count: int, path: Path) -> Iterator[Sample]:
    for _ in range(count):
        try:
            head = json.loads(file.readline())
        except ValueError as error:
            raise RadnetError("A file of the spool was cut or changed by something else", file=path) from error
        image, mask = file.read(head["image"]), head["mask"] and file.read(head["mask"])
        if len(image) != head["image"] or (mask is not None and len(mask) != head["mask"]):
            raise RadnetError("A file of the spool was cut by something else", file=path, fix="Build again")
        yield Sample(image, mask, head["row"])
