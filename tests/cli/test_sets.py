"""The verbs for finished sets as people call them."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from radnet.cli import main
from radnet.shards import ShardSet


def _call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["shards", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_verify_is_silent_success_or_a_table_and_one_paragraph(
    phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _call(capsys, "verify", phantom_set.path, "--full")
    assert (code, out) == (0, "")
    assert "every byte was read" in err
    copy = Path(shutil.copytree(phantom_set.path, tmp_path / "copy"))
    (shard,) = copy.glob("*.tar")
    shard.write_bytes(shard.read_bytes()[:5000])
    (copy / "rejects.parquet").unlink()
    code, out, err = _call(capsys, "verify", copy)
    assert code == 1
    assert shard.name in out
    assert "rejects.parquet" in out
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "2 problem(s) in 2 file(s)" in line


def test_info_counts_agree_with_the_index(phantom_set: ShardSet, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _call(capsys, "info", phantom_set.path, "--json")
    assert code == 0
    about = json.loads(out)
    index = phantom_set.index
    for heading, column in (("region", "body_region"), ("split", "split"), ("modality", "modality")):
        for value, same in index.groupby(column):
            expected = {"slices": len(same), "series": same["series_key"].nunique()}
            assert about["by"][heading][value] == {**expected, "patients": same["patient_key"].nunique()}
    assert sum(count["slices"] for count in about["by"]["slice thickness"].values()) == len(index)
    code, out, _ = _call(capsys, "info", phantom_set.path)
    assert code == 0
    assert "split_fractions" in out


def test_show_draws_a_row_for_every_region_and_masks_on_request(
    phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, flags in (("plain", []), ("again", []), ("masks", ["--masks"])):
        assert _call(capsys, "show", phantom_set.path, tmp_path / f"{name}.png", "--columns", 4, *flags)[0] == 0
    pictures = {file.stem: file.read_bytes() for file in tmp_path.glob("*.png")}
    assert pictures["plain"] == pictures["again"] != pictures["masks"]
    regions = phantom_set.index["body_region"].nunique()
    height = Image.open(tmp_path / "plain.png").height
    assert height == 3 * (40 + regions * (176 + 34)) + 6
    code, _, err = _call(capsys, "show", phantom_set.path, tmp_path / "x.png", "--windows", "lungs")
    assert code == 2
    assert "lung" in err


def test_subset_merge_and_diff(phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = sorted(set(phantom_set.index["patient_key"]))[:2]
    (tmp_path / "keys.txt").write_text("\n".join(keys))
    assert _call(capsys, "subset", phantom_set.path, tmp_path / "a", "--patients", tmp_path / "keys.txt")[0] == 0
    assert set(ShardSet.open(tmp_path / "a").index["patient_key"]) == set(keys)
    assert _call(capsys, "subset", phantom_set.path, tmp_path / "b", "--fraction", 0.5)[0] == 0
    assert _call(capsys, "merge", tmp_path / "m", tmp_path / "a", tmp_path / "b", phantom_set.path)[0] == 0
    code, _, err = _call(capsys, "diff", phantom_set.path, tmp_path / "m")
    assert code == 0
    assert "identical content" in err
    code, out, _ = _call(capsys, "diff", phantom_set.path, tmp_path / "a", "--json")
    assert code == 0
    assert len(json.loads(out)["gone"]) == phantom_set.manifest.totals.patients - 2
    assert _call(capsys, "subset", phantom_set.path, tmp_path / "c", "--patients", tmp_path / "none.txt")[0] == 2
