"""The whole path, small: what `make demo` does with enough patients to mean something."""

import subprocess
import sys
from pathlib import Path

import pytest

from radnet.cli.demo import beats_random, run_demo
from radnet.errors import UsageError
from radnet.records import read_records


@pytest.mark.slow
def test_the_demo_goes_from_files_to_a_leaderboard(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "radnet",
        "demo",
        "demo",
        "--results",
        "results",
        "--patients",
        "24",
        "--epochs",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    records = read_records(tmp_path / "results")
    assert {record.model.arm for record in records} == {"in-domain", "random", "imagenet"}
    assert {record.task.name for record in records} == {
        "body_region",
        "vertebra_group",
        "contrast_phase",
        "liver_lesion",
    }
    assert all(record.task.synthetic for record in records)
    assert "synthetic" in page
    for record in records:
        assert record.status == "done" or "RADNET_WEIGHTS" in record.message
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "archive",
        "shards",
        "run",
        "cache",
        "RADNET_DEMO.txt",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "results"]
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_the_demo_removes_nothing_but_a_demo(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "precious").write_text("x")
    with pytest.raises(UsageError, match="something else than a demo"):
        run_demo(tmp_path, tmp_path / "results", patients=8, epochs=1, overwrite=True)
    assert (tmp_path / "archive" / "precious").exists()


def test_the_committed_demo_beats_random_weights_on_unseen_patients() -> None:
    """The bar of the recipe: whoever regenerates the leaderboard with a broken one is stopped here."""
    records = read_records(Path(__file__).parents[2] / "results" / "demo")
    assert "vertebra_group (knn)" in beats_random(records)
    assert all(record.task.synthetic for record in records)


def test_overlapping_intervals_are_no_victory() -> None:
    records = read_records(Path(__file__).parents[2] / "results" / "demo")
    narrow = [record for record in records if record.task.name == "liver_lesion"]
    assert {record.model.arm for record in narrow} >= {"in-domain", "random"}
    assert beats_random(narrow) == []
