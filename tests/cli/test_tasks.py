"""`radnet task` as people call it."""

from pathlib import Path

import pandas as pd
import pytest

from radnet.cli import main
from radnet.transfer.tasks import list_tasks
from tests.transfer.prepare import fake_downloads as fakes


def _call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_a_set_is_prepared_listed_and_named_on_the_page_of_its_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fakes.chestxray14(tmp_path / "download")
    (source / "images_001/images/00000002_000.png").unlink()
    sets = tmp_path / "sets"
    arguments = ["task", "prepare", "chestxray14", source, sets / "xrays", "--reject-list", tmp_path / "rejects.csv"]
    code, out, err = _call(capsys, *arguments)
    assert code == 0
    assert "Pleural_Thickening" in out
    assert "missing" in out
    assert "radnet evaluate model=MODEL" in err
    rejects = pd.read_csv(tmp_path / "rejects.csv").set_index("path")
    assert rejects.loc["00000002_000.png", "reason"] == "missing"
    code, out, _ = _call(capsys, "task", "list", "--sets", sets)
    assert code == 0
    assert "xrays" in out
    assert all(task.name in out for task in list_tasks())
    code, out, _ = _call(capsys, "task", "list", "chestxray14", "--sets", sets)
    assert code == 0
    assert "radnet task prepare chestxray14 SOURCE OUT" in out
    assert "xrays" in out


def test_public_data_need_no_secret_and_own_data_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    secret = tmp_path / "config/radnet/secret"
    assert (
        _call(capsys, "task", "prepare", "cifar10", fakes.cifar10_binary(tmp_path / "a", 3), tmp_path / "set")[0] == 0
    )
    assert not secret.exists()
    assert _call(capsys, "task", "prepare", "images", fakes.class_folders(tmp_path / "b"), tmp_path / "own")[0] == 0
    assert secret.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifar", "source", "out"], "Did you mean cifar10"),
        (["cifar10", "nowhere", "out"], "No such file or directory"),
        (["images", "source", "out", "--split", "mine"], "own"),
        (["images", "source", "out", "--split-fractions", "0.5,0.5"], "sum to 1"),
        (["images", "source", "out", "--size", "2"], "16"),
        (["cifar10", "source", "out", "--label-column", "x"], "no such option"),
        (["images", "source", "source/out"], "inside its source"),
    ],
)
def test_a_wrong_call_is_one_paragraph_with_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fakes.class_folders(tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    code, _, err = _call(capsys, "task", "prepare", *arguments)
    assert code == 2
    assert message in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
    assert not (tmp_path / "out").exists()
