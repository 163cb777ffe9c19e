"""`radnet analyze`: what was learned, and where the domain boundary lies."""

from collections.abc import Sequence
from pathlib import Path

from radnet.console import say, show
from radnet.hashing import settings_hash


def run_analyze(overrides: list[str]) -> Path:
    """Make the report that the overrides describe.

    Returns:
        The page.
    """
    from radnet.analysis.report.run import analyze, require_report_or_nothing
    from radnet.analysis.report.settings import settings_from_overrides

    settings = settings_from_overrides(overrides)
    require_report_or_nothing(settings.out)
    page = analyze(settings, checkpoints_of_runs(settings.models, settings.out, settings.checkpoints))
    say(f"report: {page}")
    show(str(page))
    return page


def checkpoints_of_runs(models: Sequence[str], out: Path, most: int) -> list[tuple[str, str]]:
    """Exports of some checkpoints of every run among the models, kept beside the parts of the report.

    Args:
        models: Names of models; those of other schemes than `run:` are passed over.
        out: Directory of the report.
        most: Checkpoints of a run, at most, evenly chosen, the first and the newest among them.

    Returns:
        (model, name in the report) of each checkpoint.
    """
    from radnet.analysis.layers import evenly
    from radnet.analysis.report.study import checkpoint_name
    from radnet.pretrain.checkpoints import list_checkpoints, step_of
    from radnet.pretrain.exporting import export_run
    from radnet.pretrain.resume import CHECKPOINTS

    found: list[tuple[str, str]] = []
    for model in models:
        scheme, _, value = model.partition(":")
        run = Path(value)
        if scheme != "run" or not most or not (run / CHECKPOINTS).is_dir():
            continue
        paths = list_checkpoints(run / CHECKPOINTS)
        for path in (paths[place] for place in evenly(len(paths), most)) if paths else ():
            stored = path.stat()
            key = settings_hash({"file": str(path.resolve()), "bytes": stored.st_size, "written": stored.st_mtime_ns})
            export = out / ".parts" / "checkpoints" / key[:16]
            if not export.is_dir():
                export_run(run, export, step=step_of(path))
            found.append((f"local-dir:{export}", checkpoint_name(model, step_of(path))))
    return found
