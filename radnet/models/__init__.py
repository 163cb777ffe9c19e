"""Floor 4: timm backbones, heads, and the one form in which weights leave and enter radnet."""

from radnet.models.backbone import create_backbone, embedding_size
from radnet.models.export import export_backbone
from radnet.models.load import LoadedModel, WeightsUnavailableError, load_model
from radnet.models.names import ModelName
from radnet.models.provenance import Provenance
from radnet.models.transform import transform_for

__all__ = [
    "LoadedModel",
    "ModelName",
    "Provenance",
    "WeightsUnavailableError",
    "create_backbone",
    "embedding_size",
    "export_backbone",
    "load_model",
    "transform_for",
]
