"""Pieces of the report's page: sections, tables, figures. No script, nothing from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from radnet.analysis.report.store import Row

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1180px; padding: 1rem 1.5rem 4rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d0d7de; }
nav { font-size: 13.5px; } nav a { margin-right: 1rem; display: inline-block; } a { color: #0b5cad; }
.scroll { overflow-x: auto; margin: .6rem 0 1.4rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e6e9ec; text-align: right; white-space: nowrap; }
th { background: #f5f7f9; } td.t, th.t { text-align: left; } td.reason { white-space: normal; min-width: 16rem; }
figure { margin: 1rem 0 1.6rem; } figure img { max-width: 100%; height: auto; }
figcaption, .about { color: #57606a; font-size: 13.5px; max-width: 62rem; }
.lead { color: #57606a; margin-top: 0; }
.warn { background: #fff6dd; border-left: 4px solid #d99e0b; padding: .5rem .8rem; }
"""
NOTHING = "-"
MOST_ROWS = 60
HIDDEN = frozenset({"identity"})


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: For links.
        title: Heading.
        parts: HTML.
    """

    anchor: str
    title: str
    parts: list[str] = field(default_factory=list)


def table(about: str, rows: Sequence[Row]) -> str:
    """A table with a sentence above it; more than `MOST_ROWS` are cut, and it says so."""
    if not rows:
        return f'<p class="about">{escape(about)}: nothing to show.</p>'
    columns = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in HIDDEN]
    textual = {c for c in columns if any(isinstance(row.get(c), str) for row in rows)}
    head = "".join(f"<th{_kind(c, textual)}>{escape(c.replace('_', ' '))}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td{_kind(c, textual)}>{escape(_shown(row.get(c)))}</td>" for c in columns) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f'<p class="about">{len(rows) - MOST_ROWS} more rows stand in numbers/.</p>' if len(rows) > MOST_ROWS else ""
    return (
        f'<p class="about">{escape(about)}</p><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _kind(column: str, textual: set[str]) -> str:
    return ' class="t"' if column in textual else ""


def _shown(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:.3g}"
            if abs(value) < 1e-2 and value != 0
            else f"{value:.3f}"
            if abs(value) < 100
            else f"{value:.4g}"
        )
    return str(value)


def figure(path: Path | None, caption: str) -> str:
    """A picture of `figures/` with its caption; nothing when it was not drawn."""
    if path is None:
        return ""
    relative = f"{path.parent.name}/{path.name}"
    return (
        f'<figure><a href="{escape(relative)}"><img src="{escape(relative)}" alt="{escape(caption)}"></a>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def warning(text: str) -> str:
    """A sentence that must not be overlooked."""
    return f'<p class="warn">{escape(text)}</p>'


def page(title: str, lead: str, sections: Sequence[Section], links: Sequence[tuple[str, str]]) -> str:
    """The whole page.

    Args:
        title: Heading.
        lead: A sentence below it.
        sections: In order.
        links: (address, text) of files beside the page.
    """
    jumps = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    files = "".join(f'<a href="{escape(address)}">{escape(text)}</a>' for address, text in links)
    body = "".join(f'<h2 id="{s.anchor}">{escape(s.title)}</h2>' + "".join(s.parts) for s in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p><nav>{jumps}</nav><nav>{files}</nav>'
        f"{body}</body></html>\n"
    )
