"""The text of each column, the same on every surface."""

from radnet.leaderboard.ranks import Stability
from radnet.leaderboard.tables import Row, Table, Value

NOTHING = "-"
SIGNED, PLAIN = "+.3f", ".3f"


def columns_of(table: Table) -> list[str]:
    """Headings of the table's columns."""
    first, *others = table.metric_names
    return [
        "rank",
        "model",
        "arm",
        "architecture",
        "pretraining",
        f"{first} [95 % interval]",
        "ranks",
        "against the best",
        "Holm p",
        "finding",
        *table.difference_names,
        *others,
        "train items",
        "test patients",
        "seeds",
    ]


def cells_of(row: Row, table: Table) -> list[str]:
    """Texts of one row, one for each heading of `columns_of`."""
    first, *others = table.metric_names
    return [
        NOTHING if row.rank is None else str(row.rank),
        f"{row.label} (synthetic)" if row.synthetic else row.label,
        row.model.arm,
        row.model.architecture,
        row.model.pretraining or NOTHING,
        value_text(row.metrics.get(first)) if row.available else "unavailable",
        _ranks(row.stability),
        row.standing or NOTHING,
        NOTHING if row.comparison is None else f"{'' if row.comparison.tested else '~'}{row.comparison.p_holm:.3g}",
        NOTHING if row.comparison is None else str(row.comparison.verdict),
        *(value_text(row.differences.get(name), SIGNED) for name in table.difference_names),
        *(value_text(row.metrics.get(name)) for name in others),
        row.count("train_items") or NOTHING,
        row.count("test_patients") or NOTHING,
        ", ".join(map(str, row.seeds)),
    ]


def _ranks(stability: Stability | None) -> str:
    if stability is None:
        return NOTHING
    ends = f"{stability.low}" if stability.low == stability.high else f"{stability.low} to {stability.high}"
    return f"{'' if stability.paired else '~'}{ends}, first {100 * stability.first:.0f} %"


def value_text(value: Value | None, form: str = PLAIN) -> str:
    """A value with its interval, or mean and ranges of several seeds."""
    if value is None:
        return NOTHING
    mean, low, high = (format(number, form) for number in (value.mean, value.low, value.high))
    if value.seeds == 1:
        return f"{mean} [{low}, {high}]"
    spread = f"{format(value.seed_low, form)} to {format(value.seed_high, form)}"
    return f"{mean} (mean of {value.seeds} seeds: {spread}; intervals {low} to {high})"
