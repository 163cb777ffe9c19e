"""What the page of one record shows: its facts as words, its curves as points to draw."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from radnet.records import Curve, Interval, ResultRecord

WIDTH, HEIGHT = 320.0, 150.0
LEFT, BOTTOM, TOP, RIGHT = 44.0, 22.0, 8.0, 8.0


@dataclass(frozen=True)
class Bar:
    """A value with its interval, and where they lie on an axis from 0 to 100.

    Attributes:
        name: What was measured.
        value: The estimate, None where it cannot be had.
        text: Value and interval in words.
        low: Lower end on the axis.
        high: Upper end on the axis.
        at: The value on the axis.
        note: What weakens it; empty for nothing.
    """

    name: str
    value: float | None
    text: str
    low: float = 0.0
    high: float = 0.0
    at: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A curve as pieces of a polyline in a field of `WIDTH` x `HEIGHT`.

    Attributes:
        name: What is drawn.
        over: What the horizontal axis is.
        pieces: Points "x,y x,y …"; a value that is not finite ends a piece.
        x_ends: Labels of the horizontal axis.
        y_ends: Labels of the vertical axis, bottom first.
        missing: Number of values that are not finite.
        last: The last finite value as text.
    """

    name: str
    over: str
    pieces: tuple[str, ...]
    x_ends: tuple[str, str]
    y_ends: tuple[str, str]
    missing: int
    last: str


def bars(values: Mapping[str, Interval | None], *, signed: bool = False) -> list[Bar]:
    """Values on one common axis: from 0 to 1, or as far as they reach; around 0 when `signed`."""
    known = [value for value in values.values() if value is not None]
    ends = [end for value in known for end in (value.low, value.high, value.value)]
    if signed:
        reach = max([abs(end) for end in ends] or [1.0]) or 1.0
        start, stop = -reach, reach
    else:
        start, stop = min([0.0, *ends]), max([1.0, *ends])
    return [_bar(name, value, start, stop, "+.3f" if signed else ".3f") for name, value in values.items()]


def _bar(name: str, value: Interval | None, start: float, stop: float, form: str) -> Bar:
    if value is None:
        return Bar(name, None, "cannot be scored on this test set")

    def place(number: float) -> float:
        return round(100 * (number - start) / (stop - start), 2)

    text = f"{format(value.value, form)} [{format(value.low, form)}, {format(value.high, form)}]"
    note = f"undefined on {100 * value.undefined:.1f} % of the resamples" if value.undefined > 0 else ""
    return Bar(name, value.value, text, place(value.low), place(value.high), place(value.value), note)


def drawings(record: ResultRecord) -> list[Drawing]:
    """The record's curves, by name."""
    return [_drawing(name, curve) for name, curve in sorted(record.curves.items()) if _finite(curve.values)]


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _drawing(name: str, curve: Curve) -> Drawing:
    finite = _finite(curve.values)
    low, high = min(finite), max(finite)
    first, last = curve.at[0], curve.at[-1]
    pieces: list[list[str]] = [[]]
    for at, value in zip(curve.at, curve.values, strict=True):
        if value is None:
            pieces.append([])
            continue
        x = LEFT + (WIDTH - LEFT - RIGHT) * ((at - first) / (last - first) if last > first else 0.5)
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * ((value - low) / (high - low) if high > low else 0.5)
        pieces[-1].append(f"{x:.1f},{y:.1f}")
    return Drawing(
        name=name,
        over=curve.over,
        pieces=tuple(" ".join(piece) for piece in pieces if piece),
        x_ends=(f"{first:g}", f"{last:g}"),
        y_ends=(f"{low:.3g}", f"{high:.3g}"),
        missing=len(curve.values) - len(finite),
        last=f"{finite[-1]:.4g}",
    )


def facts(record: ResultRecord) -> list[tuple[str, str]]:
    """What was evaluated and how, as pairs of a name and words."""
    model, task, protocol, counts = record.model, record.task, record.protocol, record.counts
    pairs = [
        ("model", model.name),
        ("arm", model.arm),
        ("architecture", f"{model.architecture}, {model.in_chans} channel{'s' if model.in_chans > 1 else ''}"),
        ("parameters", f"{model.parameters:,}"),
        ("pretraining", model.pretraining),
        ("method", model.method or "none"),
        ("weights SHA-256", model.weights_sha256 or "not to be had"),
        ("task", task.name),
        ("classes", f"{len(task.classes)}: {', '.join(task.classes)}" if task.classes else "none"),
        ("test set (manifest)", task.manifest_hash),
        ("protocol", protocol.name),
        ("protocol settings", ", ".join(f"{name} = {value}" for name, value in sorted(protocol.settings.items()))),
        ("protocol hash", protocol.hash),
        ("share of the training items", f"{100 * record.fraction:g} %"),
        ("condition", record.condition.words if record.condition else "none"),
        ("seed", str(record.seed)),
    ]
    if model.pretraining_seed is not None:
        pairs.append(("pretraining seed", str(model.pretraining_seed)))
    if counts is not None:
        pairs += [
            (f"{side} items (patients)", f"{getattr(counts, side + '_items')} ({getattr(counts, side + '_patients')})")
            for side in ("train", "val", "test")
        ]
    pairs.append(("test images in the pretraining set", _overlap(record)))
    pairs += [(f"chosen: {name}", str(value)) for name, value in sorted(record.selected.items())]
    pairs += [(f"no value: {name}", why) for name, why in sorted(record.undefined.items())]
    pairs += [(name, str(value)) for name, value in record.environment.model_dump().items()]
    pairs += [("computed", record.created), ("duration", f"{record.wall_time_s:g} s"), ("cell", record.cell)]
    return [(name, words) for name, words in pairs if words]


def _overlap(record: ResultRecord) -> str:
    overlap = record.overlap
    if overlap is None:
        return "not looked up"
    if not overlap.checked and not overlap.sets:
        return f"not looked up: {overlap.message}"
    patients = "" if overlap.shared_patients is None else f", {overlap.shared_patients} patients"
    words = f"{overlap.shared_items} of {overlap.test_items} test items{patients}"
    if not overlap.checked:
        return f"{words}, as far as could be checked: {overlap.message}"
    return f"{words}. {overlap.message}".rstrip(". ") if overlap.message else words
