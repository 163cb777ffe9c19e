"""Logs of runs that never were: healthy ones of each method, from which the tests make sick ones."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from radnet.pretrain.monitors.findings import RunFacts

STEPS, EVERY = 3000, 10
Log = list[dict[str, float]]


def facts(method: str, **landmarks: float) -> RunFacts:
    """A run of 3,000 steps with 300 of warm-up."""
    return RunFacts(
        settings={"method": {"name": method, "temperature": 0.1}, "optimizer": {"lr": 1e-3}, "workers": 4},
        landmarks=landmarks,
        grace_steps=300,
        window_steps=200,
    )


def history(seed: int = 0, steps: Iterable[int] = range(EVERY, STEPS + 1, EVERY), **curves: Any) -> Log:
    """Lines whose values are `curves[name](share of the run, generator)`."""
    generator = np.random.default_rng(seed)
    common: dict[str, Callable[..., float]] = {
        "gradient_norm": lambda t, g: 2.0 * math.exp(-2 * t) * math.exp(g.normal(0, 0.5)),
        "features_std": lambda t, g: 0.5 + 0.05 * g.normal(),
        "waiting_share": lambda t, g: abs(0.02 * g.normal()),
        "rankme": lambda t, g: 40 + 200 * t,
    }
    lines = []
    for step in steps:
        line = {name: float(curve(step / STEPS, generator)) for name, curve in (common | curves).items()}
        lines.append(line | {"step": step, "epoch": step // 300, "rankme_rows": 2048.0, "rankme_limit": 512.0})
    return lines


def simclr(batch: int = 256, temperature: float = 0.1, end: float = 0.35, **curves: Any) -> tuple[Log, RunFacts]:
    """The loss falls from chance to a share `end` of the way to the floor."""
    chance = math.log(2 * batch - 1)
    floor = math.log1p((2 * batch - 2) * math.exp(-1 / temperature))

    def loss(t: float, g: np.random.Generator) -> float:
        return floor + (chance - floor) * (end + (1 - end) * math.exp(-12 * t)) + 0.05 * g.normal()

    return history(**{"loss": loss, **curves}), facts("simclr", chance=chance, floor=floor)


def dino(prototypes: int = 1024, **curves: Any) -> tuple[Log, RunFacts]:
    """At ln K through the warm-up; then it falls, and rises a little as the teacher grows softer."""
    mark = math.log(prototypes)

    def loss(t: float, g: np.random.Generator) -> float:
        return mark - 0.5 * mark / (1 + math.exp(-40 * (t - 0.15))) + 0.6 * max(0, t - 0.5) + 0.03 * g.normal()

    def entropy(t: float, g: np.random.Generator) -> float:
        return mark * (0.3 + 0.69 * math.exp(-20 * t)) + 0.02 * g.normal()

    healthy = {"loss": loss, "teacher_entropy": entropy, "marginal_entropy": lambda t, g: 0.8 * mark}
    return history(**{**healthy, **curves}), facts("dino", collapse=mark)


def batch_cost(t: float) -> float:
    """What the mean picture costs on the batch of a moment; its deviation is 5 %, as in the demo's log."""
    return 0.9 * (1 + 0.07 * math.sin(9973 * t))


def mae(**curves: Any) -> tuple[Log, RunFacts]:
    """Slowly down from the mean picture's loss, which changes with what is on the pictures of a batch."""

    def loss(t: float, g: np.random.Generator) -> float:
        return batch_cost(t) * (0.6 + 0.4 * math.exp(-15 * t)) + 0.003 * g.normal()

    healthy = {"loss": loss, "mean_picture": lambda t, g: batch_cost(t)}
    return history(**{**healthy, **curves}), facts("mae", collapse=1.0)
