"""What cells need to know of a model apart from its weights: enough to tell whether a finished cell still stands."""

from pathlib import Path, PurePosixPath

from radnet.models import LoadedModel, ModelName
from radnet.record_parts import Frozen
from radnet.records import ModelCard


class ModelFacts(Frozen):
    """A model without its weights, as it can be kept in a file.

    Attributes:
        asked: The whole name it was asked for by; that of the card is short.
        card: The model's part of a record.
        mean: Normalisation, one value a channel.
        std: Normalisation, one value a channel.
        data: Content hashes of the sets it was pretrained on, where they are known.
    """

    asked: str
    card: ModelCard
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: LoadedModel) -> "ModelFacts":
        """Those of a loaded model."""
        return cls(asked=str(model.name), card=model_card(model), mean=model.mean, std=model.std, data=model.data)

    @property
    def name(self) -> ModelName:
        """The whole name it was asked for by."""
        return ModelName.parse(self.asked)

    @property
    def arm(self) -> str:
        """Side of a comparison that it stands on."""
        return self.card.arm

    @property
    def pretraining(self) -> str:
        """What it was pretrained on, in words."""
        return self.card.pretraining


def model_card(model: LoadedModel) -> ModelCard:
    """The model's part of a record."""
    return ModelCard(
        name=short_name(model.name),
        arm=model.arm,
        architecture=model.architecture,
        weights_sha256=model.weights_sha256,
        pretraining=model.pretraining,
        method=model.method,
        parameters=model.parameters,
        in_chans=model.in_chans,
        synthetic=model.synthetic,
    )


def short_name(name: ModelName) -> str:
    """A model's name for records: of a path, the last two parts at most."""
    if name.scheme not in ("run", "local-dir"):
        return str(name)
    parts = [part for part in PurePosixPath(Path(name.value).resolve()).parts if part != "/"]
    return f"{name.scheme}:{'/'.join(parts[-2:])}"
