"""Weights of other projects: read safely, renamed to timm's names, every tensor accounted for."""

from radnet.models.foreign.layouts import LAYOUTS
from radnet.models.foreign.run import Imported, ImportRequest, import_weights

__all__ = ["LAYOUTS", "ImportRequest", "Imported", "import_weights"]
