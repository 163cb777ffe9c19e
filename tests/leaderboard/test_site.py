"""The site as files: the same bytes for the same records, nothing from a network, nothing that a record can break."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from radnet.cli import main
from radnet.errors import RadnetError
from radnet.leaderboard import write_leaderboard
from radnet.leaderboard.cell_page import bars, drawings, facts
from radnet.leaderboard.figures import fraction_figures
from radnet.leaderboard.index_page import lines_of
from radnet.leaderboard.site import ASSETS, data_script
from radnet.leaderboard.tables import build_tables
from radnet.records import Curve, Difference, Interval, Overlap, ResultRecord, write_record

RESULTS = Path(__file__).resolve().parents[2] / "results"
HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }} $x$ \u2028"
Make = Callable[..., ResultRecord]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def several(make: Make) -> list[ResultRecord]:
    """Two fractions, a comparison, a row of two seeds, an unavailable one, and a text that means harm."""
    difference = {"balanced_accuracy vs timm:a": Difference(value=0.1, low=0.05, high=0.15, p=0.001)}
    curve = {"loss": Curve(over="epoch", at=(0, 1, 2), values=(2.0, None, 1.0))}
    return [
        *(make("timm:a", 0.8, fraction=fraction) for fraction in (0.1, 1.0)),
        *(make("run:x/<b>$y$", 0.9, fraction=fraction, differences=difference) for fraction in (0.1, 1.0)),
        *(make("random:a", 0.5 + seed / 10, seed=seed, curves=curve) for seed in (0, 1)),
        make("timm:b", message=HOSTILE),
        make("timm:c", 0.7, task=HOSTILE),
    ]


def test_same_records_give_the_same_bytes_whatever_their_files_are_called(make: Make, tmp_path: Path) -> None:
    for number, record in enumerate(several(make)):
        write_record(record, tmp_path / "one" / str(number))
        write_record(record, tmp_path / "two" / "deep" / str(9 - number))
    found = []
    for name in ("one", "two", "two"):  # twice over the same place: an earlier site leaves nothing behind
        write_leaderboard(tmp_path / name)
        found.append({path: data for path, data in files_of(tmp_path / name).items() if not path.endswith(".json")})
    assert found[0] == found[1] == found[2]
    assert {"leaderboard.csv", "LEADERBOARD.md", "site/index.html", "site/data.js"} <= set(found[0])
    assert sum(path.startswith("site/cells/") for path in found[0]) == 8
    assert sum(path.startswith("site/figures/") for path in found[0]) == 1


def test_text_of_a_record_is_never_markup(make: Make, tmp_path: Path) -> None:
    for record in several(make):
        write_record(record, tmp_path)
    site = write_leaderboard(tmp_path).site.parent
    for path in site.rglob("*"):
        if path.suffix in (".html", ".svg") or path.name == "data.js":
            assert "<img src=x" not in path.read_text(), path
    assert "{{ 7 * 7 }}" in (site / "data.js").read_text()


def test_data_cannot_end_its_script() -> None:
    text = data_script([{"model": HOSTILE}])
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text.removeprefix("window.RADNET_LINES = ").removesuffix(";\n")) == [{"model": HOSTILE}]
    with pytest.raises(ValueError, match="JSON compliant"):
        data_script([float("nan")])


def test_pages_ask_for_nothing_from_a_network_and_every_link_leads_somewhere(make: Make, tmp_path: Path) -> None:
    for record in several(make):
        write_record(record, tmp_path)
    shutil.copytree(RESULTS / "published", tmp_path / "published")
    site = write_leaderboard(tmp_path).site.parent
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"]*)"', page.read_text()):
            if link.startswith(("#", "data:")):
                continue
            assert not re.match(r"[a-z]+:|//", link), link
            assert (page.parent / link.partition("#")[0]).is_file(), (page, link)
    for name in ASSETS:
        assert (site / "assets" / name).stat().st_size > 500
    assert "MIT License" in (site / "assets" / "tabulator.LICENSE.txt").read_text()
    assert "http" not in (site / "assets" / "site.js").read_text().replace("http://www.w3.org/2000/svg", "")


def test_figures_carry_no_date_and_the_same_ids(make: Make) -> None:
    tables = build_tables(several(make))
    (figure,) = fraction_figures(tables)
    assert (figure,) == tuple(fraction_figures(tables))
    assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", figure.svg)
    assert "run:x/" in figure.svg


def test_bars_lie_where_their_numbers_say() -> None:
    (bar, missing) = bars({"a": Interval(value=0.5, low=0.25, high=0.75), "b": None})
    assert (bar.low, bar.at, bar.high) == (25, 50, 75)
    assert missing.value is None
    (bar,) = bars({"a": Interval(value=0.1, low=0.0, high=0.2)}, signed=True)
    assert (bar.low, bar.at, bar.high) == (50, 75, 100)


def test_curve_breaks_where_a_value_is_not_finite(make: Make) -> None:
    curve = Curve(over="epoch", at=(0, 1, 2, 3), values=(0.0, 1.0, None, 0.5))
    (drawing,) = drawings(
        make("timm:a", 0.5, curves={"val": curve, "dead": Curve(over="epoch", at=(0,), values=(None,))})
    )
    assert [len(piece.split()) for piece in drawing.pieces] == [2, 1]
    assert (drawing.missing, drawing.last, drawing.y_ends) == (1, "0.5", ("0", "1"))


def test_one_broken_file_is_named_skipped_counted_and_gives_exit_code_1(
    make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5):
        write_record(make("timm:a", 0.5, seed=seed), tmp_path)
    (tmp_path / "cut.json").write_text('{"schema_version": 2, "cr')
    with pytest.raises(SystemExit) as left:
        main(["leaderboard", "--results", str(tmp_path)])
    assert left.value.code == 1
    said = capfd.readouterr().err
    assert "1 of 6 files" in said
    assert "cut.json" in said
    assert "cut.json" in (tmp_path / "LEADERBOARD.md").read_text()
    assert "1 broken file, skipped" in re.sub(r"<[^>]*>", "", (tmp_path / "site" / "index.html").read_text())
    assert "timm:a" in (tmp_path / "leaderboard.csv").read_text()


LEAKS = [
    (Overlap(checked=True, test_items=400, shared_items=3), "3 test items were", "3 of 400 test items"),
    (
        Overlap(checked=True, test_items=400, shared_patients=12, sets=("a",), message="stored at another size"),
        "12 test patients were",
        "0 of 400 test items, 12 patients. stored at another size",
    ),
    (
        Overlap(checked=False, test_items=400, shared_items=5, shared_patients=1, sets=("a",), message="b is missing"),
        "5 test items and 1 test patient were",
        "5 of 400 test items, 1 patients, as far as could be checked: b is missing",
    ),
]


@pytest.mark.parametrize("value", ["9" * 5000, r'"\ud800"', r'{"\ud800": 1, "\ud800": 2}'])
def test_what_no_page_can_show_is_a_broken_file_and_the_page_is_written(value: str, make: Make, tmp_path: Path) -> None:
    write_record(make("timm:a", 0.5), tmp_path)
    other = make("timm:b", 0.6, selected={"C": "HERE"}).model_dump_json()
    (tmp_path / "odd.json").write_text(other.replace('"HERE"', value))
    written = write_leaderboard(tmp_path)
    assert [len(written.records), len(written.broken)] == [1, 1]
    assert "odd.json" in written.page.read_text()
    assert "odd.json" in written.site.read_text()


@pytest.mark.parametrize(("overlap", "seen", "fact"), LEAKS, ids=["items", "patients", "one set missing"])
def test_what_pretraining_has_seen_is_marked_wherever_the_row_stands(
    overlap: Overlap, seen: str, fact: str, make: Make, tmp_path: Path
) -> None:
    record = make("run:x/y", 0.9, overlap=overlap)
    (line,) = lines_of(build_tables([record]))
    assert line["seen"] == f"{seen} in its pretraining set"
    assert dict(facts(record))["test images in the pretraining set"] == fact
    write_record(record, tmp_path)
    site = write_leaderboard(tmp_path).site.parent
    assert f"{seen} in its pretraining set" in (site / "cells" / f"{record.cell}.html").read_text()
    assert f"{seen} in its pretraining set" in (tmp_path / "LEADERBOARD.md").read_text()


@pytest.mark.parametrize(
    ("overlap", "fact"),
    [
        (None, "not looked up"),
        (
            Overlap(checked=False, test_items=400, message="its sets are not known"),
            "not looked up: its sets are not known",
        ),
        (Overlap(checked=True, test_items=400, shared_patients=0, sets=("a",)), "0 of 400 test items, 0 patients"),
        (
            Overlap(checked=False, test_items=400, shared_patients=0, sets=("a",), message="b is missing"),
            "0 of 400 test items, 0 patients, as far as could be checked: b is missing",
        ),
    ],
    ids=["nobody asked", "nothing compared", "nothing found", "nothing found in one of two sets"],
)
def test_nothing_seen_is_no_alarm_and_not_looked_up_means_that_nothing_was_compared(
    overlap: Overlap | None, fact: str, make: Make, tmp_path: Path
) -> None:
    record = make("run:x/y", 0.9, overlap=overlap)
    (line,) = lines_of(build_tables([record]))
    assert "seen" not in line
    assert dict(facts(record))["test images in the pretraining set"] == fact
    write_record(record, tmp_path)
    site = write_leaderboard(tmp_path).site.parent
    assert "alarm-box" not in (site / "cells" / f"{record.cell}.html").read_text()


def test_site_that_cannot_be_written_is_an_error_and_leaves_the_old_one(make: Make, tmp_path: Path) -> None:
    write_record(make("timm:a", 0.5), tmp_path)
    (tmp_path / "site").write_text("somebody's file")
    with pytest.raises(RadnetError, match="file"):
        write_leaderboard(tmp_path)
    assert (tmp_path / "site").read_text() == "somebody's file"


def test_committed_pages_are_what_the_committed_records_give(tmp_path: Path) -> None:
    """After a change of records or pages: radnet leaderboard."""
    shutil.copytree(RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("site", "predictions"))
    write_leaderboard(tmp_path / "results")
    made, kept = files_of(tmp_path / "results"), files_of(RESULTS)
    for path, data in made.items():
        if not path.endswith(".svg"):  # their layout follows the version of matplotlib
            assert data == kept[path], f"{path} is not what the records give"
