import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from radnet.errors import UsageError
from radnet.leaderboard import render_markdown, render_terminal, write_leaderboard
from radnet.records import ResultRecord, write_record

GOLDEN = Path(__file__).parent / "golden.md"
Make = Callable[..., ResultRecord]


def test_page_equals_the_golden_file(study: list[ResultRecord]) -> None:
    """After a wanted change: RADNET_WRITE_GOLDEN=1 pytest tests/leaderboard, then read the difference."""
    page = render_markdown(study)
    if os.environ.get("RADNET_WRITE_GOLDEN"):
        GOLDEN.write_text(page)
    assert page == GOLDEN.read_text()


def test_page_does_not_depend_on_the_order_of_records(study: list[ResultRecord]) -> None:
    for seed in range(20):
        shuffled = random.Random(seed).sample(study, len(study))  # noqa: S311
        assert render_markdown(shuffled) == render_markdown(study)


def test_every_line_of_a_table_has_as_many_cells_and_is_as_wide(study: list[ResultRecord]) -> None:
    blocks: list[list[str]] = [[]]
    for line in render_markdown(study).splitlines():
        if line.startswith("|"):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    blocks = [block for block in blocks if block]
    assert len(blocks) == 2
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1
        assert len({len(line) for line in block}) == 1


def test_text_from_records_cannot_break_the_table(make: Make) -> None:
    page = render_markdown(
        [make("local-dir:a|b", 0.5), make("timm:x", message="first\nsecond | third <b>"), make("run:*a*", 0.4)]
    )
    assert "local-dir:a\\|b" in page
    assert "first second \\| third \\<b>" in page
    assert "run:\\*a\\*" in page


def test_empty_results_are_a_helpful_sentence() -> None:
    assert "no results yet" in render_markdown([])
    assert "radnet evaluate" in render_markdown([])


def terminal_text(records: list[ResultRecord]) -> str:
    console = Console(file=io.StringIO(), width=260, force_terminal=False)
    console.print(render_terminal(records))
    return console.file.getvalue()


def test_terminal_says_what_the_page_says(study: list[ResultRecord]) -> None:
    text = terminal_text(study)
    for words in ("0.900 [0.850, 0.950]", "interval overlaps", "unavailable", "(synthetic)", "no certainty"):
        assert words in text
    assert "no results yet" in terminal_text([])


def test_terminal_takes_no_markup_from_records(make: Make) -> None:
    assert "timm:[red]x[/red]" in terminal_text([make("timm:[red]x[/red]", 0.5)])


def test_written_page_and_table_are_the_same_whatever_the_files_are_called(
    study: list[ResultRecord], tmp_path: Path
) -> None:
    for number, entry in enumerate(study):
        write_record(entry, tmp_path / "one" / str(number))
        write_record(entry, tmp_path / "two" / str(len(study) - number) / "deep")
    pages = [write_leaderboard(tmp_path / name).page for name in ("one", "two")]
    assert pages[0].name == "LEADERBOARD.md"
    assert pages[0].read_bytes() == pages[1].read_bytes() == render_markdown(study).encode()
    tables = [page.with_name("leaderboard.csv") for page in pages]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    before = pages[0].read_bytes()
    assert write_leaderboard(tmp_path / "one").page.read_bytes() == before


def test_csv_holds_every_row_unrounded(study: list[ResultRecord], tmp_path: Path) -> None:
    for entry in study:
        write_record(entry, tmp_path)
    frame = pd.read_csv(write_leaderboard(tmp_path).page.with_name("leaderboard.csv"))
    assert len(frame) == 5
    row = frame[frame.model == "run:runs/simclr"].iloc[0]
    assert row["balanced_accuracy"] == 0.88
    assert row["balanced_accuracy vs timm:resnet18 high"] == 0.005
    assert row["rank"] == 2
    missing = frame[frame.status == "unavailable"].iloc[0]
    assert pd.isna(missing["rank"])
    assert pd.isna(missing["balanced_accuracy"])
    assert "No network" in missing["message"]


def test_empty_directory_gives_a_page_and_a_missing_one_an_error(tmp_path: Path) -> None:
    assert "no results yet" in write_leaderboard(tmp_path).page.read_text()
    with pytest.raises(UsageError, match="No such directory"):
        write_leaderboard(tmp_path / "absent")
