"""Running planned cells in one process: claim a cell, take it or compute it, say what became of it.

Any number of processes may work on one plan, on one machine or many that share a directory: a cell is computed under
its lock, so nobody computes it twice and no record has two writers, and a process that dies lets go of its cell.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from radnet.console import say
from radnet.errors import RadnetError, UsageError
from radnet.files import write_atomically
from radnet.locks import lock_if_free, waiting_lock
from radnet.models import LoadedModel, ModelName, WeightsUnavailableError, load_model
from radnet.models.fingerprint import fingerprint
from radnet.records import ResultRecord, record_path, write_record
from radnet.shards import ShardSet
from radnet.transfer.cells import (
    Cell,
    Column,
    EvaluationSettings,
    compute_cell,
    known_record_of,
    score_of,
    unavailable,
    with_later_overlap,
)
from radnet.transfer.model_facts import ModelFacts
from radnet.transfer.predictions import known_outcome, known_record
from radnet.transfer.suites.outcomes import Done, Status, write_done
from radnet.transfer.suites.plan import PlannedCell
from radnet.transfer.tasks import Task, TaskItems, open_task_set, resolved_task, task_items

LOOK_AGAIN_S = 2.0
SAY_WAITING_S = 30.0


@dataclass(frozen=True)
class Place:
    """Where a suite works.

    Attributes:
        data: Directory of sets.
        results: Directory of records.
        run: Directory of what became of each cell in this run of the suite.
        locks: Directory of the locks of cells, the same for every suite that writes to `results`.
    """

    data: Path
    results: Path
    run: Path

    @property
    def locks(self) -> Path:
        """Locks of cells."""
        return self.results / ".suite" / "locks"


@dataclass(frozen=True)
class Comparison:
    """Finished cells that may be compared with each other.

    Attributes:
        column: What they share.
        cells: All of them.
        references: Those to which the others have a paired difference.
    """

    column: Column
    cells: list[Cell]
    references: list[Cell]


class Bench:
    """What is opened once and used for many cells: models, sets, items.

    Args:
        place: Where the suite works.
        settings: What all cells share; fraction, seed and condition are those of each cell.
    """

    def __init__(self, place: Place, settings: EvaluationSettings) -> None:
        self.place, self.settings = place, settings
        self._sets: dict[str, tuple[Task, ShardSet, TaskItems] | RadnetError] = {}

    def column(self, planned: PlannedCell) -> Column:
        """What the cell shares with others.

        Raises:
            UsageError: The set is missing, or lacks what the task needs; the message says how to make it.
        """
        task, shards, items = self._labelled(planned)
        settings = replace(self.settings, fraction=planned.fraction, seed=planned.seed, condition=planned.condition)
        train = items.fraction(planned.fraction, planned.seed)
        return Column(task, planned.protocol, shards, items, train, self.place.results, settings)

    def _labelled(self, planned: PlannedCell) -> tuple[Task, ShardSet, TaskItems]:
        key = f"{planned.set_name} {planned.task.model_dump_json()}"
        found = self._sets.get(key)
        if found is None:
            try:
                shards = open_task_set(planned.task, self.place.data / planned.set_name)
                task = resolved_task(planned.task, shards)
                found = (task, shards, task_items(task, shards))
            except RadnetError as error:
                found = error  # the same for all cells of the set: look once
            self._sets[key] = found
        if isinstance(found, RadnetError):
            raise found
        return found

    def model(self, planned: PlannedCell) -> LoadedModel:
        """The model of a cell.

        Raises:
            UsageError: Nobody has named it, or there is no such model.
            WeightsUnavailableError: The weights are out of reach.
        """
        if planned.model is None:
            raise UsageError(
                f"The arm {planned.arm!r} has no model",
                fix=f"Give one: suite.models.{planned.arm}=run:DIRECTORY, local-dir:DIRECTORY or the like",
            )
        model = _loaded(planned.model, planned.weights_seed, planned.task.size)
        return model if planned.side is None else replace(model, arm=planned.side)

    def facts(self, planned: PlannedCell) -> ModelFacts:
        """What is to be known of the model of a cell; weights that were looked at before are not loaded for it.

        Raises:
            UsageError: As `model`.
            WeightsUnavailableError: As `model`.
        """
        kept = self._kept_facts(planned)
        if kept is None:
            return ModelFacts.of(self.model(planned))
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            facts = ModelFacts.of(_loaded(str(planned.model), planned.weights_seed, planned.task.size))
            write_atomically(kept, facts.model_dump_json())
        facts = ModelFacts.model_validate_json(kept.read_text())
        if planned.side is None:
            return facts
        return facts.model_copy(update={"card": facts.card.model_copy(update={"arm": planned.side})})

    def _kept_facts(self, planned: PlannedCell) -> Path | None:
        """Where the facts of a model are kept; None when only loading tells whether it is still the same."""
        if planned.model is None:
            return None
        name = ModelName.parse(planned.model)
        said = fingerprint(name, seed=planned.weights_seed, size=planned.task.size)
        return None if said is None else self.settings.cache / "facts" / f"{said}.json"

    def add_differences(self, record: ResultRecord) -> None:
        """Write the differences of a record into the one on the disk, which another suite may have changed."""
        with waiting_lock(self.place.locks / f"{record.cell}.lock", f"the cell {record.cell}"):
            stored = known_record(self.place.results, record.cell)
            if stored is not None:
                merged = {**(stored.differences or {}), **(record.differences or {})}
                write_record(stored.model_copy(update={"differences": merged or None}), self.place.results)


@lru_cache(maxsize=4)
def _loaded(name: str, seed: int, size: int) -> LoadedModel:
    return load_model(ModelName.parse(name), seed=seed, size=size)


def work_through(
    plan: Sequence[PlannedCell],
    bench: Bench,
    report: Callable[[Done], None],
    settled: Callable[[str], bool] = lambda _: False,
) -> None:
    """Take or compute every cell that no other process is at, then wait for those that another one is at.

    A cell that fails is reported with its reason, and the others go on.

    Args:
        plan: The cells, in the order to try them.
        bench: What they use.
        report: Is told what became of each cell.
        settled: Whether another worker of this run has reported on a cell, by its key.
    """
    left = list(plan)
    waiting_since_s: float | None = None
    while left:
        deferred = []
        for planned in left:
            if settled(planned.key):
                continue
            done = one_cell(planned, bench)
            if done is None:
                deferred.append(planned)
            else:
                report(done)
        if deferred and len(deferred) == len(left):
            now_s = time.monotonic()
            if waiting_since_s is None or now_s - waiting_since_s > SAY_WAITING_S:
                waiting_since_s = now_s
                say(f"waiting for {len(deferred)} cells that another process is computing")
            time.sleep(LOOK_AGAIN_S)
        left = deferred


def one_cell(planned: PlannedCell, bench: Bench) -> Done | None:
    """What became of a cell; None when another process is at it."""
    started_s = time.monotonic()

    def done(status: Status, cell: str | None = None, reason: str = "") -> Done:
        return Done(planned.key, status, round(time.monotonic() - started_s, 3), cell, reason)

    try:
        column = bench.column(planned)
        try:
            facts = bench.facts(planned)
        except WeightsUnavailableError as error:
            record = unavailable(ModelName.parse(str(planned.model)), column, error)
            if not record_path(bench.place.results, record.cell).exists():
                write_record(record, bench.place.results)
            return done("unavailable", record.cell, str(error))
        cell = column.identity(facts.card)["cell"]
        known = known_record_of(cell, column, facts)
        if known is not None and with_later_overlap(known, column, facts) is known:
            return done("there already", cell)
        with lock_if_free(bench.place.locks / f"{cell}.lock") as mine:
            if not mine:
                return None
            known = known_record_of(cell, column, facts)  # another process may have finished it meanwhile
            if known is not None:
                later = with_later_overlap(known, column, facts)
                if later is not known:
                    write_record(later, bench.place.results)
                return done("there already", cell)
            model = bench.model(planned)
            computed = compute_cell(model.name, column, model, quiet=True)
            write_record(computed.record, bench.place.results)
        return done("computed", cell, score_of(computed.record))
    except RadnetError as error:
        return done("failed", reason=str(error))
    except Exception as error:
        # one broken cell must not take hundreds of others with it; its traceback is kept
        file = bench.place.run / f"{planned.key}.txt"
        write_atomically(file, traceback.format_exc())
        return done("failed", reason=f"{type(error).__name__}: {error} (traceback: {file})")


def comparisons(plan: Sequence[PlannedCell], bench: Bench, cells: dict[str, str]) -> list[Comparison]:
    """The finished cells by what they share, only those comparisons in which a paired difference is missing.

    Args:
        plan: The cells.
        bench: What they use.
        cells: Key of a planned cell -> cell of its record.
    """
    quiet = Bench(bench.place, replace(bench.settings, repeat=False))
    quiet._sets = bench._sets
    found: dict[str, list[tuple[PlannedCell, ResultRecord, Column]]] = {}
    for planned in plan:
        name = cells.get(planned.key)
        if name is not None:
            column = quiet.column(planned)
            record = known_record_of(name, column)
            if record is not None:
                found.setdefault(planned.column, []).append((planned, record, column))
    wanting = []
    for members in found.values():
        references = {record.cell for planned, record, _ in members if planned.is_reference}
        if any(_lacks_difference(record, references) for _, record, _ in members):
            column = members[0][2]
            read = [
                (planned, Cell(record, known_outcome(column.results, record, column.items), known=True))
                for planned, record, _ in members
            ]
            wanting.append(Comparison(column, [cell for _, cell in read], [c for p, c in read if p.is_reference]))
    return wanting


def _lacks_difference(record: ResultRecord, references: set[str]) -> bool:
    compared = {entry.reference_cell for entry in (record.differences or {}).values()}
    return bool(references - {record.cell} - compared)


def report_to(place: Place) -> Callable[[Done], None]:
    """A report that leaves a file a cell, for a parent that watches."""
    return lambda done: write_done(place.run, done)


def settled_in(place: Place) -> Callable[[str], bool]:
    """Whether a worker of this run has reported on a cell."""
    return lambda key: (place.run / f"{key}.json").exists()
