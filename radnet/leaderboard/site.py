"""The static site: pages from templates, data and assets beside them; it opens from a file, without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from radnet.leaderboard.cell_page import bars, drawings, facts
from radnet.leaderboard.claims import claims_of
from radnet.leaderboard.comparisons import ALPHA, FAMILY, FEWEST_PATIENTS, MARGIN
from radnet.leaderboard.figures import FractionFigure
from radnet.leaderboard.index_page import lines_of, matrices
from radnet.leaderboard.notes import seen_in_pretraining
from radnet.leaderboard.tables import Table
from radnet.records import ResultRecord

ASSETS = ("site.css", "site.js", "tabulator.min.css", "tabulator.min.js", "tabulator.LICENSE.txt")


@dataclass(frozen=True)
class SiteContent:
    """All that the pages show.

    Attributes:
        tables: Ranked tables.
        figures: Figures of score against fraction, drawn already.
        broken: File and reason of every file that is no record.
        published: What the page of published results shows, None for no such page.
    """

    tables: Sequence[Table]
    figures: Sequence[FractionFigure]
    broken: Sequence[tuple[str, str]] = ()
    published: Mapping[str, Any] | None = None


def template_environment() -> Environment:
    """Jinja2 with escaping everywhere; a name that does not exist is an error, not an empty place."""
    return Environment(
        loader=PackageLoader("radnet.leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def write_site(content: SiteContent, directory: Path) -> None:
    """Write pages, figures and assets into an empty directory.

    Args:
        content: What the pages show.
        directory: The directory, which exists.
    """
    templates = template_environment()
    copy_assets(directory)
    (directory / "figures").mkdir()
    for figure in content.figures:
        _write(directory / "figures" / figure.name, figure.svg)
    _write(directory / "index.html", templates.get_template("index.html.j2").render(_index(content)))
    _write(directory / "data.js", data_script(lines_of(content.tables)))
    if content.published is not None:
        page = templates.get_template("published.html.j2").render(root="", published=True, **content.published)
        _write(directory / "published.html", page)
    (directory / "cells").mkdir()
    cell = templates.get_template("cell.html.j2")
    for table in content.tables:
        for row in table.rows:
            for record in row.records:
                page = cell.render(_cell(record, table, content))
                _write(directory / "cells" / f"{record.cell}.html", page)


def copy_assets(directory: Path) -> None:
    """Copy style, scripts and the table library with its licence to `directory/assets`."""
    (directory / "assets").mkdir(exist_ok=True)
    source = files("radnet.leaderboard") / "assets"
    for name in ASSETS:
        (directory / "assets" / name).write_bytes((source / name).read_bytes())


def data_script(lines: object) -> str:
    """A script that hands `lines` to the page; a page opened from a file may load scripts, but no JSON."""
    import json

    text = json.dumps(lines, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # neither the end of a script nor a line separator of JavaScript may come from a record
    for sign in ("<", "\u2028", "\u2029"):
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"window.RADNET_LINES = {text};\n"


def _index(content: SiteContent) -> dict[str, Any]:
    rows = [row for table in content.tables for row in table.rows]
    records = [record for row in rows for record in row.records]
    return {
        "root": "",
        "published": content.published is not None,
        "claims": claims_of(content.tables),
        "matrices": matrices(content.tables),
        "figures": content.figures,
        "broken": content.broken,
        "counts": {
            "records": len(records),
            "rows": len(rows),
            "unavailable": sum(record.status == "unavailable" for record in records),
            "tasks": len({(table.task.name, table.task.manifest_hash) for table in content.tables}),
            "models": len({row.label for row in rows}),
            "synthetic": sum(row.synthetic for row in rows),
        },
        "unpaired": any(row.stability is not None and not row.stability.paired for row in rows),
        "untested": any(row.comparison is not None and not row.comparison.tested for row in rows),
        "rules": {"alpha": ALPHA, "margin": MARGIN, "patients": FEWEST_PATIENTS, "family": FAMILY},
    }


def _cell(record: ResultRecord, table: Table, content: SiteContent) -> dict[str, Any]:
    return {
        "root": "../",
        "published": content.published is not None,
        "record": record,
        "title": f"{record.model.name} on {record.task.name}",
        "setting": table.title,
        "metrics": bars(dict(sorted(record.metrics.items(), key=lambda item: (item[0] != table.task.metric, item[0])))),
        "differences": bars(dict(record.differences or {}), signed=True),
        "tests": record.differences or {},
        "per_class": {name: bars(values) for name, values in sorted(record.per_class.items())},
        "drawings": drawings(record),
        "facts": facts(record),
        "seen": seen_in_pretraining([record]),
        "json": record.model_dump_json(indent=2, exclude={"resampled"}),
        "synthetic": record.model.synthetic or record.task.synthetic,
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
