"""What a run trains on: the training slices of one shard set, or of several in one stream."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.pretrain.settings import PretrainSettings
from radnet.shards import BatchOrder, ShardMix, ShardSet, mix_order
from radnet.shards.streams import Source


@dataclass(frozen=True)
class TrainingData:
    """The sets of a run, opened.

    Attributes:
        sets: In the order of the settings.
        weights: Share of each set in an epoch; None: every slice of every set once an epoch.
        source: What the stream reads from.
        rows: int64, (N,): rows of `source` that train.
    """

    sets: tuple[ShardSet, ...]
    weights: tuple[float, ...] | None
    source: Source
    rows: NDArray[np.int64]

    @classmethod
    def open(cls, settings: PretrainSettings) -> "TrainingData":
        """Open `data` of the settings.

        Raises:
            UsageError: Something is no shard set, or holds what another one holds.
            RadnetError: A file of a set is missing.
        """
        places = (settings.data,) if isinstance(settings.data, str) else settings.data
        sets = tuple(ShardSet.open(place) for place in places)
        known: dict[str, str] = {}
        for place, one in zip(places, sets, strict=True):
            other = known.setdefault(one.manifest.content_hash(), place)
            if other != place or places.count(place) > 1:
                raise UsageError(
                    "Two of the sets hold the same slices",
                    seen=[other, place],
                    fix="Name every set once; data_weights says how often it is seen",
                )
        if len(sets) == 1:
            return cls(sets, None, sets[0], sets[0].rows("train"))
        mix = ShardMix(sets)
        parts = [one.rows("train") + offset for one, offset in zip(sets, mix.offsets, strict=False)]
        return cls(sets, settings.data_weights, mix, np.concatenate(parts))

    @property
    def content(self) -> dict[str, str]:
        """Content hash of every set by its name; sets of one name are numbered."""
        names = [one.manifest.name for one in self.sets]
        often, seen, content = Counter(names), Counter[str](), {}
        for name, one in zip(names, self.sets, strict=True):
            seen[name] += 1
            content[name if often[name] == 1 else f"{name} ({seen[name]})"] = one.manifest.content_hash()
        return content

    @property
    def is_synthetic(self) -> bool:
        """Whether any slice comes from a phantom."""
        return any(one.manifest.synthetic != "none" for one in self.sets)

    def order(self, batch_size: int, world_size: int, seed: int) -> BatchOrder:
        """Which slice comes when; see `radnet.shards.mix` for what weights mean.

        Args:
            batch_size: Slices a step on each rank.
            world_size: Number of ranks.
            seed: Of the run.

        Raises:
            UsageError: The slices do not fill one batch.
        """
        if self.weights is None:
            return BatchOrder(len(self.rows), batch_size, world_size, seed)
        sizes = [len(one.rows("train")) for one in self.sets]
        return mix_order(sizes, self.weights, batch_size, world_size, seed)

    def keys(self, rows: NDArray[np.int64]) -> list[str]:
        """Keys of slices for a message, with the name of their set before them where there are several.

        Args:
            rows: Of `source`.
        """
        if len(self.sets) == 1:
            return [str(key) for key in self.sets[0].index["key"].to_numpy()[rows]]
        names, mix = list(self.content), ShardMix(self.sets)
        places = [mix.locate(int(row)) for row in rows]
        return [f"{names[number]}/{self.sets[number].index['key'].to_numpy()[row]}" for number, row in places]
