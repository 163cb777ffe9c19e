"""Starting from weights that were trained before: ImageNet's, or those of another run."""

from typing import Any

from timm.models import adapt_input_conv
from torch import Tensor, nn

from radnet.errors import UsageError
from radnet.models import ModelName, load_model
from radnet.models.load import LoadedModel
from radnet.pretrain.method import Method


def load_initial_weights(method: Method, name: str | None) -> dict[str, Any]:
    """Put trained weights into the backbone of a method; its heads stay new, because exports have none.

    Weights of another number of input channels are adapted as timm does: one channel gets the sum of three, and three
    get a third of one each.

    Args:
        method: Fresh; changed in place. Of DINO both student and teacher get the weights.
        name: See `ModelName`; None leaves the random weights.

    Returns:
        What the provenance says of it: {} for None.

    Raises:
        UsageError: The name is none, or the weights are those of another backbone.
        RadnetError: The weights cannot be had.
    """
    if name is None:
        return {}
    parsed = ModelName.parse(name)
    if parsed.scheme == "random":
        raise UsageError(
            "initial_weights are trained ones", seen=name, fix="Leave it at null for random weights; seed says which"
        )
    loaded = load_model(parsed, size=method.views.size)
    state = _adapted(loaded, method.views.channels)
    for network in (method.trained_backbone, method.backbone):
        _require_fit(network, state, loaded)
        network.load_state_dict(state, strict=True)
    return {
        "architecture": loaded.architecture,
        "weights_sha256": loaded.weights_sha256,
        "pretraining": loaded.pretraining,
        "method": loaded.method,
        "data": list(loaded.data),
        "synthetic": loaded.synthetic,
    }


def _adapted(loaded: LoadedModel, channels: int) -> dict[str, Tensor]:
    """The state of a model with its first convolutions for so many channels."""
    state: dict[str, Tensor] = loaded.backbone.state_dict()
    settings: dict[str, Any] = loaded.backbone.pretrained_cfg  # type: ignore[assignment]
    first = settings.get("first_conv") or ()
    for layer in (first,) if isinstance(first, str) else first:
        key = f"{layer}.weight"
        try:
            state[key] = adapt_input_conv(channels, state[key], base_chans=loaded.in_chans)
        except (NotImplementedError, KeyError) as error:
            raise UsageError(
                f"timm cannot adapt the first layer of these weights from {loaded.in_chans} channel(s) to {channels}",
                seen=str(loaded.name),
                fix="Train with as many channels (method.views.colour), or start from other weights",
            ) from error
    return state


def _require_fit(network: nn.Module, state: dict[str, Tensor], loaded: LoadedModel) -> None:
    own = network.state_dict()
    others = sorted(own.keys() ^ state.keys())
    others += [key for key in own if key in state and own[key].shape != state[key].shape]
    if others:
        raise UsageError(
            f"The initial weights are those of another backbone, {loaded.architecture}: {len(others)} tensors differ, "
            f"such as {others[0]}",
            seen=str(loaded.name),
            fix="Set backbone, backbone_arguments and method.views.size as they were for these weights",
        )
