"""The command line as people call it: exit codes, one-paragraph errors, nothing half-written."""

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radnet.cli import main
from radnet.errors import RadnetError
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet


def _call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def _errors(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "archive"
    write_phantom_archive(out, patients=4, slices=3, size=48)
    return out


def test_help_is_quick_and_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "radnet", "--help"], capture_output=True, text=True, check=True
    )
    for command in (
        "demo",
        "pretrain",
        "evaluate",
        "analyze",
        "leaderboard",
        "shards",
        "phantom",
        "export",
        "publish",
        "import",
        "task",
    ):
        assert command in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "lightly", "timm", "pandas", "sklearn", "hydra"}


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["pretrain"],
        ["evaluate"],
        ["analyze"],
        ["leaderboard"],
        ["shards", "build"],
        ["shards", "info"],
        ["phantom"],
    ],
    ids=" ".join,
)
def test_every_command_has_its_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    code, out, _ = _call(capsys, *command, "--help")
    assert code == 0
    assert "Usage" in out


def test_build_info_and_the_reject_list(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["shards", "build", archive, tmp_path / "set", "--secret", tmp_path / "secret"]
    code, out, _ = _call(capsys, *arguments, "--reject-list", tmp_path / "rejects.csv")
    assert code == 0
    assert "24, 8, 4" in out
    assert "synthetic" in out
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert "README.txt" in (tmp_path / "rejects.csv").read_text()
    code, out, _ = _call(capsys, "shards", "info", tmp_path / "set")
    assert code == 0
    assert "24, 8, 4" in out
    assert len(ShardSet.open(tmp_path / "set")) == 24


def _empty(path: Path) -> None:
    path.mkdir()


def _texts(path: Path) -> None:
    path.mkdir()
    for number in range(3):
        (path / f"{number}.txt").write_text("not a scan")


def _truncated(path: Path) -> None:
    write_phantom_archive(path, patients=1, slices=1, size=48, series_per_patient=1, file_format="dicom")
    for other in [*path.glob("*.csv"), *path.rglob("*.nii.gz"), *path.rglob("*.json"), *path.glob("*.txt")]:
        other.unlink()
    (file,) = path.rglob("*.dcm")
    file.write_bytes(file.read_bytes()[:-1000])


def _four_dimensional(path: Path) -> None:
    path.mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), dtype=np.int16), np.eye(4)), path / "perfusion.nii.gz")


def _cut_nifti(path: Path) -> None:
    path.mkdir()
    noise = np.random.default_rng(0).integers(-1000, 1000, (32, 32, 9)).astype(np.int16)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), path / "whole.nii")
    packed = gzip.compress((path / "whole.nii").read_bytes())
    (path / "cut.nii.gz").write_bytes(packed[: len(packed) // 2])
    (path / "whole.nii").unlink()


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (None, 2, "No such directory"),
        (_empty, 2, "archive is empty"),
        (_texts, 1, "not_an_image: 3"),
        (_truncated, 1, "truncated: 1"),
        (_four_dimensional, 1, "four_dimensional: 1"),
        (_cut_nifti, 1, "truncated: 1"),
    ],
    ids=["missing", "empty", "texts", "truncated DICOM", "4-D NIfTI", "cut NIfTI"],
)
def test_an_archive_without_a_scan_is_one_paragraph_and_no_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, code: int, words: str
) -> None:
    if make is not None:
        make(tmp_path / "archive")  # type: ignore[operator]
    before = sorted(tmp_path.iterdir())
    arguments = ["shards", "build", tmp_path / "archive", tmp_path / "set", "--secret", tmp_path / "secret"]
    left, _, err = _call(capsys, *arguments)
    assert left == code
    (error,) = _errors(err)
    assert words in error
    assert "Traceback" not in err
    assert set(tmp_path.iterdir()) - set(before) <= {tmp_path / "secret"}


def test_an_existing_output_is_kept_unless_told(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    arguments = ["shards", "build", archive, out, "--secret", tmp_path / "secret"]
    assert _call(capsys, *arguments)[0] == 0
    before = (out / "manifest.json").read_bytes()
    left, _, err = _call(capsys, *arguments, "--split-fractions", "1,0,0")
    assert left == 2
    assert "--overwrite" in _errors(err)[0]
    assert (out / "manifest.json").read_bytes() == before
    assert _call(capsys, *arguments, "--split-fractions", "1,0,0", "--overwrite")[0] == 0
    assert (out / "manifest.json").read_bytes() != before


def test_overwriting_never_takes_a_directory_that_is_no_set(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").write_text("x")
    left, _, _ = _call(capsys, "shards", "build", archive, tmp_path, "--secret", tmp_path / "secret", "--overwrite")
    assert left == 2
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pretrain", "data=x", "backbon=resnet18"], "Did you mean backbone"),
        (["pretrain", "data=/nowhere"], "No such shard set"),
        (["evaluate", "model=random:resnet18"], "data=VALUE"),
        (["evaluate", "model=random:resnet5", "data=DATA"], "Did you mean"),
        (["shards", "info", "/nowhere"], "No such shard set"),
        (["export", "/nowhere", "out"], "This is no run"),
        (["leaderboard", "--results", "/nowhere"], "No such directory"),
        (["phantom", "out", "--format", "jpeg"], "jpeg"),
        (["shards", "build", "a", "b", "--split-fractions", "1,2,3"], "sum to 1"),
        (["shards", "build", "a", "b", "--split-fractions", "x"], "three numbers"),
        (["nonsense"], "nonsense"),
        (["shards", "build"], "archive"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_leaves_with_two_and_says_what_mends_it(
    phantom_set: ShardSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [word.replace("DATA", str(phantom_set.path)) for word in arguments]
    code, _, err = _call(capsys, *given)
    assert code == 2
    (error,) = _errors(err)
    assert words in error
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _call(capsys, "shards", "info", "/nowhere", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_a_bug_is_no_bare_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(ShardSet, "open", broken)
    code, _, err = _call(capsys, "shards", "info", "x")
    assert code == 1
    assert "--debug" in _errors(err)[0]


def test_task_list_names_labels_and_classes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _call(capsys, "task", "list")
    assert code == 0
    assert "body_region" in out


@pytest.mark.parametrize("command", ["pretrain", "evaluate", "analyze"])
def test_the_defaults_are_shown_with_their_meaning(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = _call(capsys, command, "--defaults")
    assert code == 0
    assert "batch_size" in out
    assert "# shard set" in out


def test_a_wrong_call_is_said_once_and_a_failure_by_the_rank_that_met_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert _errors(_call(capsys, "shards", "info", "/nowhere")[2]) == []

    def broken(*_: object) -> None:
        raise RadnetError("The shard is cut")

    monkeypatch.setattr(ShardSet, "open", broken)
    assert _errors(_call(capsys, "shards", "info", "x")[2]) == ["error: rank 1: The shard is cut."]


@pytest.mark.parametrize("command", [[], ["shards"], ["task"]], ids=["radnet", "shards", "task"])
def test_a_group_alone_shows_its_help_and_no_empty_error(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    code, out, err = _call(capsys, *command)
    assert code == 2
    assert "Usage" in out + err
    assert _errors(err) == []


def test_examples_in_the_help_keep_their_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    assert "model=run:R" in _call(capsys, "evaluate", "--help")[1]


def test_the_reject_list_is_written_when_nothing_could_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _texts(tmp_path / "archive")
    arguments = ["shards", "build", tmp_path / "archive", tmp_path / "set", "--secret", tmp_path / "secret"]
    assert _call(capsys, *arguments, "--reject-list", tmp_path / "rejects.csv")[0] == 1
    assert "2.txt" in (tmp_path / "rejects.csv").read_text()


@pytest.mark.parametrize("flag", ["--secret", "--reject-list"])
def test_neither_secret_nor_paths_go_into_a_set(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    code, _, err = _call(capsys, "shards", "build", archive, tmp_path / "set", flag, tmp_path / "set" / "x")
    assert code == 2
    assert flag in _errors(err)[0]
    assert list(tmp_path.iterdir()) == []


def test_export_replaces_an_export_and_nothing_else(
    whole_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    for target in (tmp_path / "other", whole_run):
        assert _call(capsys, "export", whole_run, target, "--overwrite")[0] == 2
    assert (tmp_path / "other" / "precious").exists()
    assert (whole_run / "checkpoints").is_dir()
    assert _call(capsys, "export", whole_run, tmp_path / "export")[0] == 0
    assert _call(capsys, "export", whole_run, tmp_path / "export")[0] == 2
    assert _call(capsys, "export", whole_run, tmp_path / "export", "--overwrite")[0] == 0


def test_the_secret_does_not_lie_beside_the_scans(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _call(capsys, "shards", "build", archive, tmp_path / "set", "--secret", archive / "secret")
    assert code == 2
    assert "beside the scans" in _errors(err)[0]
    assert not (archive / "secret").exists()


def test_a_build_says_at_once_that_a_comparison_will_lack_patients(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["shards", "build", archive, tmp_path / "set", "--secret", tmp_path / "secret"]
    code, _, err = _call(capsys, *arguments, "--split-fractions", "1,0,0")
    assert code == 0
    assert "few patients: val 0, test 0" in err


def test_a_phantom_never_replaces_and_suggests_no_flag_it_lacks(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _call(capsys, "phantom", archive)
    assert code == 2
    assert "--overwrite" not in err
    (tmp_path / "file").write_text("x")
    code, _, err = _call(capsys, "phantom", tmp_path / "file" / "deeper", "--patients", "1")
    assert code == 2
    assert "part of this path is a file" in _errors(err)[0]


def test_a_dry_run_builds_nothing_and_makes_no_secret(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["shards", "build", archive, tmp_path / "set", "--secret", tmp_path / "secret", "--dry-run"]
    code, out, err = _call(capsys, *arguments, "--include", "slices>=3")
    assert code == 0
    assert "24, 8" in out
    assert "example" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "big"], "native or a number"),
        (["--modality", "XR"], "Unknown modality"),
        (["--include", "kernel"], "TAG=PATTERN"),
        (["--exclude", "patient=7"], "names no tag"),
        (["--every", "0"], "every"),
        (["--backend", "spark"], "spark"),
        (["--cluster", "tcp://somewhere:1"], "no address"),
    ],
)
def test_options_of_a_build_that_are_wrong(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    code, _, err = _call(
        capsys, "shards", "build", archive, tmp_path / "set", "--secret", tmp_path / "secret", *options
    )
    assert code == 2
    assert words in err
    assert not (tmp_path / "set").exists()
