"""Publishing: the card, the proof in timm without radnet, the hub, and what must not be published."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file, save_file

from radnet.errors import RadnetError, UsageError
from radnet.models import ModelName, Provenance, load_model, transform_for
from radnet.models.publish import publish
from radnet.models.weights import weights_sha256
from radnet.records import (
    Counts,
    Interval,
    ProtocolCard,
    ResultRecord,
    TaskCard,
    cell_hash,
    current_environment,
    write_record,
)
from radnet.records import (
    ModelCard as RecordModel,
)
from radnet.shards import ShardSet
from radnet.views import EvaluationView, MultiWindow
from radnet.zoo import ZOO_VARIABLE
from tests.models.exports_for_tests import PROVENANCE, SIZE, small_export
from tests.models.hub_for_tests import Hub, running_hub


@pytest.fixture(autouse=True)
def _own_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ZOO_VARIABLE, str(tmp_path / "zoo"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, in place of the one on the internet."""
    with running_hub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("radnet.models.weights._hub_answers", lambda: True)
        yield running


def _record(weights_sha256: str, value: float = 0.9) -> ResultRecord:
    model = RecordModel(
        name="local-dir:mine",
        arm="in-domain",
        architecture="test_resnet",
        weights_sha256=weights_sha256,
        pretraining="chests, 7 steps",
        method="simclr",
        parameters=10,
        in_chans=1,
        synthetic=False,
    )
    task = TaskCard(
        name="body_region", manifest_hash="a" * 64, metric="accuracy", classes=("head", "thorax"), synthetic=False
    )
    protocol = ProtocolCard(name="linear", settings={}, hash="p")
    return ResultRecord(
        created="2026-01-31T12:00:00+00:00",
        status="done",
        model=model,
        task=task,
        protocol=protocol,
        fraction=0.5,
        seed=3,
        counts=Counts(train_items=9, val_items=4, test_items=5, train_patients=9, val_patients=4, test_patients=5),
        metrics={"accuracy": Interval(value=value, low=0.8, high=0.95)},
        environment=current_environment(),
        wall_time_s=1.0,
        cell=cell_hash(model, task, protocol, 0.5, 3),
    )


def test_a_published_directory_has_the_features_and_a_card_that_the_hub_understands(tmp_path: Path) -> None:
    _, out = small_export(tmp_path / "mine")
    digest = load_model(ModelName.parse(f"local-dir:{out}")).weights_sha256
    write_record(_record(digest), tmp_path / "results")
    write_record(_record("f" * 64, 0.1), tmp_path / "results")
    done = publish(out, f"local-dir:{tmp_path / 'shown'}", results=tmp_path / "results")
    assert (done.name, done.results, done.compared) == ("radnet_shown", 1, 8)
    card = ModelCard.load(tmp_path / "shown" / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "timm")
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.9, "test")
    assert result.metric_args["low_95"] == 0.8
    for words in (
        "| chests | `" + "0" * 64,
        "| thorax | 40 |",
        "| <= 1 mm | 48 |",
        "| SIEMENS | 48 |",
        '{"policy": "random"}',
        "| steps | 7 |",
        "| body_region | as they are | linear | 50 % | 3 | accuracy | 0.9000 | 0.8000 to 0.9500 | 5 |",
        "Not a medical device",
        "local-dir:shown",
    ):
        assert words in card.content
    assert str(tmp_path) not in card.content
    assert timm.create_model("radnet_shown", pretrained=True, num_classes=0).num_features > 0


def test_timm_alone_gives_the_same_features_of_what_was_published(tmp_path: Path) -> None:
    """In a process that cannot import radnet: one and three channels, one vector and feature maps."""
    three = EvaluationView(32, MultiWindow(), (0.5,) * 3, (0.5,) * 3)
    vit = {"embed_dim": 24, "depth": 3, "num_heads": 2, "img_size": 32, "patch_size": 8}
    for name, architecture, view, arguments in (
        ("residual", "test_resnet", None, {}),
        ("mobile", "tf_efficientnet_lite0", None, {}),
        ("vit", "vit_tiny_patch16_224", three, vit),
    ):
        _, out = small_export(tmp_path / name, architecture, view, **arguments)
        publish(out, f"local-dir:{tmp_path / 'published' / name}")
    code = f"""
import sys
from pathlib import Path
sys.modules["radnet"] = None
import timm, torch
root, compared = Path({str(tmp_path)!r}), 0
for published in sorted((root / "published").iterdir()):
    for channels in (1, 3):
        for arguments in ({{"num_classes": 0}}, {{"features_only": True}}):
            found = []
            for place in (root / published.name, published):
                model = timm.create_model(f"local-dir:{{place}}", pretrained=True, in_chans=channels, **arguments)
                size = model.pretrained_cfg["input_size"][-1]
                pictures = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(1))
                with torch.inference_mode():
                    seen = model.eval()(pictures)
                found.append(seen if isinstance(seen, list) else [seen])
            assert len(found[0]) == len(found[1])
            for one, other in zip(*found):
                assert one.abs().max() > 0
                assert (one - other).abs().max() <= 1e-5
            compared += 1
try:
    import radnet
except ImportError:
    print(compared)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["12"]


def test_a_model_goes_to_the_hub_and_comes_back_the_same(tmp_path: Path, hub: Hub) -> None:
    model, out = small_export(tmp_path / "mine")
    done = publish(out, "hf-hub:group/ct-simclr", private=True)
    assert (done.source, done.name, done.compared) == ("hf-hub:group/ct-simclr", "radnet_ct_simclr", 8)
    assert set(hub.files["group/ct-simclr"]) == {"config.json", "model.safetensors", "README.md"}
    assert hub.private["group/ct-simclr"]
    assert b'timm.create_model("hf-hub:group/ct-simclr", pretrained=True' in hub.files["group/ct-simclr"]["README.md"]
    fetched = timm.create_model("radnet_ct_simclr", pretrained=True, num_classes=0).eval()
    with torch.inference_mode():
        pictures = torch.rand(2, 1, SIZE, SIZE)
        assert (fetched(pictures) - model(pictures)).abs().max() <= 1e-5
    assert transform_for(fetched) == transform_for(out) == transform_for("hf-hub:group/ct-simclr")
    loaded = load_model(ModelName.parse("hf-hub:group/ct-simclr"))
    assert (loaded.arm, loaded.method) == ("in-domain", "simclr")
    with pytest.raises(UsageError, match="--overwrite to add a new version"):
        publish(out, "hf-hub:group/ct-simclr")
    publish(out, "hf-hub:group/ct-simclr", overwrite=True)


def test_a_revision_of_a_model_on_the_hub_is_the_one_that_is_loaded(tmp_path: Path, hub: Hub) -> None:
    new, out = small_export(tmp_path / "new")
    old, before = small_export(
        tmp_path / "old", "test_resnet", EvaluationView(SIZE, MultiWindow(), (0.5,) * 3, (0.5,) * 3)
    )
    for place, export in (("group/ct", out), ("group/ct@v1", before)):
        hub.files[place] = {file.name: file.read_bytes() for file in export.iterdir()}
    for name, export, model in (("hf-hub:group/ct", out, new), ("hf-hub:group/ct@v1", before, old)):
        loaded = load_model(ModelName.parse(name))
        assert loaded.weights_sha256 == weights_sha256(model)
        assert transform_for(name) == transform_for(export) == transform_for(loaded.backbone)
    for use in (load_model, transform_for):
        with pytest.raises(UsageError, match=r"no such revision \(seen: 'hf-hub:group/ct@v2'"):
            use(ModelName.parse("hf-hub:group/ct@v2"))
        with pytest.raises(UsageError, match=r"no such model on the hub \(seen: 'hf-hub:group/none@v1'"):
            use(ModelName.parse("hf-hub:group/none@v1"))


def test_damaged_weights_on_the_hub_are_said_and_where_they_are_kept(tmp_path: Path, hub: Hub) -> None:
    _, out = small_export(tmp_path / "mine")
    hub.files["group/ct"] = {file.name: file.read_bytes() for file in out.iterdir()}
    hub.files["timm/test_resnet.r160_in1k"] = dict(hub.files["group/ct"])
    for repository, name in (("group/ct", "hf-hub:group/ct"), ("timm/test_resnet.r160_in1k", "timm:test_resnet")):
        whole = hub.files[repository]["model.safetensors"]
        hub.files[repository]["model.safetensors"] = whole[: len(whole) // 2]
        place = tmp_path / "cache" / f"models--{repository.replace('/', '--')}"
        with pytest.raises(RadnetError, match=f"cannot load the weights of {name}.*File: {place}"):
            load_model(ModelName.parse(name))
        assert place.is_dir()


def test_what_the_hub_refuses_or_spoils_is_said(tmp_path: Path, hub: Hub) -> None:
    _, out = small_export(tmp_path / "mine")
    hub.refuses = 403
    with pytest.raises(RadnetError, match="hf auth login"):
        publish(out, "hf-hub:group/ct")
    hub.refuses, hub.spoils = None, "config.json"
    with pytest.raises(RadnetError, match=r"another config\.json"):
        publish(out, "hf-hub:group/ct")


def test_a_hub_that_cannot_be_reached_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = small_export(tmp_path / "mine")
    monkeypatch.setattr("radnet.models.weights._hub_answers", lambda: False)
    with pytest.raises(RadnetError, match=r"cannot be reached.*local-dir:DIRECTORY"):
        publish(out, "hf-hub:group/ct")
    monkeypatch.setattr("radnet.models.weights._hub_answers", lambda: True)  # it went away in between
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RadnetError, match="cannot be reached"):
        publish(out, "hf-hub:group/ct")
    assert not (tmp_path / "zoo").exists()


def test_counts_come_from_the_sets_that_were_trained_on_and_from_no_others(
    tmp_path: Path, phantom_set: ShardSet
) -> None:
    origin = replace(PROVENANCE, data={"phantom": phantom_set.manifest.content_hash()}, counts={})
    _, out = small_export(tmp_path / "mine", provenance=origin)
    publish(out, f"local-dir:{tmp_path / 'with'}", data=(str(phantom_set.path),))
    counts = json.loads((tmp_path / "with" / "config.json").read_text())["radnet"]["provenance"]["counts"]
    assert sum(counts["region"].values()) == len(phantom_set.rows("train"))
    assert {"slice thickness", "manufacturer"} <= counts.keys()
    _, other = small_export(tmp_path / "other")
    with pytest.raises(UsageError, match="not one that these weights were trained on"):
        publish(other, f"local-dir:{tmp_path / 'never'}", data=(str(phantom_set.path),))
    assert not (tmp_path / "never").exists()


def _without_provenance(out: Path) -> None:
    config = json.loads((out / "config.json").read_text())
    del config["radnet"]
    (out / "config.json").write_text(json.dumps(config))


def _cut(out: Path) -> None:
    whole = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _other_tensors(out: Path) -> None:
    tensors = load_file(out / "model.safetensors")
    save_file({f"x.{name}": tensor for name, tensor in tensors.items()}, out / "model.safetensors")


def _gone(out: Path) -> None:
    (out / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_provenance, "does not say where its weights come from"),
        (_cut, "cannot load these weights"),
        (_other_tensors, "cannot load these weights"),
        (_gone, r"no model\.safetensors"),
    ],
)
def test_a_spoilt_export_is_not_published(tmp_path: Path, spoil: object, words: str) -> None:
    assert callable(spoil)
    _, out = small_export(tmp_path / "mine")
    spoil(out)
    with pytest.raises(RadnetError, match=words):
        publish(out, f"local-dir:{tmp_path / 'never'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_wrong_calls_are_explained(tmp_path: Path) -> None:
    _, out = small_export(tmp_path / "mine", provenance=Provenance(method="simclr"))
    for target, words in (
        ("ftp:x", "local-dir:DIRECTORY or hf-hub:ORG/NAME"),
        ("hf-hub:x", "ORG/NAME"),
        ("hf-hub:a/b/c", "ORG/NAME"),
        ("hf-hub:a/b c", "ORG/NAME"),
        ("hf-hub:a/b@v1", "ORG/NAME"),
        ("hf-hub:a/b", "states none"),
        (f"local-dir:{out}", "another directory than its own"),
    ):
        with pytest.raises(UsageError, match=words):
            publish(out, target)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("precious")
    with pytest.raises(UsageError, match="something else"):
        publish(out, f"local-dir:{tmp_path / 'thesis'}", overwrite=True)
    assert (tmp_path / "thesis" / "text").read_text() == "precious"


def test_no_permission_to_write_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = small_export(tmp_path / "mine")

    real = tempfile.mkdtemp

    def refuse(suffix: str | None = None, prefix: str | None = None, dir: object = None) -> str:  # noqa: A002
        if dir is not None:
            raise PermissionError(13, "Permission denied")
        return real(suffix, prefix)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(RadnetError, match="No permission to write here"):
        publish(out, f"local-dir:{tmp_path / 'shut' / 'here'}")
