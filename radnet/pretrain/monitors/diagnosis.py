"""Diagnosis of a run in words: a pure function of its log and of what its loss can mean.

A finding is made from medians over a window of steps, never from one line, and only where a healthy run does not
come by: a false alarm costs as much trust as a collapse that was missed.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

from radnet.pretrain.monitors.findings import Finding, Line, RunFacts, finding
from radnet.pretrain.monitors.waiting import INPUT_BOUND

MIN_LINES = 8
"""Fewer lines than this in the window say nothing."""
NEAR = 0.01
"""A loss is at a landmark when it is within this share of it."""
NEAR_FLOOR = 0.07
"""Share of the way from the floor to chance; the reference study's runs ended at 0.06 and less."""
ALIKE = 0.01
"""`features_std` below which all features are alike: their mean cosine similarity is above 0.9999."""
DIMENSIONS_SHARE, DIMENSIONS_MIN = 0.005, 2.0
"""RankMe below this share of the dimensions, or below two, is a collapse to a few of them."""
RANKME_ROWS = 256
"""RankMe of fewer rows is not judged."""
ONE_OUTPUT = 0.4
"""Entropy in nats of the teacher's mean distribution below which one output takes nearly all (two share 0.69)."""
RISE = 0.5
"""Share of the progress of a run that must be lost before its loss is said to rise."""
EXPLOSION = 10.0
"""Gradients this many times larger than they were over the run so far."""
_OF_A_COLLAPSE = ("features-alike", "few-dimensions", "gradients-vanishing")
VANISHED = 1e-8
"""Gradient norm below which no step changes anything in float32."""


def diagnose(history: Sequence[Line], facts: RunFacts) -> list[Finding]:
    """What is wrong with a run, as far as its log shows.

    Args:
        history: Lines of the log in the order of their steps; older ones may be thinned.
        facts: What else is known of the run.

    Returns:
        Findings that hold over the last `facts.window_steps` steps, most serious first; none for a healthy run.
    """
    if not history or facts.window_steps == 0:
        return []
    start = history[-1]["step"] - facts.window_steps
    window = [line for line in history if line["step"] > start]
    before = [line for line in history if line["step"] <= start]
    if len(window) < MIN_LINES or not before:
        return []
    rules: tuple[Callable[[Sequence[Line], Sequence[Line], RunFacts], Finding | None], ...] = (
        _at_landmark,
        _one_output,
        _features_alike,
        _few_dimensions,
        _gradients_exploding,
        _gradients_vanishing,
        _loss_rising,
        _at_floor,
        _input_bound,
    )
    found = [made for rule in rules if (made := rule(before, window, facts)) is not None]
    if any(one.code == "collapsed" for one in found):  # one cause is told once
        found = [one for one in found if one.code not in _OF_A_COLLAPSE]
    return found


def window_of(asked_steps: int, *, total_steps: int, log_every_steps: int) -> int:
    """Steps over which something must last: a tenth of a short run, but never too few lines to be judged.

    Args:
        asked_steps: `monitors.diagnosis_steps`; 0 stays 0, and nothing is diagnosed.
        total_steps: Steps of the run.
        log_every_steps: Steps a line.
    """
    if not asked_steps:
        return 0
    return max(min(asked_steps, total_steps // 10), (MIN_LINES + 2) * log_every_steps)


def values(lines: Sequence[Line], name: str) -> list[float]:
    """The finite values of one name."""
    return [line[name] for line in lines if name in line and math.isfinite(line[name])]


def _typical(lines: Sequence[Line], name: str, needed: int = MIN_LINES) -> float | None:
    """Median, or None when there are fewer values than `needed`."""
    found = values(lines, name)
    return median(found) if len(found) >= needed else None


def _losses(lines: Sequence[Line]) -> list[float]:
    """Losses that can be compared with each other.

    MAE's loss rises and falls with what a batch shows; it tells for every batch what the same picture for all slices
    costs, and the share of that is the loss.
    """
    if not _is_share(lines):
        return values(lines, "loss")
    both = [(line.get("loss", math.nan), line.get("mean_picture", math.nan)) for line in lines]
    return [loss / mean for loss, mean in both if math.isfinite(loss) and math.isfinite(mean) and mean > 0]


def _is_share(lines: Sequence[Line]) -> bool:
    return bool(values(lines, "mean_picture"))


def _grown(window: Sequence[Line], facts: RunFacts) -> bool:
    """Whether the whole window lies behind the time in which a young network may look dead."""
    return window[0]["step"] > facts.grace_steps


def _at_landmark(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    """The loss sits at the value it has when nothing is told apart."""
    is_share = _is_share(window)
    mark = 1.0 if is_share else facts.landmarks.get("collapse", facts.landmarks.get("chance"))
    losses, past = _losses(window), _losses(before)
    if mark is None or len(losses) < MIN_LINES:
        return None
    reach = NEAR * abs(mark)
    at = sum(loss >= mark - reach for loss in losses)
    had_left = bool(past) and min(past) < mark - 5 * reach
    if at < 0.9 * len(losses) or not (had_left or _grown(window, facts)):
        return None
    step, typical = int(window[-1]["step"]), median(losses)
    above = "above its value " if typical > mark + reach else ""
    if is_share:
        seen = f"the loss is {typical:.4g} times what it is where all slices get their mean picture, "
    else:
        seen = f"the loss is {typical:.4g}, {above}{_landmark_words(facts.method)} {mark:.4g}, "
    seen += f"over {facts.window_steps} steps"
    entropy, std = _typical(window, "teacher_entropy"), _typical(window, "features_std")
    if entropy is not None:
        seen += f"; the teacher's entropy is {entropy:.4g}"
    if std is not None:
        seen += f"; the deviation of the features is {std:.3g} (1 fills the sphere)"
    if facts.method == "dino" and entropy is not None and entropy >= (1 - NEAR) * mark:
        return finding("collapsed", step, seen, "The teacher gives every output the same probability", facts)
    if had_left or (std is not None and std < ALIKE):
        return finding("collapsed", step, seen, "The network has collapsed: it gives all slices the same output", facts)
    means = "The network gives every slice the same picture" if facts.method == "mae" else "It has not begun to learn"
    return finding("at-chance", step, seen, means, facts)


def _landmark_words(method: str) -> str:
    known = {
        "dino": "where all outputs are equal it is ln K =",
        "simclr": "where no slice is told from another it is",
        "mae": "where every hidden patch is grey it is",
    }
    return known.get(method, "where nothing is learnt it is")


def _one_output(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    """The other collapse of DINO: one output wins for every slice, and the student predicts it for nothing."""
    marginal, loss = _typical(window, "marginal_entropy"), _typical(window, "loss")
    if marginal is None or loss is None or marginal >= ONE_OUTPUT or not _grown(window, facts):
        return None
    seen = (
        f"the teacher uses {math.exp(marginal):.2f} outputs for all slices of a batch (marginal entropy "
        f"{marginal:.2g}), and the loss is {loss:.3g}"
    )
    means = "One output wins for every slice, and the student only repeats it"
    return finding("one-output", int(window[-1]["step"]), seen, means, facts)


def _features_alike(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    std = _typical(window, "features_std")
    if std is None or std >= ALIKE or not _grown(window, facts):
        return None
    seen = f"the deviation of the backbone's features is {std:.2g} over {facts.window_steps} steps (1 fills the sphere)"
    means = "All slices get nearly the same features: the backbone has collapsed"
    return finding("features-alike", int(window[-1]["step"]), seen, means, facts)


def _few_dimensions(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    """RankMe is tiny twice in a row; it is rarer than the other values, so the whole history is looked at."""
    judged = [line for line in (*before, *window) if "rankme" in line and line.get("rankme_rows", 0) >= RANKME_ROWS][
        -2:
    ]
    if len(judged) < 2 or judged[-1]["step"] <= facts.grace_steps or not _grown(window, facts):
        return None
    least = [max(DIMENSIONS_MIN, DIMENSIONS_SHARE * line["rankme_limit"]) for line in judged]
    if any(line["rankme"] >= bound for line, bound in zip(judged, least, strict=True)):
        return None
    last = judged[-1]
    seen = f"RankMe is {last['rankme']:.3g} of at most {last['rankme_limit']:.0f}"
    means = "The features vary in a few directions only (dimensional collapse)"
    return finding("few-dimensions", int(window[-1]["step"]), seen, means, facts)


def _at_floor(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    """The loss is as low as it can be: more steps teach nothing."""
    floor, chance, loss = facts.landmarks.get("floor"), facts.landmarks.get("chance"), _typical(window, "loss")
    if floor is None or chance is None or loss is None or chance <= floor:
        return None
    left = (loss - floor) / (chance - floor)
    if left >= NEAR_FLOOR:
        return None
    seen = f"the loss is {loss:.4g}; its floor is {floor:.4g} and chance {chance:.4g}, so {100 * left:.1f} % is left"
    return finding("at-floor", int(window[-1]["step"]), seen, "The task is solved: more steps teach little", facts)


def _loss_rising(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    """Half of the progress is lost. With a teacher the loss may rise as it sharpens, so only its start counts."""
    past, recent = _losses(before), _losses(window)
    if len(past) < 2 * MIN_LINES or len(recent) < MIN_LINES:
        return None
    now, what = median(recent), "the loss, as a share of the mean picture's," if _is_share(window) else "the loss"
    size = max(MIN_LINES, len(past) // 20)
    medians = [median(past[at : at + size]) for at in range(0, len(past) - size + 1, size)]
    first, best = medians[0], min(medians)
    collapse = facts.landmarks.get("collapse", -math.inf)
    if values(window, "teacher_entropy"):
        limit = max(first, collapse) + NEAR * abs(first) * 5
    else:
        limit = best + max(RISE * (first - best), 0.05 * abs(best))
    if now <= limit:
        return None
    seen = f"{what} was {first:.4g} at first and {best:.4g} at its best, and is {now:.4g} now"
    return finding("loss-rising", int(window[-1]["step"]), seen, "The run forgets what it learned: it diverges", facts)


def _gradients_exploding(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    past, now = _typical(before, "gradient_norm", 2 * MIN_LINES), _typical(window, "gradient_norm")
    if past is None or now is None or now <= EXPLOSION * max(past, 0.1):
        return None
    seen = f"the median gradient norm is {now:.3g} over {facts.window_steps} steps and was {past:.3g} before"
    return finding("gradients-exploding", int(window[-1]["step"]), seen, "The run is about to diverge", facts)


def _gradients_vanishing(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    now = _typical(window, "gradient_norm")
    if now is None or now >= VANISHED:
        return None
    seen = f"the median gradient norm is {now:.2g} over {facts.window_steps} steps"
    return finding("gradients-vanishing", int(window[-1]["step"]), seen, "No step changes the weights any more", facts)


def _input_bound(before: Sequence[Line], window: Sequence[Line], facts: RunFacts) -> Finding | None:
    share = _typical(window, "waiting_share")
    if share is None or share < 2 * INPUT_BOUND:
        return None
    seen = f"{100 * share:.0f} % of the time is spent waiting for data"
    means = f"The run would be up to {1 / (1 - min(share, 0.99)):.1f} times as fast with a quicker input"
    return finding("input-bound", int(window[-1]["step"]), seen, means, facts)
