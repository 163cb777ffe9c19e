"""Every tensor of a file accounted for: matched, left out for a reason, or an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.models.foreign.layouts import LAYOUTS, WRAPPERS, Layout

_SHOWN = 5


@dataclass
class Encoder:
    """The encoder in a file.

    Attributes:
        layout: How the file is made.
        tensors: The encoder's, without the layout's prefix -> tensor.
        whole_names: The same names -> names in the file.
        left_out: Name in the file -> why it is no part of the encoder.
        unexpected: Names in the file that nothing accounts for.
    """

    layout: Layout
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    whole_names: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)


def find_encoder(tensors: Mapping[str, torch.Tensor], layout: str | None, ignore: Sequence[str], file: Path) -> Encoder:
    """Tell the encoder from everything else.

    Args:
        tensors: Of the file.
        layout: Name of the layout; None recognises it.
        ignore: Patterns of names that may be left out.
        file: For messages.

    Raises:
        UsageError: No such layout, or the file is not of it.
    """
    plain = unwrapped(tensors)
    names = list(plain)
    chosen = _layout(layout, names, file)
    prefix = chosen.encoder_prefix(names)
    if prefix is None:
        raise UsageError(
            f"The file is not of this layout: no name begins with {' or '.join(chosen.encoders)}",
            seen=names[:_SHOWN],
            file=file,
            fix="Leave --layout out, and it is recognised",
        )
    prefix = "" if chosen.name == "lukemelas" else prefix
    found = Encoder(chosen)
    for name, tensor in plain.items():
        if pattern := next((one for one in ignore if fnmatchcase(name, one)), None):
            found.left_out[name] = f"named by --ignore {pattern}"
        elif part := chosen.other_part(name, prefix):
            found.left_out[name] = part
        elif name.startswith(prefix):
            found.tensors[name.removeprefix(prefix)] = tensor
            found.whole_names[name.removeprefix(prefix)] = name
        else:
            found.unexpected.append(name)
    return found


def unwrapped(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors without what wrappers put before every name."""
    plain = dict(tensors)
    while wrapper := next((one for one in WRAPPERS if plain and all(name.startswith(one) for name in plain)), None):
        plain = {name.removeprefix(wrapper): tensor for name, tensor in plain.items()}
    return plain


def _layout(name: str | None, names: list[str], file: Path) -> Layout:
    if name is None:
        return next(layout for layout in LAYOUTS if layout.fits(names))  # the last one fits everything
    known = {layout.name: layout for layout in LAYOUTS}
    if name not in known:
        raise UsageError("Unknown layout", seen=name, file=file, fix=did_you_mean(name, known))
    return known[name]


def require_real(encoder: Encoder, file: Path) -> None:
    """Refuse tensors that are no dense arrays of real numbers, whatever they are for.

    Raises:
        RadnetError: A tensor has no values (meta), is sparse, quantised or complex.
    """
    strange = [
        f"{encoder.whole_names[name]} ({kind})" for name, tensor in encoder.tensors.items() if (kind := _oddity(tensor))
    ]
    if strange:
        raise RadnetError(
            "Weights are dense arrays of real numbers, and these tensors are not",
            seen=strange[:_SHOWN],
            file=file,
            fix="Save the network's weights as float32, or leave out what is no weight: --ignore NAME",
        )


def _oddity(tensor: torch.Tensor) -> str | None:
    if tensor.is_meta:
        return "meta: it has no values"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_quantized:
        return "quantised"
    return f"complex: {_dtype(tensor)}" if tensor.is_complex() else None


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def require_whole(
    own: Mapping[str, torch.Tensor],
    found: Mapping[str, torch.Tensor],
    encoder: Encoder,
    foreign: Mapping[str, str],
    *,
    missing_allowed: Sequence[str],
    architecture: str,
    file: Path,
) -> list[str]:
    """Refuse an encoder that is not the architecture's, tensor by tensor.

    Args:
        own: State of the timm model.
        found: The encoder's tensors under timm's names.
        encoder: Where they come from.
        foreign: timm's name -> name in the file.
        missing_allowed: Patterns of timm's names that may be missing.
        architecture: timm's name.
        file: For messages.

    Returns:
        The names that are missing and may be.

    Raises:
        RadnetError: Something is missing, unexpected, of another shape, of integers where timm has floating-point
            numbers, or not finite.
    """
    unexpected = encoder.unexpected + [foreign[name] for name in found if name not in own]
    missing = [name for name in own if name not in found]
    allowed = [name for name in missing if any(fnmatchcase(name, one) for one in missing_allowed)]
    missing = [name for name in missing if name not in allowed]
    shapes = [
        f"{foreign[name]} is {tuple(found[name].shape)}, {name} of {architecture} is {tuple(own[name].shape)}"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    matched = sum(name in found and found[name].shape == own[name].shape for name in own)
    if matched == 0 or (unexpected and missing and matched < len(own) / 2):
        raise RadnetError(
            f"These are weights of another architecture than {architecture}: {matched} of its {len(own)} tensors are "
            f"there, {len(unexpected)} others",
            seen=(unexpected or list(found))[:_SHOWN],
            file=file,
            fix=f"Give the --architecture they are of (layout: {encoder.layout.name}, --layout names another)",
        )
    problems = []
    if missing:
        problems.append(
            f"{len(missing)} tensors are missing ({_some(missing)}; --missing PATTERN leaves them untrained)"
        )
    if unexpected:
        problems.append(f"{len(unexpected)} are unexpected ({_some(unexpected)}; --ignore PATTERN leaves them out)")
    if shapes:
        problems.append(f"{len(shapes)} have another shape ({_some(shapes)})")
    if problems:
        raise RadnetError(
            f"The weights do not fit {architecture} wholly: {'; '.join(problems)}",
            file=file,
            fix=f"Give another --architecture or --layout (recognised: {encoder.layout.name}), or name what may differ",
        )
    integers = [
        f"{foreign[name]} ({_dtype(tensor)})"
        for name, tensor in found.items()
        if own[name].is_floating_point() and not tensor.is_floating_point()
    ]
    if integers:
        raise RadnetError(
            "Weights are floating-point numbers, and these tensors are not",
            seen=integers[:_SHOWN],
            file=file,
            fix="Save the network's weights as float32: quantised ones are of use only with their scales",
        )
    sick = [foreign[name] for name, tensor in found.items() if not bool(torch.isfinite(tensor).all())]
    if sick:
        raise RadnetError("Weights are not finite numbers", seen=sick[:_SHOWN], file=file, fix="Fetch the file again")
    return allowed


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
