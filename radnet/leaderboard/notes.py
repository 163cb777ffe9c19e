"""What a reader must know before believing a row: sentences below a table."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from radnet.records import ResultRecord

if TYPE_CHECKING:
    from radnet.leaderboard.tables import Row, Table

FEW_PATIENTS = 20
"""Below this many test patients a bootstrap interval must be read with care."""


def notes_of(table: "Table") -> Iterator[str]:
    """The sentences of one table, in the order of its rows."""
    available = [row for row in table.rows if row.available]
    yield from _on_test_set(available)
    if any(len(row.records) > 1 for row in available):
        yield (
            "Rows of several seeds show the mean of the seeds' point estimates, their range, and the range that the "
            "seeds' 95 % intervals span; they carry no interval for the mean."
        )
    for row in table.rows:
        yield from _on_row(row, table.task.metric)


def _on_test_set(rows: list["Row"]) -> Iterator[str]:
    tested = {
        (record.counts.test_items, record.counts.test_patients)
        for row in rows
        for record in row.records
        if record.counts is not None
    }
    if len(tested) > 1:
        yield "Not all rows were scored on equally many test items and patients; do not compare those that differ."
    fewest = min((patients for _, patients in tested), default=FEW_PATIENTS)
    if fewest < FEW_PATIENTS:
        yield (
            f"The test split has {fewest} patients. With so few, intervals are rough and tend to be too narrow, and "
            "small differences cannot be seen."
        )


def _on_row(row: "Row", primary: str) -> Iterator[str]:
    if not row.available:
        for message in sorted({record.message for record in row.records}):
            yield f"{row.label} is unavailable: {message}"
        return
    value = row.metrics[primary]
    if value.low == value.high:
        yield (
            f"{row.label}: every resample gave the same {primary}, so the interval has no width. That is no "
            "certainty: the bootstrap cannot see errors that did not occur in this test split."
        )
    for name, metric in row.metrics.items():
        if metric.undefined > 0:
            yield (
                f"{row.label}: {name} was undefined on {100 * metric.undefined:.1f} % of the resamples (too few "
                "patients of a class), which were left out."
            )
    seen = seen_in_pretraining(row.records)
    if seen:
        yield f"{row.label}: {seen}, so its score may be too high."
    stopped = [record.seed for record in row.records if _stopped_early(record.selected)]
    if stopped:
        yield f"{row.label}: the chosen fit had not converged (seed {', '.join(map(str, stopped))})."


def seen_in_pretraining(records: Iterable[ResultRecord]) -> str:
    """What pretraining has seen of a row's test set, by pixels and by patient, in words; empty for nothing.

    Sets that were stored at different sizes share no pixels, so patients count even where no item was found, and what
    was found counts even where another pretraining set was not at hand.
    """
    overlaps = [record.overlap for record in records if record.overlap is not None]
    counts = {
        "item": max((overlap.shared_items for overlap in overlaps), default=0),
        "patient": max((overlap.shared_patients or 0 for overlap in overlaps), default=0),
    }
    found = [f"{count} test {what}{'s' if count > 1 else ''}" for what, count in counts.items() if count]
    verb = "was" if sum(counts.values()) == 1 else "were"
    return f"{' and '.join(found)} {verb} in its pretraining set" if found else ""


def _stopped_early(selected: Mapping[str, object]) -> bool:
    unfinished = selected.get("not_converged")
    return isinstance(unfinished, list) and selected.get("C") in unfinished
