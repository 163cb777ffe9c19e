"""Records of earlier versions, and files that are none."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from radnet.errors import UsageError
from radnet.record_versions import SCHEMA_VERSION, UnreadableRecordError, content_of, migrated
from radnet.records import ResultRecord, read_record, scan_records, write_record

ROOT = Path(__file__).resolve().parents[1]
FIRST = Path(__file__).parent / "data" / "record-version-1.json"
"""A record as the first version wrote it, with words that have fields now."""


def test_record_of_the_first_version_is_brought_to_this_one(tmp_path: Path) -> None:
    record = read_record(FIRST)
    assert record.schema_version == SCHEMA_VERSION == 2
    assert record.overlap is not None
    assert not record.overlap.checked
    assert record.overlap.message == "not checked: the model was pretrained on another set"
    assert record.undefined == {"macro_auroc": "The metric is undefined on this set"}
    assert record.selected == {"k": 20, "bootstrap_resamples": 2000}
    assert record.cell == json.loads(FIRST.read_text())["cell"], "a new version must not make finished cells run again"
    assert record.differences is not None
    assert record.differences["balanced_accuracy vs timm:resnet18"].p is None
    again = write_record(record, tmp_path)
    assert read_record(again) == record
    assert json.loads(again.read_text())["schema_version"] == 2


def test_migration_leaves_its_argument_alone() -> None:
    content = json.loads(FIRST.read_text())
    before = json.dumps(content)
    migrated(content)
    assert json.dumps(content) == before


def test_published_schema_is_that_of_the_code() -> None:
    """After a change: a new version, a step in `record_versions`, and RADNET_WRITE_GOLDEN=1 for the file."""
    path = ROOT / "results" / "schema" / f"result-record-{SCHEMA_VERSION}.schema.json"
    if os.environ.get("RADNET_WRITE_GOLDEN"):
        path.write_text(json.dumps(ResultRecord.model_json_schema(), indent=2, sort_keys=True) + "\n")
    assert json.loads(path.read_text()) == ResultRecord.model_json_schema()
    versions = sorted(file.name for file in path.parent.glob("*.json"))
    assert versions == [f"result-record-{number}.schema.json" for number in range(1, SCHEMA_VERSION + 1)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 3}, "later radnet"),
        ({"schema_version": 0}, "from 1 to 2"),
        ({"schema_version": True}, "from 1 to 2"),
        ({"schema_version": "2"}, "from 1 to 2"),
        ({"wall_time_s": float("nan")}, "NaN is no number"),
        ({"wall_time_s": float("inf")}, "Infinity is no number"),
    ],
)
def test_content_that_cannot_be_read_is_refused(change: dict[str, Any], words: str) -> None:
    text = json.dumps(json.loads(FIRST.read_text()) | change)
    with pytest.raises(UnreadableRecordError, match=words):
        content_of(text.encode())


ODD = [
    ("9" * 5000, "a number is larger than a record may hold"),
    ("1e999", "a number is larger than a record may hold"),
    (r'"\ud800"', r"a text holds '\\ud800', which is half of a character"),
    (r'{"\udc00": [1]}', r"a text holds '\\udc00', which is half of a character"),
    (r'{"\ud800": 1, "\ud800": 2}', r"\\ud800: the key stands twice"),
    (b'"\xed\xa0\x80"', r"a text holds '\\ud800', which is half of a character"),
]


@pytest.mark.parametrize(("value", "words"), ODD, ids=["digits", "beyond", "half", "half a key", "twice", "raw half"])
def test_what_json_can_say_and_no_page_can_show_is_one_broken_file(
    value: str | bytes, words: str, tmp_path: Path
) -> None:
    text = json.dumps(json.loads(FIRST.read_text()) | {"selected": {"a": "HERE"}}).encode()
    data = text.replace(b'"HERE"', value if isinstance(value, bytes) else value.encode())
    with pytest.raises(UnreadableRecordError, match=words):
        content_of(data)
    shutil.copy(FIRST, tmp_path / "good.json")
    (tmp_path / "odd.json").write_bytes(data)
    records, broken = scan_records(tmp_path)
    assert len(records) == 1
    assert [file.path.name for file in broken] == ["odd.json"]
    str(broken[0].error).encode()
    assert re.search(words, str(broken[0].error))


def test_characters_of_two_halves_stay_what_they_are() -> None:
    text = json.dumps(json.loads(FIRST.read_text()) | {"selected": {"a": "\U0001f600"}})
    assert "\\ud83d\\ude00" in text
    assert content_of(text.encode())["selected"] == {"a": "\U0001f600"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 200_000])
def test_bytes_that_are_no_object_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableRecordError):
        content_of(data)


def test_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text(FIRST.read_text().replace('"seed": 0,', '"seed": 0, "seed": 1,'))
    with pytest.raises(UsageError, match=r"seed: the key stands twice"):
        read_record(path)


def test_record_without_a_field_is_named(tmp_path: Path) -> None:
    content = json.loads(FIRST.read_text())
    for field in ("model", "task", "cell", "schema_version", "metrics"):
        path = tmp_path / f"{field}.json"
        path.write_text(json.dumps({name: value for name, value in content.items() if name != field}))
        with pytest.raises(UsageError, match=field):
            read_record(path)


def test_one_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    shutil.copy(FIRST, tmp_path / "good.json")
    (tmp_path / "bad.json").write_text(FIRST.read_text()[:200])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "other.json").write_text("{}")
    records, broken = scan_records(tmp_path)
    assert len(records) == 1
    assert [file.path.name for file in broken] == ["bad.json"]
    assert "no JSON" in str(broken[0].error)
