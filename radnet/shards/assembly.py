"""The one writer of a build: parts in, shards out, every closed shard a point from which a killed build goes on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from radnet.scans.archive import Reject, SeriesSource
from radnet.shards.manifest import ShardFile
from radnet.shards.parts import Part, SeriesReport, read_part
from radnet.shards.rows import DUPLICATE
from radnet.shards.sample import Sample
from radnet.shards.seen import SeenPixels
from radnet.shards.settings import BuildSettings
from radnet.shards.tables import rows_of
from radnet.shards.workplace import Workplace
from radnet.shards.writer import ShardWriter, fragment_path

DUPLICATE_SENTENCE = "Slices whose pixels are stored already, from another place of the archive"
LEAST_DETAIL = 0.05
"""Encoded bytes a pixel below which a slice is as good as empty, and the same everywhere."""


class Assembly:
    """Takes encoded parts in order and fills shards; goes on behind the last closed shard of an earlier try.

    Args:
        place: Where the build works.
        name: Name of the set.
        settings: What shapes the set.
        series: All series of the set, in order.

    Attributes:
        writer: The writer; it knows the shards.
        next_series: Number of the first series that is still to be encoded.
        rejects: What was not used, of all series so far.
        dropped_slices: Reason -> slices that were read and are not stored.
        removed_tags: Keyword -> files.
        crossing_splits: Slices that occur in more than one split, pixel by pixel.
    """

    def __init__(self, place: Workplace, name: str, settings: BuildSettings, series: Sequence[SeriesSource]) -> None:
        self._place, self._settings, self._series = place, settings, series
        steps = place.steps()
        finished = [ShardFile.model_validate(step["shard"]) for step in steps]
        self.writer = ShardWriter(
            place.path,
            name,
            place.journal,
            settings.shard_bytes,
            finished=finished,
            on_shard=self._write_step,
        )
        self.rejects: list[Reject] = []
        self.dropped_slices: Counter[str] = Counter()
        self.removed_tags: Counter[str] = Counter()
        self.crossing_splits = self.next_series = self._next_sample = self._duplicates = self._rejects_written = 0
        if steps:
            self._go_on(steps)
        self._seen = SeenPixels()
        for row in rows_of(fragment_path(place.journal, number) for number in range(len(finished))):
            self._seen.add(row["content_hash"], row["split"])

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.writer.__exit__(kind, error, traceback)
        self._seen.__exit__(kind, error, traceback)

    @property
    def samples(self) -> int:
        """Samples so far."""
        return len(self.writer)

    def add_part(self, part: Part) -> Iterator[SeriesReport]:
        """Write the samples of a part; gives each of its series when it is done."""
        for report, samples in read_part(part):
            skip = self._next_sample  # the samples of this series that lie in closed shards
            for number, sample in enumerate(samples):
                if number >= skip:
                    self._next_sample = number
                    self._add(sample)
            self._finish_series(report)
            yield report

    def close(self) -> None:
        """Finish the last shard."""
        self.writer.close()

    def _add(self, sample: Sample) -> None:
        row = sample.row
        first_split = self._seen.add(row["content_hash"], row["split"])
        # a scan with a mask is a volume that is scored as a whole
        if first_split is not None and sample.mask is None and not self._settings.keep_duplicates:
            self._duplicates += 1
        else:
            self.writer.add(sample)
        # plain air is the same everywhere
        detailed = len(sample.image) > LEAST_DETAIL * row["rows"] * row["columns"]
        if first_split is not None and first_split != row["split"] and detailed:
            self.crossing_splits += 1

    def _finish_series(self, report: SeriesReport) -> None:
        source = self._series[self.next_series]
        self.rejects += report.rejects
        self.dropped_slices.update(report.left_out)
        self.removed_tags.update(report.removed_tags)
        if self._duplicates:
            self.rejects.append(source.left_out(DUPLICATE, DUPLICATE_SENTENCE, self._duplicates))
            self.dropped_slices[DUPLICATE] += self._duplicates
        self._duplicates = self._next_sample = 0
        self.next_series += 1

    def _write_step(self, shard: ShardFile) -> None:
        """A shard is closed, just before the sample at (next_series, _next_sample) is written."""
        new = self.rejects[self._rejects_written :]
        self._rejects_written = len(self.rejects)
        step = {
            "shard": shard.model_dump(),
            "series": self.next_series,
            "sample": self._next_sample,
            "duplicates": self._duplicates,
            "crossing_splits": self.crossing_splits,
            "dropped_slices": self.dropped_slices,
            "removed_tags": self.removed_tags,
            "rejects": [{**asdict(reject), "path": ""} for reject in new],  # paths may identify: see _go_on
        }
        self._place.add_step(len(self.writer.shards) - 1, step)

    def _go_on(self, steps: Sequence[dict[str, Any]]) -> None:
        last = steps[-1]
        self.next_series, self._next_sample = last["series"], last["sample"]
        self._duplicates, self.crossing_splits = last["duplicates"], last["crossing_splits"]
        self.dropped_slices, self.removed_tags = Counter(last["dropped_slices"]), Counter(last["removed_tags"])
        every_file = ((source, number) for source in self._series for number in range(len(source.files)))
        paths = {source.file_keys[number]: source.reject_file(number, "", "").path for source, number in every_file}
        found = [reject for step in steps for reject in step["rejects"]]
        self.rejects = [Reject(**{**reject, "path": paths.get(reject["file_key"], "")}) for reject in found]
        self._rejects_written = len(self.rejects)
