"""What to change when a finding is made: setting, direction, and why. A test checks that every setting exists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hint:
    """One change worth trying.

    Attributes:
        key: The setting, as on the command line.
        text: What to do with it and why.
        unless: The value that it advises; a run that has it already is not told.
    """

    key: str
    text: str
    unless: Any = None

    def with_value(self, settings: Mapping[str, Any]) -> str | None:
        """The hint with the setting's present value; None where it is followed already."""
        value: Any = settings
        for part in self.key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if self.unless is not None and value == self.unless:
            return None
        return f"{self.key} (now {value}): {self.text}"


_LOWER_LR = Hint("optimizer.lr", "lower it, by 3 first; a rate too high for the batch is the most frequent cause")
_WARM_UP = Hint("schedule.warmup_epochs", "warm up for longer")
_CLIP = Hint("optimizer.clip_norm", "clip gradients, for example at 1", unless=1.0)

ADVICE: dict[str, dict[str, tuple[Hint, ...]]] = {
    "at-chance": {
        "simclr": (
            _LOWER_LR,
            Hint("method.temperature", "raise it towards 0.5: a sharp temperature can keep a young network at chance"),
            Hint("method.views.crop_scale", "crop less: views that share nothing cannot be matched"),
        ),
        "dino": (
            _LOWER_LR,
            Hint("method.teacher_temperature", "lower it: a flat teacher teaches that all outputs are equal"),
            Hint("method.output_dim", "fewer outputs for a small set"),
        ),
        "mae": (
            Hint("optimizer.lr", "raise it if gradients are small, lower it if they spike"),
            Hint("epochs", "train for longer: a masked autoencoder leaves the mean picture late"),
            Hint("method.mask_ratio", "mask less, so that something of each structure is seen"),
        ),
    },
    "collapsed": {
        "simclr": (_LOWER_LR, _WARM_UP, _CLIP),
        "dino": (
            Hint("method.teacher_temperature", "lower it: sharpening works against outputs that are all equal"),
            Hint("method.momentum", "raise it: a teacher that follows fast is dragged along by its student"),
            Hint("method.center_momentum", "set 0.9: a centre that follows too fast or too slow lets go", unless=0.9),
            _LOWER_LR,
            _CLIP,
        ),
        "mae": (_LOWER_LR, _CLIP),
    },
    "one-output": {
        "dino": (
            Hint("method.center_momentum", "set 0.9: centring works against one output that always wins", unless=0.9),
            Hint("method.teacher_temperature", "raise it: a teacher this sharp feeds the winner"),
            _LOWER_LR,
        ),
    },
    "at-floor": {
        "simclr": (
            Hint("method.temperature", "lower it, 0.1 to 0.2: a high temperature has a high floor"),
            Hint("batch_size", "raise it: more negatives make the task harder"),
            Hint("method.views.crop_scale", "crop more, so that views share less"),
        ),
    },
    "features-alike": {"": (_LOWER_LR, _WARM_UP, _CLIP)},
    "few-dimensions": {
        "simclr": (
            _LOWER_LR,
            Hint("method.views.crop_scale", "crop more: easy views are matched by one property, such as brightness"),
            Hint("optimizer.weight_decay", "lower it: it pulls weak directions to zero"),
        ),
        "": (_LOWER_LR, Hint("optimizer.weight_decay", "lower it: it pulls weak directions to zero")),
    },
    "loss-rising": {"": (_LOWER_LR, _WARM_UP, _CLIP)},
    "gradients-exploding": {
        "": (_CLIP, _LOWER_LR, Hint("precision", "fp32, to rule out too few digits", unless="fp32"))
    },
    "gradients-vanishing": {
        "": (Hint("optimizer.lr", "check that it is not so high that the first steps killed the network"), _WARM_UP)
    },
    "input-bound": {"": (Hint("workers", "raise it while cores are free; see the verdict"),)},
}
"""Hints by finding and method; "" stands for any other method."""


def hints(code: str, method: str) -> tuple[Hint, ...]:
    """What to change about a finding under a method; empty when nothing is known to help."""
    of_code = ADVICE.get(code, {})
    return of_code.get(method, of_code.get("", ()))
