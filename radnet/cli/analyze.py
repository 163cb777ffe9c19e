"""`radnet analyze`: what was learned, and where the domain boundary lies."""

from pathlib import Path

from radnet.console import say, show


def run_analyze(overrides: list[str]) -> Path:
    """Make the report that the overrides describe.

    Returns:
        The page.
    """
    from radnet.analysis.report.run import analyze
    from radnet.analysis.report.settings import settings_from_overrides

    settings = settings_from_overrides(overrides)
    page = analyze(settings)
    say(f"report: {page}")
    show(str(page))
    return page
