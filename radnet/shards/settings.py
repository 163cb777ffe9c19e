"""What shapes a set, apart from the scans and the secret."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from radnet.errors import UsageError, did_you_mean
from radnet.shards.sample import DEFAULT_SHARD_BYTES
from radnet.shards.selection import parse_rule
from radnet.shards.splits import DEFAULT_FRACTIONS, check_fractions

MODALITIES = ("CT", "MR", "CR", "DX", "PICTURE")
LEAST_SIZE = 16


@dataclass(frozen=True)
class BuildSettings:
    """What shapes a set's bytes.

    Attributes:
        split_fractions: Shares of train, val and test patients.
        shard_bytes: Largest size of a shard's file; only a single sample that is larger makes a larger one.
        modalities: Which images to take.
        size: Longer side of a slice in pixels, to which larger ones are averaged down; None keeps every size.
        every: Take every so manieth slice of a series, from its first.
        limit: Take so many series at most: the first ones in the order of the set, which is as good as random.
        include: Rules that a series must keep, all of them (`radnet.shards.selection`).
        exclude: Rules of which a series must keep none.
        keep_air: Store slices without tissue as well.
        keep_duplicates: Store slices again whose pixels are stored already.

    Raises:
        UsageError: A value makes no sense.
    """

    split_fractions: tuple[float, float, float] = DEFAULT_FRACTIONS
    shard_bytes: int = DEFAULT_SHARD_BYTES
    modalities: tuple[str, ...] = ("CT",)
    size: int | None = None
    every: int = 1
    limit: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep_air: bool = False
    keep_duplicates: bool = False

    def __post_init__(self) -> None:
        check_fractions(self.split_fractions)
        _require_at_least(self.shard_bytes, 1, "The size of a shard in bytes", "For example 268435456")
        _require_at_least(self.every, 1, "--every", "For example --every 2")
        if self.size is not None:
            _require_at_least(self.size, LEAST_SIZE, "--size", "For example --size 256")
        if self.limit is not None:
            _require_at_least(self.limit, 1, "--limit", "For example --limit 20")
        for rule in self.include:
            parse_rule(rule, "--include")
        for rule in self.exclude:
            parse_rule(rule, "--exclude")
        check_modalities(self.modalities)

    def describe(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def check_modalities(modalities: Sequence[str]) -> None:
    """Refuse what is no modality.

    Raises:
        UsageError: None, or an unknown one.
    """
    if not modalities:
        raise UsageError("No modality is asked for", fix=f"Known: {', '.join(MODALITIES)}")
    for modality in modalities:
        if modality not in MODALITIES:
            raise UsageError("Unknown modality", seen=modality, fix=did_you_mean(modality, MODALITIES))


def _require_at_least(value: int, least: int, what: str, fix: str) -> None:
    if value < least:
        raise UsageError(f"{what} must be at least {least}", seen=value, fix=fix)
