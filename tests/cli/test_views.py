from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from radnet.cli import main
from radnet.shards import ShardSet


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("views", "list") == 0
    shown = capsys.readouterr().out
    for word in ("simclr", "multicrop", "reference_study", "evaluation", "8 of 1 x 96 px", "minmax"):
        assert word in shown


def test_preview_draws_the_same_picture_again(phantom_set: ShardSet, tmp_path: Path) -> None:
    calls = {
        "a": ["views=multicrop", "--slices", "3"],
        "b": ["views=multicrop", "--slices", "3", "--split", "train"],
        "c": ["views=multicrop", "--slices", "3", "--epoch", "1"],
        "d": ["views.size=96", "window@views.window=fixed", "--slices", "2", "--seed", "3"],
    }
    made = {}
    for name, words in calls.items():
        for again in (name, name):
            assert run("views", "preview", str(phantom_set.path), str(tmp_path / f"{again}.png"), *words) == 0
            bytes_now = (tmp_path / f"{again}.png").read_bytes()
            assert made.setdefault(name, bytes_now) == bytes_now
    assert made["a"] != made["c"]
    with Pictures.open(tmp_path / "d.png") as picture:
        assert np.asarray(picture).std() > 20


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["views=multicorp"], "Did you mean multicrop"),
        (["views.sise=3"], "size"),
        (["views.window.policy=fixd"], "Did you mean fixed"),
        (["--split", "trian"], "train"),
        (["views.size=-1"], "at least 1"),
    ],
)
def test_mistakes_are_told(
    phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], fix: str
) -> None:
    assert run("views", "preview", str(phantom_set.path), str(tmp_path / "x.png"), *words) == 2
    assert fix in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_the_preview_is_a_png(phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("views", "preview", str(phantom_set.path), str(tmp_path / "x.jpg")) == 2
    assert "x.png" in capsys.readouterr().err
