"""What the first page of the site shows: the claims, the matrix, and the lines of the table as plain data."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radnet.leaderboard.comparisons import Verdict
from radnet.leaderboard.notes import seen_in_pretraining
from radnet.leaderboard.tables import Row, Table, task_labels

SIGNS = {Verdict.BETTER: "▲", Verdict.WORSE: "▼", Verdict.NO_DIFFERENCE: "=", Verdict.TOO_FEW: "?"}
KINDS = {Verdict.BETTER: "better", Verdict.WORSE: "worse", Verdict.NO_DIFFERENCE: "same", Verdict.TOO_FEW: "few"}
DIGITS = 5


@dataclass(frozen=True)
class MatrixCell:
    """One field of the matrix of models against tasks.

    Attributes:
        score: The primary metric as text, empty where there is none.
        kind: Style of the field: "better", "worse", "same", "few", "reference", "plain" or "none".
        sign: The verdict as a sign.
        words: What the field says in full.
        href: Page of the cell, empty where there is none.
    """

    score: str
    kind: str
    sign: str
    words: str
    href: str


NO_CELL = MatrixCell("", "none", "", "no result", "")


@dataclass(frozen=True)
class Matrix:
    """Models against tasks under one protocol, fraction and condition.

    Attributes:
        title: Protocol, fraction and condition in words.
        tasks: Names of the tasks, the columns.
        rows: Label, arm and one field a task.
    """

    title: str
    tasks: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[MatrixCell, ...]], ...]


def matrices(tables: Sequence[Table]) -> list[Matrix]:
    """A matrix for each protocol, fraction and condition, full fractions first."""
    groups: dict[tuple[float, str, str, str], list[Table]] = defaultdict(list)
    for table in tables:
        condition = table.condition.words if table.condition else ""
        groups[-table.fraction, condition, table.protocol.name, table.protocol.hash].append(table)
    names = [(key[0], key[1], key[2]) for key in groups]
    labels = task_labels(tables)
    return [_matrix(groups[key], labels, twice=names.count(key[:3]) > 1) for key in sorted(groups)]


def _matrix(tables: list[Table], labels: Mapping[tuple[str, str], str], *, twice: bool) -> Matrix:
    columns = [(table.task.name, table.task.manifest_hash) for table in tables]
    fields: dict[tuple[str, str, str], dict[int, MatrixCell]] = defaultdict(dict)
    for place, table in enumerate(tables):
        for row in table.rows:
            order = str(("in-domain", "other", "imagenet", "random").index(row.model.arm))
            fields[order, row.label, row.model.arm][place] = _field(row, table)
    first = tables[0]
    words = f"{first.protocol.name}, {100 * first.fraction:g} % of the training items"
    words += f", {first.condition.words}" if first.condition else ""
    words += f" (settings {first.protocol.hash[:8]})" if twice else ""
    return Matrix(
        title=words,
        tasks=tuple(labels[column] for column in columns),
        rows=tuple(
            (label, arm, tuple(fields[order, label, arm].get(place, NO_CELL) for place in range(len(columns))))
            for order, label, arm in sorted(fields)
        ),
    )


def _field(row: Row, table: Table) -> MatrixCell:
    href = f"cells/{row.records[0].cell}.html"
    if not row.available:
        return MatrixCell("n/a", "none", "", "unavailable", href)
    value = row.metrics[table.task.metric]
    words = f"{table.task.metric} {value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"
    if row.comparison is None:
        kind = "reference" if row.model.arm == "imagenet" else "plain"
        return MatrixCell(f"{value.mean:.3f}", kind, "", words, href)
    held = row.comparison
    words += (
        f"; {held.value:+.3f} [{held.low:+.3f}, {held.high:+.3f}] to {held.reference}, Holm p {held.p_holm:.3g}: "
        f"{held.verdict}"
    )
    return MatrixCell(f"{value.mean:.3f}", KINDS[held.verdict], SIGNS[held.verdict], words, href)


def lines_of(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """The lines of the big table, whole fractions first, with short keys (a page holds thousands of them)."""
    tables = sorted(tables, key=lambda table: (table.task.name, table.protocol.name, -table.fraction))
    domains, labels = _domains(tables), task_labels(tables)
    return [
        _line(
            row, table, domains[table.task.name, table.task.metric], labels[table.task.name, table.task.manifest_hash]
        )
        for table in tables
        for row in table.rows
    ]


def _domains(tables: Iterable[Table]) -> Mapping[tuple[str, str], tuple[float, float]]:
    """Ends of the axis on which a task's intervals are drawn, the same for all its tables."""
    ends: dict[tuple[str, str], list[float]] = defaultdict(list)
    for table in tables:
        key = table.task.name, table.task.metric
        ends[key].extend(())
        for row in table.rows:
            if row.available:
                value = row.metrics[table.task.metric]
                ends[key] += [value.low, value.high, value.mean]
    return {key: (min(values), max(values)) if values else (0.0, 1.0) for key, values in ends.items()}


def _line(row: Row, table: Table, domain: tuple[float, float], task: str) -> dict[str, Any]:
    line: dict[str, Any] = {
        "task": task,
        "protocol": table.protocol.name,
        "fraction": table.fraction,
        "condition": table.condition.words if table.condition else "none",
        "model": row.label,
        "arm": row.model.arm,
        "arch": row.model.architecture,
        "pre": row.model.pretraining,
        "syn": row.synthetic,
        "metric": table.task.metric,
        "cells": [[record.seed, record.cell] for record in row.records],
        "items": row.count("train_items"),
        "patients": row.count("test_patients"),
    }
    if not row.available:
        return line | {"why": " ".join(sorted({record.message for record in row.records}))}
    seen = seen_in_pretraining(row.records)
    if seen:
        line["seen"] = seen
    value = row.metrics[table.task.metric]
    line |= {
        "rank": row.rank,
        "score": _short(value.mean),
        "ends": [_short(value.low), _short(value.high)],
        "axis": [_short(domain[0]), _short(domain[1])],
    }
    if row.stability is not None:
        line |= {"ranks": [row.stability.low, row.stability.high], "first": row.stability.first}
        line |= {"paired": row.stability.paired}
    if row.comparison is not None:
        held = row.comparison
        line |= {
            "diff": _short(held.value),
            "dends": [_short(held.low), _short(held.high)],
            "p": float(f"{held.p_holm:.4g}"),
            "tested": held.tested,
            "verdict": str(held.verdict),
            "ref": held.reference,
            "family": held.family,
        }
    return line


def _short(number: float) -> float:
    return round(number, DIGITS)
