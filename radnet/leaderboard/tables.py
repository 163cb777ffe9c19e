"""From records to ranked tables: one for each task, manifest, protocol settings, fraction and condition.

Rows are compared within a table only, so never across different test sets or settings. Everything here depends on
the records alone: not on their order, the clock or the machine.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from radnet.leaderboard.comparisons import Comparison, compare
from radnet.leaderboard.notes import notes_of
from radnet.leaderboard.ranks import Stability, stabilities
from radnet.records import Condition, Interval, ModelCard, ProtocolCard, ResultRecord, TaskCard

BEST, TIED, LOWER = "best", "interval overlaps the best's", "lower"


@dataclass(frozen=True)
class Value:
    """A metric of one row, over the seeds of the row.

    Attributes:
        mean: Mean of the seeds' point estimates.
        low: Lowest lower end of the seeds' intervals; with one seed, the interval's own.
        high: Highest upper end.
        seed_low: Smallest point estimate.
        seed_high: Largest point estimate.
        seeds: Number of seeds.
        undefined: Largest share of resamples left out because the metric was undefined on them.
    """

    mean: float
    low: float
    high: float
    seed_low: float
    seed_high: float
    seeds: int
    undefined: float

    @classmethod
    def of(cls, intervals: Sequence[Interval]) -> "Value":
        """One value from the intervals of all seeds."""
        points = [interval.value for interval in intervals]
        return cls(
            mean=sum(sorted(points)) / len(points),
            low=min(interval.low for interval in intervals),
            high=max(interval.high for interval in intervals),
            seed_low=min(points),
            seed_high=max(points),
            seeds=len(points),
            undefined=max(interval.undefined for interval in intervals),
        )


@dataclass(frozen=True)
class Row:
    """One model in one table.

    Attributes:
        model: The model; of several seeds the one of the smallest.
        label: Its name, with the beginning of its weights' hash where two rows would have the same name.
        records: Its records, in the order of seeds.
        metrics: Metric name -> value. Empty when unavailable.
        differences: As in `ResultRecord.differences`.
        rank: 1 for the best; rows of equal value share a rank. None when unavailable.
        standing: `BEST`, `TIED` (its interval overlaps the best row's) or `LOWER`; empty when unavailable.
        stability: How the rank moves when patients are drawn again, None when unavailable.
        comparison: The row held against ImageNet, None for ImageNet itself and where there is no difference to it.
    """

    model: ModelCard
    label: str
    records: tuple[ResultRecord, ...]
    metrics: dict[str, Value]
    differences: dict[str, Value]
    rank: int | None = None
    standing: str = ""
    stability: Stability | None = None
    comparison: Comparison | None = None

    @property
    def available(self) -> bool:
        """Whether the row has numbers."""
        return bool(self.metrics)

    @property
    def synthetic(self) -> bool:
        """Whether the task or the pretraining is synthetic."""
        return any(record.model.synthetic or record.task.synthetic for record in self.records)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the row, ascending."""
        return tuple(sorted({record.seed for record in self.records}))

    def count(self, name: str) -> str:
        """One of the fields of `Counts` as text; a range where it differs between seeds."""
        values = sorted({getattr(record.counts, name) for record in self.records if record.counts is not None})
        return "" if not values else str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


@dataclass(frozen=True)
class Table:
    """Rows that may be compared with each other.

    Attributes:
        task: The task.
        protocol: The protocol.
        fraction: Share of the training items.
        condition: What was done to the images, None for nothing.
        rows: Ranked rows, then the unavailable ones.
        notes: What a reader must know about single rows, as sentences.
    """

    task: TaskCard
    protocol: ProtocolCard
    fraction: float
    condition: Condition | None
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether any row is synthetic."""
        return any(row.synthetic for row in self.rows)

    @property
    def title(self) -> str:
        """Task, protocol and fraction in words; says so when synthetic data takes part."""
        words = f"{self.task.name}, {self.protocol.name}, {100 * self.fraction:g} % of the training items"
        words += f", {self.condition.words}" if self.condition else ""
        return words + (" (synthetic)" if self.synthetic else "")

    @property
    def metric_names(self) -> list[str]:
        """The primary metric, then the others by name."""
        names = {name for row in self.rows for name in row.metrics} - {self.task.metric}
        return [self.task.metric, *sorted(names)]

    @property
    def difference_names(self) -> list[str]:
        """Every difference that a row has, by name."""
        return sorted({name for row in self.rows for name in row.differences})


def build_tables(records: Iterable[ResultRecord]) -> list[Table]:
    """All tables, by task, manifest, protocol, fraction and condition, every row compared with ImageNet.

    Of several records of one cell the newest is kept. An unavailable record gives way to a finished one of the same
    model and seed in the same table.
    """
    newest: dict[str, ResultRecord] = {}
    for record in records:
        kept = newest.get(record.cell)
        if kept is None or _age(record) > _age(kept):
            newest[record.cell] = record
    groups: dict[tuple[str, str, str, str, str, float, str], list[ResultRecord]] = defaultdict(list)
    for record in newest.values():
        task, protocol = record.task, record.protocol
        condition = "" if record.condition is None else record.condition.model_dump_json()
        key = (task.name, task.manifest_hash, task.metric, protocol.name, protocol.hash, record.fraction, condition)
        groups[key].append(record)
    return compare([_table(groups[key]) for key in sorted(groups)])


def task_labels(tables: Iterable[Table]) -> dict[tuple[str, str], str]:
    """Task and manifest -> a name that says which set is meant where a task has results on several."""
    sets = {(table.task.name, table.task.manifest_hash) for table in tables}
    names = [name for name, _ in sets]
    return {(name, digest): f"{name} ({digest[:6]})" if names.count(name) > 1 else name for name, digest in sets}


def _age(record: ResultRecord) -> tuple[datetime, str]:
    return datetime.fromisoformat(record.created), record.model_dump_json()


def _table(records: list[ResultRecord]) -> Table:
    records = sorted(records, key=lambda record: (record.model.name, record.seed, record.cell))
    finished = {(record.model.name, record.seed) for record in records if record.status == "done"}
    by_model: dict[tuple[str, ...], list[ResultRecord]] = defaultdict(list)
    for record in records:
        if record.status == "done" or (record.model.name, record.seed) not in finished:
            by_model[_model_key(record)].append(record)
    rows = _labelled([_row(by_model[key]) for key in sorted(by_model)])
    primary = records[0].task.metric
    ranked = _ranked([row for row in rows if row.available], primary)
    table = Table(
        task=records[0].task,
        protocol=records[0].protocol,
        fraction=records[0].fraction,
        condition=records[0].condition,
        rows=(*ranked, *(row for row in rows if not row.available)),
    )
    return replace(table, notes=tuple(notes_of(table)))


def _model_key(record: ResultRecord) -> tuple[str, ...]:
    """What makes two records seeds of one row. Weights of one recipe and random ones differ from seed to seed."""
    model = record.model
    if model.recipe is not None:
        return (f"recipe {model.recipe}", model.architecture, model.arm, str(model.in_chans), record.status)
    weights = "" if model.arm == "random" else model.weights_sha256 or ""
    return (model.name, model.architecture, model.arm, model.pretraining, str(model.in_chans), record.status, weights)


def _row(records: list[ResultRecord]) -> Row:
    return Row(
        model=records[0].model,
        label=records[0].model.name,
        records=tuple(records),
        metrics=_values([record.metrics for record in records]),
        differences=_values([record.differences or {} for record in records]),
    )


def _values(seeds: Sequence[Mapping[str, Interval]]) -> dict[str, Value]:
    names = sorted({name for intervals in seeds for name in intervals})
    return {name: Value.of([intervals[name] for intervals in seeds if name in intervals]) for name in names}


def _labelled(rows: list[Row]) -> list[Row]:
    names = [row.label for row in rows]
    return [
        replace(row, label=f"{row.label} (weights {(row.model.weights_sha256 or 'none')[:8]})")
        if names.count(row.label) > 1
        else row
        for row in rows
    ]


def _ranked(rows: list[Row], primary: str) -> list[Row]:
    """Rows from best to worst by the mean of the primary metric, higher is better."""
    ordered = sorted(rows, key=lambda row: (-row.metrics[primary].mean, row.label))
    ranked: list[Row] = []
    for place, row in enumerate(ordered, start=1):
        value, best = row.metrics[primary], ordered[0].metrics[primary]
        rank = ranked[-1].rank if ranked and ranked[-1].metrics[primary].mean == value.mean else place
        standing = BEST if rank == 1 else TIED if value.high >= best.low else LOWER
        ranked.append(replace(row, rank=rank, standing=standing))
    steady = stabilities([row.records for row in ranked], [row.metrics[primary] for row in ranked])
    return [replace(row, stability=stability) for row, stability in zip(ranked, steady, strict=True)]
