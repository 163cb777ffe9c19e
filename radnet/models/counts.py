"""What the slices of a pretraining are: counts by region, thickness, manufacturer and more, of those that train."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from radnet.shards import ShardSet
from radnet.shards.census import count_slices

HEADINGS = ("region", "slice thickness", "manufacturer", "modality", "kernel")


def training_counts(sets: Sequence[ShardSet]) -> dict[str, dict[str, int]]:
    """Slices of the training split of some sets together, by heading and value.

    Args:
        sets: Opened shard sets.

    Raises:
        RadnetError: An index cannot be read.
    """
    counts: dict[str, Counter[str]] = {heading: Counter() for heading in HEADINGS}
    for one in sets:
        by = count_slices(one.path, one.manifest, split="train")
        for heading in HEADINGS:
            counts[heading].update({value: count.slices for value, count in by.get(heading, {}).items()})
    return {heading: dict(counter.most_common()) for heading, counter in counts.items() if counter}


def counts_of(places: Sequence[str]) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Content hash -> place of some sets, and their `training_counts`.

    Args:
        places: As `ShardSet.open` takes them.

    Raises:
        UsageError: Something is no shard set.
    """
    sets = [ShardSet.open(place if "://" in place or place.startswith("pipe:") else Path(place)) for place in places]
    contents = {one.manifest.content_hash(): place for one, place in zip(sets, places, strict=True)}
    return contents, training_counts(sets)
