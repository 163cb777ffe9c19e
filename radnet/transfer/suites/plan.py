"""The plan of a suite: every cell it wants, once, in an order that shares features."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from radnet.errors import UsageError
from radnet.hashing import settings_hash
from radnet.models.load import Arm
from radnet.records import Condition
from radnet.transfer.conditions import condition_from_settings
from radnet.transfer.protocols import Protocol, build_protocol
from radnet.transfer.suites.spec import Block, Entry, Suite, resolved
from radnet.transfer.tasks import Task, task_from_settings


@dataclass(frozen=True)
class PlannedCell:
    """A cell that a suite wants. Nothing is opened or loaded for it yet.

    Attributes:
        experiments: Experiments that want it.
        arm: Name of the model in the suite.
        model: Name of the model; None where nobody has given it.
        task: The task, as its config says it; the set may fill in classes.
        set_name: Directory of its set below `data`.
        protocol: The protocol.
        fraction: Share of the training patients.
        condition: Condition, None for none.
        condition_name: How the suite calls it.
        seed: Seed of the cell.
        side: Side of the comparison that the arm stands on, None where its weights say it.
        is_reference: Whether the other rows get a paired difference to it.
    """

    experiments: tuple[str, ...]
    arm: str
    model: str | None
    task: Task
    set_name: str
    protocol: Protocol
    fraction: float
    condition: Condition | None
    condition_name: str
    seed: int
    side: Arm | None = None
    is_reference: bool = False

    @cached_property
    def key(self) -> str:
        """What makes it this cell and no other, 16 hex digits."""
        return settings_hash(
            {
                "model": self.model or f"arm {self.arm}",
                "task": self.task.model_dump(mode="json", exclude={"description", "prepare"}),
                "set": self.set_name,
                "protocol": self.protocol.hash(),
                "fraction": self.fraction,
                "condition": None if self.condition is None else self.condition.model_dump(mode="json"),
                "seed": self.seed,
            }
        )[:16]

    @property
    def group(self) -> tuple[str, ...]:
        """Cells of one group use the same features, so they run one after another."""
        return (self.set_name, self.arm, str(self.weights_seed), self.task.name)

    @property
    def weights_seed(self) -> int:
        """Seed of the weights; 0 where they do not depend on one."""
        return self.seed if str(self.model).startswith("random:") else 0

    @property
    def column(self) -> str:
        """What cells must share to be compared."""
        return settings_hash({"key": replace(self, arm="", model="").key})[:16]

    @property
    def words(self) -> str:
        """The cell on one line."""
        more = [] if self.fraction == 1 else [f"{100 * self.fraction:g} %"]
        more += [] if self.condition is None else [self.condition_name]
        more += [f"seed {self.seed}"] if self.seed else []
        return f"{self.arm} on {self.task.name} with {self.protocol.name}" + (f" ({', '.join(more)})" if more else "")


def plan_cells(suite: Suite, only: Mapping[str, str | list[str] | None] | None = None) -> list[PlannedCell]:
    """Every cell of a suite, once, those that share features one after another.

    Args:
        suite: The suite.
        only: "experiment", "arm", "task", "protocol" or "condition" -> the values that are wanted.

    Raises:
        UsageError: An entry of the suite is wrong, or nothing is left.
    """
    wanted = {name: {value} if isinstance(value, str) else set(value) for name, value in (only or {}).items() if value}
    found: dict[str, PlannedCell] = {}
    for cell in _all_cells(suite):
        if not all(_value(cell, name) & values for name, values in wanted.items()):
            continue
        known = found.get(cell.key)
        found[cell.key] = cell if known is None else _merged(known, cell)
    if not found:
        raise UsageError("No cell is left", seen=dict(only or {}), fix="Choose less strictly; --dry-run lists all")
    order: dict[tuple[str, ...], int] = {}
    for cell in found.values():
        order.setdefault(cell.group, len(order))
    return sorted(found.values(), key=lambda cell: order[cell.group])


def _merged(first: PlannedCell, second: PlannedCell) -> PlannedCell:
    """One cell that is wanted twice, by two blocks or by two arms of one model: the first, with what both are for."""
    return replace(
        first,
        experiments=tuple(dict.fromkeys([*first.experiments, *second.experiments])),
        is_reference=first.is_reference or second.is_reference,
    )


def _value(cell: PlannedCell, name: str) -> set[str]:
    if name == "experiment":
        return set(cell.experiments)
    values = {"arm": cell.arm, "task": cell.task.name, "protocol": cell.protocol.name, "condition": cell.condition_name}
    return {values[name]}


def _all_cells(suite: Suite) -> Iterator[PlannedCell]:
    for block in suite.blocks:
        tasks = [_task(entry) for entry in block.tasks]
        protocols = [_protocol(entry) for entry in block.protocols]
        conditions = [_condition(entry) for entry in block.conditions]
        for task, set_name in tasks:
            for arm in block.models:
                for protocol in protocols:
                    for fraction, (condition, name), seed in _rest(block, conditions):
                        yield PlannedCell(
                            experiments=(block.experiment,),
                            arm=arm,
                            model=suite.models[arm],
                            task=task,
                            set_name=set_name,
                            protocol=protocol,
                            fraction=fraction,
                            condition=condition,
                            condition_name=name,
                            seed=seed,
                            side=suite.sides.get(arm),
                            is_reference=arm == suite.reference,
                        )


def _rest(
    block: Block, conditions: Iterable[tuple[Condition | None, str]]
) -> Iterator[tuple[float, tuple[Condition | None, str], int]]:
    for condition in conditions:
        for fraction in block.fractions:
            if not 0 < fraction <= 1:
                raise UsageError("A fraction lies in (0, 1]", seen=fraction, fix="For example fractions: [1.0, 0.1]")
            for seed in block.seeds:
                yield fraction, condition, seed


def _task(entry: Entry) -> tuple[Task, str]:
    settings: dict[str, Any] = resolved("task", entry)
    name = str(settings.pop("set", settings["name"]))
    return task_from_settings(settings), name


def _protocol(entry: Entry) -> Protocol:
    settings = resolved("protocol", entry)
    return build_protocol(str(settings.pop("name")), settings)


def _condition(entry: Entry) -> tuple[Condition | None, str]:
    name = entry if isinstance(entry, str) else str(entry.get("use"))
    condition = condition_from_settings(resolved("condition", entry))
    if condition is not None and not isinstance(entry, str) and entry.get("images"):
        name = f"{name} on {entry['images']}"
    return condition, name
