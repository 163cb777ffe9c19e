"""What `radnet import` prints and how it reads its options."""

import json
from collections import Counter, defaultdict
from math import prod
from typing import TYPE_CHECKING, Any

from rich.table import Table

from radnet.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from radnet.models.foreign import Imported
    from radnet.views.window import WindowPolicy


def import_table(done: "Imported", architecture: str, *, every_tensor: bool = False) -> Table:
    """Which tensors became which, and what was left out or is missing, with reasons.

    Args:
        done: What the import did.
        architecture: timm's name.
        every_tensor: One row a tensor, not one a part.
    """
    member = f", {done.member}" if done.member else ""
    table = Table(title=f"{done.layout.name} ({done.layout.project}{member}) -> {architecture}")
    for column in ("in the file", "in timm", "tensors", "values", "what became of it"):
        table.add_column(column, overflow="fold", justify="right" if column in ("tensors", "values") else "left")
    if every_tensor:
        for name, foreign in done.names.items():
            table.add_row(foreign, name, "1", f"{prod(done.shapes[name]):,}", "matched")
        for foreign, why in done.left_out.items():
            table.add_row(foreign, "", "1", "", f"left out: {why}")
    else:
        parts: dict[str, list[str]] = defaultdict(list)
        for name in done.names:
            parts[name.split(".")[0]].append(name)
        for part, names in parts.items():
            values = sum(prod(done.shapes[name]) for name in names)
            first = done.names[names[0]] + (", …" if len(names) > 1 else "")
            table.add_row(first, part, str(len(names)), f"{values:,}", "matched")
        for why, count in Counter(done.left_out.values()).items():
            first = next(name for name, reason in done.left_out.items() if reason == why)
            table.add_row(first + (", …" if count > 1 else ""), "", str(count), "", f"left out: {why}")
    for name in done.untrained:
        table.add_row("", name, "1", "", "missing, stays untrained (named by --missing)")
    table.add_section()
    values = sum(prod(shape) for shape in done.shapes.values())
    table.add_row("all", architecture, str(len(done.names)), f"{values:,}", _preprocessing(done))
    return table


def _preprocessing(done: "Imported") -> str:
    view = done.view.describe()
    head = f"{done.classes} classes, " if done.classes else "no classifier, "
    mean, std = ([round(value, 4) for value in view[key]] for key in ("mean", "std"))
    return f"{head}{view['size']} px, mean {mean}, std {std}, window {json.dumps(view['window'])}"


def numbers(text: str | None) -> tuple[float, ...] | None:
    """Numbers that are joined by commas.

    Raises:
        UsageError: Something is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError("Numbers joined by commas are needed", seen=text, fix="For example 0.5,0.5,0.5") from error


def key_values(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs; a value is JSON, or text when it is none.

    Raises:
        UsageError: A pair has no "=".
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UsageError("An argument is KEY=VALUE", seen=pair, fix="For example --argument global_pool=avg")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return values


def window_named(name: str | None) -> "WindowPolicy | None":
    """The window policy that an option names.

    Raises:
        UsageError: No such window.
    """
    from radnet.views.window import CLINICAL_WINDOWS, FixedWindow, MinMaxWindow, MultiWindow

    if name is None:
        return None
    if name in CLINICAL_WINDOWS:
        return FixedWindow(*CLINICAL_WINDOWS[name])
    if name in ("minmax", "multi"):
        return MinMaxWindow() if name == "minmax" else MultiWindow()
    known = [*CLINICAL_WINDOWS, "minmax", "multi"]
    raise UsageError("Unknown window", seen=name, fix=did_you_mean(name, known))
