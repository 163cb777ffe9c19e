"""The format page says what is so, and the committed example set still reads: the golden file of the format."""

import re
from pathlib import Path

import pytest

from radnet.shards import ShardSet
from radnet.shards.build import EXCLUDED, LIMIT
from radnet.shards.manifest import Manifest
from radnet.shards.rows import AIR_ONLY, DUPLICATE, content_hash_of
from radnet.shards.splits import split_of
from radnet.shards.tables import INDEX_COLUMNS, REJECT_COLUMNS
from radnet.transfer.prepare.body_region import NO_REGION
from radnet.transfer.prepare.images import MISSING, NO_LABEL
from radnet.transfer.prepare.splits import LEAK, NO_SIDE

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "shards" / "README.md").read_text()
EXAMPLE = CHECKOUT / "shards" / "examples" / "phantom"


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> list[list[str]]:
    """Cells of all table rows of a section."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section(title).splitlines() if "|" in line
    ]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_five_lines_read_the_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", section("Reading it without radnet"), re.S)
    monkeypatch.chdir(CHECKOUT)
    exec(compile(code, "shards/README.md", "exec"), {})  # noqa: S102 - our own page
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"{number:09d}" for number in range(8)]
    assert all("(64, 64)" in line for line in lines)


def test_the_example_is_whole_and_small() -> None:
    shards = ShardSet.open(EXAMPLE)
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) < 200_000
    assert shards.manifest.synthetic == "all"
    assert len(shards) == 8
    for row, entry in shards.index.iterrows():
        assert content_hash_of(shards.read_image(row)) == entry["content_hash"]  # type: ignore[arg-type]
        assert entry["split"] == split_of(entry["patient_key"], (0.5, 0.25, 0.25))
    assert set(shards.index["split"]) == {"train", "val", "test"}


def test_every_column_is_explained_with_its_type() -> None:
    explained = {name: row[1] for row in rows("`index.parquet`") for name in names(row[0])}
    assert explained.pop("label_NAME") == "string"
    assert explained == {name: str(kind) for name, kind in INDEX_COLUMNS.items()}
    columns = {name: row[1] for row in rows("`rejects.parquet`") if len(row) == 3 for name in names(row[0])}
    assert columns == {name: str(kind) for name, kind in REJECT_COLUMNS.items()}


def test_every_manifest_field_is_explained() -> None:
    explained = [name for row in rows("`manifest.json`") for name in names(row[0])]
    assert sorted(explained) == sorted(Manifest.model_fields)


def test_every_reason_is_explained() -> None:
    explained = {name for row in rows("`rejects.parquet`") if len(row) == 2 for name in names(row[0])}
    source = "\n".join(path.read_text() for path in (CHECKOUT / "radnet" / "scans").glob("*.py"))
    direct = re.findall(r"(?:RefusedError|Refusal|unreadable)\(\s*\"([a-z_]+)\"", source)
    of_files = re.findall(r"reject(?:_file)?\([\w.\[\], ]+, \"([a-z_]+)\"", source)
    listed = re.findall(r"^    \"[a-z]+\": \(\"([a-z_]+)\",", source, re.M)
    of_builds = {AIR_ONLY, DUPLICATE, EXCLUDED, LIMIT}
    of_masks = re.findall(r"refused.append\(\(path, \"([a-z_]+)\"", source)
    of_tasks = {MISSING, NO_LABEL, NO_SIDE, LEAK, NO_REGION}
    used = {*direct, *of_files, *listed, *of_builds, *of_masks, *of_tasks}
    assert len(used) > 25
    assert used <= explained, used - explained
    assert explained <= used, explained - used
