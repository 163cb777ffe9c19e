from pathlib import Path

import pytest

from radnet.configs import compose, names_in
from radnet.errors import UsageError


def test_a_config_composes_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = compose("pretrain", ["data=set", "backbone=resnet18", "optimizer.lr=0.5"])
    assert config["backbone"] == "resnet18"
    assert config["optimizer"]["lr"] == 0.5
    assert config["out"] == "runs/simclr-resnet18"
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_overrides_the_defaults_and_is_overridden_in_turn() -> None:
    config = compose("pretrain", ["data=set", "experiment=demo", "epochs=3"])
    assert config["epochs"] == 3
    assert config["backbone"] == "resnet10t"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data=x", "optimizer.l=3"], "Did you mean optimizer.lr"),
        (["dat=x"], "Did you mean data"),
        (["data=x", "method=simclrr"], "Did you mean simclr"),
        (["data=x", "experiment=dem"], "Did you mean demo"),
        ([], "data=VALUE"),
        (["data=x", "a b=["], "key=value"),
        (["data"], "key=value"),
    ],
)
def test_a_wrong_override_is_explained(overrides: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose("pretrain", overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("group", ["method", "task", "protocol", "experiment"])
def test_every_group_has_its_files(group: str) -> None:
    assert names_in(group)
