"""Every published layout is recognised, and every one of its tensors is accounted for."""

from pathlib import Path

import pytest
import timm
import torch

from radnet.errors import RadnetError, UsageError
from radnet.models import create_backbone
from radnet.models.foreign.layouts import LAYOUTS
from radnet.models.foreign.matching import find_encoder, require_whole
from radnet.models.foreign.reading import read_tensors
from radnet.models.foreign.renaming import merge_positions, timm_names
from tests.models.foreign.states import RESNETS, State, dinov2, lukemelas_names, mae

FILE = Path("weights.pth")
VIT = {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 28}


@pytest.fixture(scope="module")
def resnet() -> State:
    """A torchvision ResNet-18 without fc."""
    from torchvision.models import resnet18

    return {name: tensor for name, tensor in resnet18().state_dict().items() if not name.startswith("fc.")}


@pytest.fixture(scope="module")
def timm_resnet() -> torch.nn.Module:
    return create_backbone("resnet18", in_chans=3, seed=0)


@pytest.mark.parametrize("what", RESNETS)
def test_a_resnet_comes_out_of_every_layout(
    tmp_path: Path, resnet: State, timm_resnet: torch.nn.Module, what: str
) -> None:
    layout, write = RESNETS[what]
    torch.save(write(resnet), tmp_path / "weights.tar")
    stored = read_tensors(tmp_path / "weights.tar")
    encoder = find_encoder(stored.tensors, None, (), FILE)
    assert encoder.layout.name == layout
    names = timm_names(encoder.tensors, timm_resnet)
    found = {names[name]: tensor for name, tensor in encoder.tensors.items() if not name.startswith("fc.")}
    assert found.keys() == timm_resnet.state_dict().keys()
    assert encoder.unexpected == []
    assert all(torch.equal(found[name], resnet[name]) for name in resnet)
    kept = sum(name.startswith("fc.") for name in encoder.tensors)
    assert len(encoder.tensors) - kept + len(encoder.left_out) + kept == len(stored.tensors)


def test_every_layout_is_tested() -> None:
    resnets = {layout for layout, _ in RESNETS.values()}
    assert resnets | {"lukemelas", "mae", "prefixed"} == {layout.name for layout in LAYOUTS}


@pytest.mark.parametrize(
    ("architecture", "repeats", "squeeze"),
    [("tf_efficientnet_lite0", (1, 2, 2, 3, 3, 4, 1), False), ("tf_efficientnet_b0", (1, 2, 2, 3, 3, 4, 1), True)],
)
def test_efficientnet_pytorch_has_a_name_for_each_of_timms(
    architecture: str, repeats: tuple[int, ...], squeeze: bool
) -> None:
    model = timm.create_model(architecture)
    names = lukemelas_names(repeats, squeeze=squeeze)
    found = timm_names(names, model)
    assert sorted(found.values()) == sorted(model.state_dict())
    assert found["_blocks.0._project_conv.weight"] == "blocks.0.0.conv_pw.weight"
    assert found["_blocks.1._project_conv.weight"] == "blocks.1.0.conv_pwl.weight"
    assert find_encoder(dict.fromkeys(names, torch.ones(2, 2)), None, (), FILE).layout.name == "lukemelas"


def test_a_vit_of_mae_leaves_its_decoder_behind() -> None:
    model = create_backbone("vit_small_patch16_224", in_chans=3, seed=1, **{**VIT, "img_size": 32})
    encoder = find_encoder(mae(model.state_dict()), None, (), FILE)
    assert (encoder.layout.name, encoder.unexpected) == ("mae", [])
    assert set(timm_names(encoder.tensors, model).values()) == model.state_dict().keys()
    assert set(encoder.left_out.values()) == {"decoder", "mask token"}


@pytest.mark.parametrize(
    ("architecture", "registers", "chunks", "gated"),
    [
        ("vit_small_patch14_dinov2", False, False, False),
        ("vit_small_patch14_reg4_dinov2", True, True, False),
        ("vit_giant_patch14_reg4_dinov2", True, False, True),
    ],
)
def test_a_vit_of_dinov2_becomes_timms(architecture: str, registers: bool, chunks: bool, gated: bool) -> None:
    model = create_backbone(architecture, in_chans=3, seed=1, **VIT)
    encoder = find_encoder(dinov2(model.state_dict(), registers=registers, chunks=chunks, gated=gated), None, (), FILE)
    assert encoder.layout.name == "dino"
    names = timm_names(encoder.tensors, model)
    found = merge_positions({names[name]: tensor for name, tensor in encoder.tensors.items()})
    assert found.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "registers", "chunks", "gated"),
    [
        ("vit_small_patch14_reg4_dinov2", True, False, False),
        ("vit_small_patch14_dinov2", False, True, False),
        ("vit_giant_patch14_dinov2", False, False, True),
    ],
)
def test_dinov2_is_told_by_each_name_of_its_own(architecture: str, registers: bool, chunks: bool, gated: bool) -> None:
    model = create_backbone(architecture, in_chans=3, seed=1, **VIT)
    state = dinov2(model.state_dict(), registers=registers, chunks=chunks, gated=gated)
    del state["mask_token"]
    assert find_encoder(state, None, (), FILE).layout.name == "dino"


def test_a_vit_of_timms_with_layer_scale_is_no_dinov2() -> None:
    model = create_backbone("deit3_small_patch16_224", in_chans=3, seed=1, classes=5, **{**VIT, "img_size": 32})
    assert "blocks.0.ls1.gamma" in model.state_dict()
    encoder = find_encoder(model.state_dict(), None, (), FILE)
    assert (encoder.layout.name, encoder.left_out, encoder.unexpected) == ("plain", {}, [])
    assert encoder.tensors.keys() == model.state_dict().keys()


def test_another_architecture_is_told_from_a_file_that_lacks_something(
    resnet: State, timm_resnet: torch.nn.Module
) -> None:
    def refused(state: State, missing: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> list[str]:
        encoder = find_encoder(state, None, ignore, FILE)
        names = timm_names(encoder.tensors, timm_resnet)
        found = {names[name]: tensor for name, tensor in encoder.tensors.items()}
        foreign = {names[name]: name for name in encoder.tensors}
        return require_whole(
            timm_resnet.state_dict(),
            found,
            encoder,
            foreign,
            missing_allowed=missing,
            architecture="resnet18",
            file=FILE,
        )

    vit = create_backbone("vit_small_patch16_224", in_chans=3, seed=1, **{**VIT, "img_size": 32}).state_dict()
    with pytest.raises(RadnetError, match="weights of another architecture than resnet18"):
        refused(dict(vit))
    less = {name: tensor for name, tensor in resnet.items() if name != "layer1.0.conv1.weight"}
    with pytest.raises(RadnetError, match=r"1 tensors are missing \(layer1\.0\.conv1\.weight; --missing"):
        refused(less)
    assert refused(less, missing=("layer1.0.conv1.*",)) == ["layer1.0.conv1.weight"]
    more = {**resnet, "probe.weight": torch.ones(2, 2)}
    with pytest.raises(RadnetError, match=r"1 are unexpected \(probe\.weight; --ignore"):
        refused(more)
    assert refused(more, ignore=("probe.*",)) == []
    with pytest.raises(RadnetError, match=r"another shape \(conv1\.weight is \(64, 3, 3, 3\)"):
        refused({**resnet, "conv1.weight": torch.ones(64, 3, 3, 3)})
    with pytest.raises(RadnetError, match="not finite"):
        refused({**resnet, "conv1.weight": torch.full((64, 3, 7, 7), float("nan"))})


def test_a_wrong_layout_is_refused(resnet: State) -> None:
    with pytest.raises(UsageError, match="Did you mean moco"):
        find_encoder(resnet, "mocco", (), FILE)
    with pytest.raises(UsageError, match="no name begins with encoder_q"):
        find_encoder(resnet, "moco", (), FILE)
