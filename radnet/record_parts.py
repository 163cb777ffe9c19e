"""The parts that a result record is made of: what was evaluated, on what, how, and what came out.

`radnet.records` puts them together; import them from there.
"""

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

PATH_SCHEMES = ("run", "local-dir")
"""Schemes of a model's name that are followed by a path on somebody's machine."""

Name = Annotated[str, StringConstraints(min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Frozen(BaseModel):
    """Immutable, and without room for a field that nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, protected_namespaces=())


class ModelCard(Frozen):
    """Which backbone was evaluated, and where its weights come from.

    Attributes:
        name: "run:…", "local-dir:…", "hf-hub:ORG/NAME", "timm:NAME" or "random:NAME". Of a path at most the last
            two parts, so that no directory of somebody's machine enters a result.
        arm: Side of the comparison the model stands on.
        architecture: timm name of the architecture.
        weights_sha256: SHA-256 of the weights, None when they could not be had.
        pretraining: What the weights were pretrained on, in a few words ("ImageNet-1k", "none").
        method: Pretraining method ("simclr", "dino", "mae", "supervised"), None when there was none.
        parameters: Number of parameters of the backbone.
        in_chans: Number of input channels.
        synthetic: Whether it was pretrained on synthetic scans.
        recipe: What pretrainings that differ in their seed alone have in common (a name or hash of their settings),
            so that they become one row. None: the model stands for itself. Since version 2.
        pretraining_seed: Seed of the pretraining, None when unknown or when there was none. Since version 2.
    """

    name: Name
    arm: Literal["in-domain", "imagenet", "random", "other"]
    architecture: Name
    weights_sha256: Sha256 | None
    pretraining: str
    method: str | None
    parameters: Count
    in_chans: Annotated[int, Field(ge=1)]
    synthetic: bool
    recipe: Name | None = None
    pretraining_seed: Count | None = None

    @field_validator("name")
    @classmethod
    def _no_path_of_this_machine(cls, name: str) -> str:
        scheme, _, rest = name.partition(":")
        if scheme in PATH_SCHEMES and (rest.startswith("/") or "\\" in rest or len(PurePosixPath(rest).parts) > 2):
            raise ValueError(f"keep at most the last two parts of a path, joined by '/', not {name!r}")
        return name


class TaskCard(Frozen):
    """Which labelled set was used.

    Attributes:
        name: Name of the task.
        manifest_hash: Hash of the set's manifest; two results are comparable only when it is the same.
        metric: Name of the primary metric, by which rows are ranked (higher is better).
        classes: Names of the classes, in the order of their numbers.
        synthetic: Whether the scans were made by the phantom.
    """

    name: Name
    manifest_hash: Name
    metric: Name
    classes: tuple[str, ...]
    synthetic: bool


class ProtocolCard(Frozen):
    """How the model was evaluated.

    Attributes:
        name: Name of the protocol ("knn", "linear", …).
        settings: Every setting that changes the result.
        hash: Hash of name and settings; two results are comparable only when it is the same.
    """

    name: Name
    settings: dict[str, JsonValue]
    hash: Name


class Interval(Frozen):
    """A value with its 95 % confidence interval.

    Attributes:
        value: The point estimate. A percentile interval need not hold it.
        low: Lower end.
        high: Upper end.
        undefined: Share of the bootstrap resamples on which the statistic was undefined and which were left out.
    """

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    undefined: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) lies above high ({self.high})")
        return self


class Counts(Frozen):
    """How many items and patients stood on each side, after the fraction was taken."""

    train_items: Count
    val_items: Count
    test_items: Count
    train_patients: Count
    val_patients: Count
    test_patients: Count


class Environment(Frozen):
    """Where the cell was computed: versions and machine in words, no host name, no path."""

    radnet: str
    python: str
    torch: str
    timm: str
    platform: str
    cpu_count: int
    device: str


Probability = Annotated[FiniteFloat, Field(ge=0, le=1)]


class Difference(Interval):
    """How far a row lies above a reference on the same test patients: value, interval and what a test says.

    Attributes:
        p: Two-sided p value of the paired test, not corrected for other comparisons; None when none was made.
        test: The test in a few words ("randomisation of patients"), None without `p`.
        detectable: The smallest true difference that this design finds with 80 % power at 5 %, None when unknown.
        patients: Number of test patients behind the test, None when unknown.
        reference_cell: Cell of the reference, None when unknown.
    """

    p: Probability | None = None
    test: str | None = None
    detectable: Annotated[FiniteFloat, Field(ge=0)] | None = None
    patients: Count | None = None
    reference_cell: str | None = None

    @classmethod
    def of(cls, value: object) -> object:
        """Accept a plain interval where a difference is wanted: nobody made a test."""
        if isinstance(value, Interval) and not isinstance(value, cls):
            return cls(**value.model_dump())
        return value


AnyDifference = Annotated[Difference, BeforeValidator(Difference.of)]


class Condition(Frozen):
    """What was done to the images, apart from the task's own preprocessing.

    Attributes:
        name: "gaussian_noise", "rician_noise", "dose", "kernel_blur", "slice_thickness", "window", …
        on: Whether training or test images were changed.
        settings: How much, e.g. {"std": 0.01}.
    """

    name: Name
    on: Literal["train", "test", "train and test"]
    settings: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def words(self) -> str:
        """The condition on one line ("gaussian_noise on train, std = 0.01")."""
        how = ", ".join(f"{name} = {value}" for name, value in sorted(self.settings.items()))
        return f"{self.name} on {self.on}" + (f", {how}" if how else "")


class Curve(Frozen):
    """One quantity over the course of training or over a setting, to be drawn.

    Attributes:
        over: What the positions are ("epoch", "step", "C").
        at: Positions, ascending.
        values: One value a position, None where it was not finite.
    """

    over: Name
    at: tuple[FiniteFloat, ...]
    values: tuple[FiniteFloat | None, ...]

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.at) != len(self.values):
            raise ValueError(f"{len(self.at)} positions with {len(self.values)} values")
        if any(after <= before for before, after in zip(self.at, self.at[1:], strict=False)):
            raise ValueError("positions must ascend")
        return self


class Overlap(Frozen):
    """Whether images of the test set were in the pretraining set.

    Attributes:
        checked: Whether the contents were compared.
        test_items: Test items that were looked up.
        shared_items: Those whose content the pretraining set holds.
        shared_patients: Test patients that the pretraining set holds; None when the keys cannot be compared.
        sets: Content hashes of the pretraining sets that were looked into.
        message: Why nothing was compared, or what else to know.
    """

    checked: bool
    test_items: Count = 0
    shared_items: Count = 0
    shared_patients: Count | None = None
    sets: tuple[Name, ...] = ()
    message: str = ""

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.shared_items > self.test_items:
            raise ValueError(f"{self.shared_items} of {self.test_items} test items cannot be shared")
        if not self.checked and not self.message.strip():
            raise ValueError("an overlap that was not checked needs a message: why")
        return self


class Resampled(Frozen):
    """The task's metric on the first resamples of the patient bootstrap, kept so that rows can be compared later.

    Rows with the same `draws` saw the same resamples, so their ranks can be counted on each of them.

    Attributes:
        draws: Hash of what decides the draws: the seed, and the test patients in their order.
        values: The metric on each resample, None where it was undefined. A few hundred do.
    """

    draws: Name
    values: Annotated[tuple[FiniteFloat | None, ...], Field(min_length=1)]
