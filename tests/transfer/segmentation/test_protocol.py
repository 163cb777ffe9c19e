import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from radnet.errors import RadnetError, UsageError
from radnet.models import LoadedModel, ModelName, load_model
from radnet.shards import ShardSet
from radnet.transfer.contract import ProtocolResult
from radnet.transfer.protocols import build_protocol
from radnet.transfer.segmentation import training as training_module
from radnet.transfer.segmentation.census import take_census
from radnet.transfer.segmentation.encoders import encoder_of
from radnet.transfer.segmentation.loading import batch_sizes
from radnet.transfer.segmentation.networks import SegmentationNetwork
from radnet.transfer.segmentation.prediction import mean_dice, predicted_volumes, volume_dice
from radnet.transfer.segmentation.protocol import SegmentProtocol
from radnet.transfer.segmentation.scores import DICE, score_volume, unit_metrics
from radnet.transfer.segmentation.training import epoch_positions, train_network
from radnet.transfer.segmentation.volumes import VolumeSplit
from radnet.transfer.splits import SliceSplit
from tests.transfer.segmentation.conftest import split_of

pytestmark = pytest.mark.xdist_group("segment")  # one process: the network is trained once
CPU = torch.device("cpu")
QUICK = SegmentProtocol(epochs=12, batch_size=8, lr=(5e-3,), decoder_width=0.25, background_per_foreground=0.5)
LEARNING = replace(QUICK, epochs=20, batch_size=4, lr=(1e-2,))
"""Steps enough to draw the organ of the small set."""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(ModelName.parse("random:resnet10t"), size=32)


@pytest.fixture(scope="module")
def splits(organ_set: ShardSet) -> dict[str, VolumeSplit]:
    return {name: split_of(organ_set, name) for name in ("train", "val", "test")}


def run(
    protocol: SegmentProtocol, model: LoadedModel, splits: dict[str, VolumeSplit], **options: int
) -> ProtocolResult:
    sides = (splits["train"], splits["val"], splits["test"])
    return protocol.fit_predict(model, *sides, classes=2, metric=DICE, seed=0, device=CPU, **options)


@pytest.fixture(scope="module")
def result(model: LoadedModel, splits: dict[str, VolumeSplit]) -> ProtocolResult:
    before = copy.deepcopy(model.backbone.state_dict())
    found = run(LEARNING, model, splits)
    after = model.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # the model is left as it is
    return found


def test_it_learns_and_says_how(result: ProtocolResult, splits: dict[str, VolumeSplit]) -> None:
    assert result.units is not None
    assert result.units.keys.tolist() == [volume.key for volume in splits["test"].volumes]
    assert set(result.units.values) >= {"dice", "dice_organ", "dice_spot", "hd95_mm", "assd_mm_organ"}
    assert np.nanmean(result.units.values["dice_organ"]) > 0.5
    selected = result.selected
    assert selected["lr"] == 1e-2
    assert selected["val_dice"] == max(point.val["dice"] for point in result.curve)
    assert result.curve[selected["epoch"]].val["dice"] == selected["val_dice"]
    assert selected["channel_policy"] == "one channel"
    assert "not scored" in selected["empty_masks"]
    assert [point.epoch for point in result.curve] == list(range(LEARNING.epochs))


def test_the_same_seed_gives_the_same_scores_with_any_number_of_workers(
    model: LoadedModel, splits: dict[str, VolumeSplit]
) -> None:
    once, again = (run(replace(QUICK, epochs=2), model, splits, workers=workers).units for workers in (0, 1))
    assert once is not None
    assert again is not None
    for name, values in once.values.items():
        assert np.array_equal(values, again.values[name], equal_nan=True)


@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_what_is_trained(mode: str, model: LoadedModel, splits: dict[str, VolumeSplit]) -> None:
    """Frozen: no tensor of the encoder moves, statistics of batch norm among them. Full: all move."""
    network = SegmentationNetwork(encoder_of(model, 1, 32)[0], 2, 0.25)
    before = copy.deepcopy(network.state_dict())
    protocol = replace(QUICK, mode=mode, epochs=1)
    census = take_census(splits["train"], "train")
    trained = train_network(
        network, splits["train"], splits["val"], census, protocol._training(3e-3), seed=0, device=CPU
    )
    same = {name for name, tensor in trained.state.items() if torch.equal(tensor, before[name])}
    encoder = {name for name in before if name.startswith("encoder.")}
    counters = {name for name in before if name.endswith("num_batches_tracked")}
    assert same - counters == (encoder - counters if mode == "frozen" else set())


def test_dice_from_counts_is_dice_of_volumes(model: LoadedModel, splits: dict[str, VolumeSplit]) -> None:
    network = SegmentationNetwork(encoder_of(model, 1, 32)[0], 2, 0.25)
    options = {"batch_size": 5, "seed": 0, "device": CPU}
    table = volume_dice(network, splits["val"], **options)
    scores = [
        score_volume(drawn, there, splits["val"].volumes[number].spacing_mm)
        for number, drawn, there in predicted_volumes(network, splits["val"], **options)
    ]
    values = unit_metrics(("organ", "spot"), scores)
    assert np.allclose(table, np.stack([values["dice_organ"], values["dice_spot"]], axis=1), equal_nan=True)
    assert mean_dice(table) == pytest.approx(np.nanmean(values["dice"]))
    assert np.isnan(mean_dice(np.full((2, 2), np.nan)))


def test_an_epoch_holds_all_that_is_shown_and_a_share_of_the_rest(splits: dict[str, VolumeSplit]) -> None:
    census = take_census(splits["train"], "train")
    shown = set(np.flatnonzero(census.foreground))
    first, second = (epoch_positions(census, QUICK._training(1e-3), 0, epoch) for epoch in (0, 1))
    assert shown <= set(first)
    assert len(first) == len(set(first)) == len(shown) + min(-(-len(shown) // 2), len(splits["train"]) - len(shown))
    assert first.tolist() != second.tolist()


def test_a_rate_that_diverges_is_listed_and_all_of_them_are_an_error(
    model: LoadedModel, splits: dict[str, VolumeSplit], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training_module.segmentation_loss
    calls: list[int] = []

    def broken(*arguments: object) -> torch.Tensor:
        calls.append(1)
        return real(*arguments) * (float("nan") if len(calls) == 2 or fails else 1)  # type: ignore[arg-type]

    monkeypatch.setattr(training_module, "segmentation_loss", broken)
    fails = False  # in its second step the first rate diverges
    selected = run(replace(QUICK, epochs=1, lr=(5e-3, 1e-3)), model, splits).selected
    assert (selected["lr"], selected["diverged"]) == (1e-3, [5e-3])
    assert selected["val_dice_by_lr"] == {"0.005": None, "0.001": selected["val_dice"]}
    fails = True
    with pytest.raises(RadnetError, match="not finite"):
        run(replace(QUICK, epochs=1, lr=(5e-3, 1e-3)), model, splits)


def test_no_training_batch_is_of_one_slice_and_no_other_batch_changes(
    model: LoadedModel, splits: dict[str, VolumeSplit]
) -> None:
    for slices in range(2, 40):
        for size in range(2, 20):
            plain = [len(part) for part in np.split(np.arange(slices), range(size, slices, size))]
            assert batch_sizes(slices, size, training=False) == plain
            training = batch_sizes(slices, size, training=True)
            assert min(training) >= 2
            assert sum(training) == slices
            assert training == plain or (min(plain) == 1 and max(training) - min(training) <= 1)
            assert len(training) == len(plain) or size == 2
    slices = len(epoch_positions(take_census(splits["train"], "train"), QUICK._training(1e-3), 0, 0))
    assert run(replace(QUICK, epochs=1, batch_size=slices - 1), model, splits).curve[0].steps == 2


def test_one_test_patient_is_refused(model: LoadedModel, splits: dict[str, VolumeSplit]) -> None:
    test = splits["test"]
    one = VolumeSplit.of(test.shards, test.volumes[:1], test.masks, test.view)
    with pytest.raises(RadnetError, match="all of one patient"):
        run(QUICK, model, {**splits, "test": one})


def test_what_is_no_volume_is_refused(model: LoadedModel, splits: dict[str, VolumeSplit]) -> None:
    test = splits["test"]
    plain = SliceSplit(test.shards, test.rows, None, test.patients, test.view)
    with pytest.raises(UsageError, match="needs volumes with masks"):
        run(QUICK, model, {**splits, "test": plain})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="2 structures"):
        run(replace(QUICK, weights=(1.0, 2.0, 3.0)), model, splits)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "half"},
        {"epochs": 0},
        {"batch_size": 1},
        {"lr": []},
        {"lr": [0.0]},
        {"choose": "last"},
        {"schedule": "steps"},
        {"mirrored": 2.0},
        {"weights": [-1.0]},
        {"decoder_width": 0.0},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings)) if settings != {"choose": "last"} else "one rate"):
        build_protocol("segment", settings)


def test_the_hash_covers_the_settings() -> None:
    assert build_protocol("segment", {"lr": [0.003]}).hash() != build_protocol("segment").hash()
