"""What the sections of a report share: models, sets, their features from the shared cache."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.report.sets import DomainSet
from radnet.analysis.report.settings import AnalyzeSettings
from radnet.analysis.report.store import Store
from radnet.models import LoadedModel
from radnet.transfer.features import default_cache, features_of
from radnet.views import EvaluationView, window_policy

CHECKPOINT = re.compile(r"^(?P<run>.*) @ (?P<step>\d+)$")
"""How a checkpoint of a run is called among the models of a report."""


def checkpoint_name(run: str, step: int) -> str:
    """The name in a report of a run's checkpoint."""
    return f"{run} @ {step}"


@dataclass(frozen=True)
class Study:
    """Everything that a section of the report works on.

    Attributes:
        settings: Of the report.
        models: By the name that the report calls them; those of checkpoints only have their spectrum measured.
        sets: In the order in which they were given.
        features: (model, set) -> float32, (N, D), of the set's items that take part.
        store: Where numbers go.
    """

    settings: AnalyzeSettings
    models: Mapping[str, LoadedModel]
    sets: list[DomainSet]
    features: Mapping[tuple[str, str], NDArray[np.float32]]
    store: Store

    @property
    def compared(self) -> list[str]:
        """Names of the models that were asked for, without checkpoints on the way."""
        return [name for name in self.models if CHECKPOINT.match(name) is None]

    @property
    def figures(self) -> Path:
        """Directory of the figures."""
        return self.settings.out / "figures"

    def view(self, model: LoadedModel) -> EvaluationView:
        """What a model sees of an item; see `view_of`."""
        return view_of(model, self.settings)

    def pooled(self, model: str) -> NDArray[np.float32]:
        """Features of all sets below each other, float32, (sum of N, D)."""
        return np.concatenate([self.features[model, one.name] for one in self.sets])

    def patients(self) -> NDArray[np.str_]:
        """Patient of each pooled item."""
        return np.concatenate([one.patients for one in self.sets])

    def series(self) -> NDArray[np.str_]:
        """Series of each pooled item."""
        return np.concatenate([one.series for one in self.sets])

    def domains(self) -> NDArray[np.str_]:
        """Name of the set of each pooled item."""
        return np.repeat([one.name for one in self.sets], [len(one) for one in self.sets])

    def locate(self, item: int) -> tuple[DomainSet, int]:
        """Set and row of its index of a pooled item."""
        for one in self.sets:
            if item < len(one):
                return one, int(one.rows[item])
            item -= len(one)
        raise IndexError(item)

    def identity(self, model: str, *sets: DomainSet) -> dict[str, object]:
        """What decides a number of a model on sets."""
        return {
            "model": model,
            **self.model_identity(model),
            "sets": [one.identity() for one in sets],
            "set": sets[0].name if sets else None,
            "other": sets[1].name if len(sets) > 1 else None,
        }

    def model_identity(self, model: str) -> dict[str, object]:
        """What decides the features of a model, besides settings: equal weights may be normalised in two ways."""
        loaded = self.models[model]
        return {
            "weights": loaded.weights_sha256,
            "architecture": loaded.architecture,
            "mean": list(loaded.mean),
            "std": list(loaded.std),
        }


def view_of(model: LoadedModel, settings: AnalyzeSettings) -> EvaluationView:
    """The evaluation view of a model: one size and window for all, the model's own normalisation."""
    return EvaluationView(size=settings.size, window=window_policy(settings.window), mean=model.mean, std=model.std)


def extract(
    models: Mapping[str, LoadedModel], sets: list[DomainSet], settings: AnalyzeSettings
) -> dict[tuple[str, str], NDArray[np.float32]]:
    """Features of all models on all sets, from the shared cache where they are there."""
    cache = settings.cache or default_cache()
    found = {}
    for name, model in models.items():
        for one in sets:
            thinned = len(one) < len(one.shards)
            features = features_of(
                model,
                one.shards,
                view_of(model, settings),
                cache=cache,
                batch_size=settings.batch_size,
                workers=settings.workers,
                device=settings.torch_device(),
                rows=one.rows if thinned else None,  # features of whole sets are shared with every probe
            )
            found[name, one.name] = np.array(features)
    return found
