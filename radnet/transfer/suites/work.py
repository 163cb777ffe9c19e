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

from radnet.console import say, warn
from radnet.errors import RadnetError, UsageError
from radnet.files import write_atomically
from radnet.locks import lock_if_free
from radnet.models import LoadedModel, ModelName, WeightsUnavailableError, load_model
from radnet.records import record_path, write_record
from radnet.shards import ShardSet
from radnet.transfer.cells import Cell, Column, EvaluationSettings, compute_cell, known_cell, model_card, unavailable
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
        model = _loaded(planned.model, planned.seed if planned.depends_on_seed else 0, planned.task.size)
        return model if planned.side is None else replace(model, arm=planned.side)


@lru_cache(maxsize=4)
def _loaded(name: str, seed: int, size: int) -> LoadedModel:
    return load_model(ModelName.parse(name), seed=seed, size=size)


def work_through(plan: Sequence[PlannedCell], bench: Bench, report: Callable[[Done], None]) -> None:
    """Take or compute every cell that no other process is at, then wait for those that another one is at.

    A cell that fails is reported with its reason, and the others go on.

    Args:
        plan: The cells, in the order to try them.
        bench: What they use.
        report: Is told what became of each cell.
    """
    left = list(plan)
    waiting_since_s: float | None = None
    while left:
        deferred = []
        for planned in left:
            done = one_cell(planned, bench)
            if done is None:
                deferred.append(planned)
            else:
                report(done)
        if len(deferred) == len(left):
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
            model = bench.model(planned)
        except WeightsUnavailableError as error:
            record = unavailable(ModelName.parse(str(planned.model)), column, error)
            write_record(record, bench.place.results)
            return done("unavailable", record.cell, str(error))
        cell = column.identity(model_card(model))["cell"]
        known = known_cell(cell, column)
        if known is not None:
            return done("there already", cell)
        with lock_if_free(bench.place.locks / f"{cell}.lock") as mine:
            if not mine:
                return None
            known = known_cell(cell, column)  # another process may have finished it meanwhile
            if known is not None:
                return done("there already", cell)
            computed = compute_cell(model.name, column, model)
            write_record(computed.record, bench.place.results)
        return done("computed", cell)
    except RadnetError as error:
        warn(f"{planned.words}: {error}")
        return done("failed", reason=str(error))
    except Exception as error:
        # one broken cell must not take hundreds of others with it; its traceback is kept
        file = bench.place.run / f"{planned.key}.txt"
        write_atomically(file, traceback.format_exc())
        warn(f"{planned.words}: {type(error).__name__}: {error}")
        return done("failed", reason=f"{type(error).__name__}: {error} (traceback: {file})")


def finished_cells(
    plan: Sequence[PlannedCell], bench: Bench, cells: dict[str, str]
) -> dict[str, list[tuple[PlannedCell, Cell, Column]]]:
    """Finished cells by what they must share to be compared.

    Args:
        plan: The cells.
        bench: What they use.
        cells: Key of a planned cell -> cell of its record.
    """
    found: dict[str, list[tuple[PlannedCell, Cell, Column]]] = {}
    quiet = Bench(bench.place, replace(bench.settings, repeat=False))
    for planned in plan:
        name = cells.get(planned.key)
        if name is None or not record_path(bench.place.results, name).is_file():
            continue
        column = quiet.column(planned)
        cell = known_cell(name, column)
        if cell is not None:
            found.setdefault(planned.column, []).append((planned, cell, column))
    return found


def report_to(place: Place) -> Callable[[Done], None]:
    """A report that leaves a file a cell, for a parent that watches."""
    return lambda done: write_done(place.run, done)
