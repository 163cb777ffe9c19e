"""How a model is named, the same way everywhere: `SCHEME:VALUE` with the schemes below."""

from dataclasses import dataclass

from radnet.errors import UsageError

SCHEMES = {
    "run": "a run directory of radnet pretrain; its export is loaded",
    "local-dir": "an export: a directory with config.json and model.safetensors",
    "hf-hub": "an export on the Hugging Face hub, ORG/NAME or ORG/NAME@REVISION",
    "timm": "a timm architecture with its ImageNet weights",
    "random": "a timm architecture with random weights",
}


@dataclass(frozen=True)
class ModelName:
    """A parsed model name.

    Attributes:
        scheme: One of `SCHEMES`.
        value: Path, hub name or architecture.
    """

    scheme: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "ModelName":
        """Parse `SCHEME:VALUE`.

        Raises:
            UsageError: Unknown scheme or empty value.
        """
        scheme, _, value = text.partition(":")
        if scheme not in SCHEMES or not value:
            forms = "; ".join(f"{name}:… ({meaning})" for name, meaning in SCHEMES.items())
            raise UsageError("A model is named SCHEME:VALUE", seen=text, fix=f"Known schemes: {forms}")
        return cls(scheme, value)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"
