"""Writing the leaderboard beside its records: page, table, figures and site, each whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radnet.errors import RadnetError
from radnet.files import new_directory, write_atomically
from radnet.leaderboard.figures import fraction_figures
from radnet.leaderboard.markdown import markdown_page
from radnet.leaderboard.published.write import PublishedResults, kept_results, page_context, write_published
from radnet.leaderboard.site import SiteContent, write_site
from radnet.leaderboard.tables import Row, Table, Value, build_tables
from radnet.records import BrokenRecord, ResultRecord, scan_records

MARKDOWN_NAME = "LEADERBOARD.md"
CSV_NAME = "leaderboard.csv"
SITE_NAME = "site"


@dataclass(frozen=True)
class Leaderboard:
    """What was written, and from what.

    Attributes:
        page: The markdown page.
        site: First page of the site.
        records: The records that took part.
        tables: The tables made of them.
        broken: Files that are no records and were skipped.
        published: Published results beside the records, None where there are none.
    """

    page: Path
    site: Path
    records: Sequence[ResultRecord]
    tables: Sequence[Table]
    broken: Sequence[BrokenRecord]
    published: PublishedResults | None

    def require_whole(self) -> None:
        """Fail when a file was skipped, after all that could be shown was written.

        Raises:
            RadnetError: Files were skipped; names the first.
        """
        if self.broken:
            raise RadnetError(
                f"{len(self.broken)} of {len(self.broken) + len(self.records)} files are no valid result records and "
                f"were skipped; the leaderboard was made of the others. The first: {self.broken[0].error.what}",
                file=self.broken[0].path,
                fix=self.broken[0].error.fix,
            )


def write_leaderboard(results_dir: Path) -> Leaderboard:
    """Write `LEADERBOARD.md`, `leaderboard.csv` and `site/` from every record below `results_dir`.

    Published results in `published/` get pages of their own and are not mixed into these.

    Files that are no valid records are skipped, counted and named on the page.

    Raises:
        UsageError: There is no such directory.
        RadnetError: The disk is full or not writable.
    """
    records, broken = scan_records(results_dir)
    tables = build_tables(records)
    published = kept_results(results_dir)
    skipped = [(file.path.relative_to(results_dir).as_posix(), f"{file.error.what}") for file in broken]
    page, site = results_dir / MARKDOWN_NAME, results_dir / SITE_NAME
    write_atomically(results_dir / CSV_NAME, table_frame(tables).to_csv(index=False, lineterminator="\n"))
    write_atomically(page, markdown_page(tables, skipped))
    with new_directory(site, overwrite=True) as directory:
        shown = None if published is None else page_context(published)
        write_site(SiteContent(tables, fraction_figures(tables), skipped, shown), directory)
    if published is not None:
        write_published(published, results_dir)
    return Leaderboard(page, site / "index.html", records, tables, broken, published)


def table_frame(tables: Sequence[Table]) -> pd.DataFrame:
    """One line a leaderboard row, unrounded; metrics have a column each for mean, ends and range over seeds."""
    lines = [_line(table, row) for table in tables for row in table.rows]
    fixed = ["task", "manifest_hash", "protocol", "protocol_hash", "fraction", "primary_metric", "rank", "model"]
    frame = pd.DataFrame(lines, columns=list(dict.fromkeys([*fixed, *(key for line in lines for key in line)])))
    return frame.astype({"rank": "Int64"})


def _line(table: Table, row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {
        "task": table.task.name,
        "manifest_hash": table.task.manifest_hash,
        "protocol": table.protocol.name,
        "protocol_hash": table.protocol.hash,
        "fraction": table.fraction,
        "condition": table.condition.words if table.condition else None,
        "primary_metric": table.task.metric,
        "rank": row.rank,
        "model": row.label,
        "arm": row.model.arm,
        "architecture": row.model.architecture,
        "pretraining": row.model.pretraining,
        "method": row.model.method,
        "parameters": row.model.parameters,
        "in_chans": row.model.in_chans,
        "synthetic": row.synthetic,
        "status": "done" if row.available else "unavailable",
        "standing": row.standing,
        "seeds": " ".join(map(str, row.seeds)),
        "train_items": row.count("train_items"),
        "test_items": row.count("test_items"),
        "test_patients": row.count("test_patients"),
        "message": " ".join(sorted({record.message for record in row.records} - {""})),
    }
    if row.stability is not None:
        line |= {
            "rank low": row.stability.low,
            "rank high": row.stability.high,
            "share first": row.stability.first,
            "ranks from": "resamples" if row.stability.paired else "intervals",
        }
    if row.comparison is not None:
        line |= {
            "reference": row.comparison.reference,
            "difference": row.comparison.value,
            "p": row.comparison.p,
            "p from": "test" if row.comparison.tested else "interval",
            "p Holm": row.comparison.p_holm,
            "family": row.comparison.family,
            "detectable": row.comparison.detectable,
            "finding": str(row.comparison.verdict),
        }
    for name, value in sorted({**row.metrics, **row.differences}.items()):
        line |= _value_columns(name, value)
    return line


def _value_columns(name: str, value: Value) -> dict[str, float]:
    return {
        name: value.mean,
        f"{name} low": value.low,
        f"{name} high": value.high,
        f"{name} seed min": value.seed_low,
        f"{name} seed max": value.seed_high,
    }
