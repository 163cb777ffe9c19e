"""Top floor: the command line. Commands import what they need when they run, so that `--help` is quick.

Exit codes: 0 done, 1 the work failed, 2 the call was wrong. An error is one paragraph; `--debug`, anywhere in the
command, shows the traceback.
"""

import os
import sys
import traceback
import warnings
from typing import Any

import typer
from rich.console import Console

from radnet.cli import data, experiments, tasks, views, weights
from radnet.console import is_main_process
from radnet.errors import RadnetError, UsageError

EPILOG = (
    "A model is named the same way everywhere: run:PATH, local-dir:PATH, hf-hub:ORG/NAME, timm:NAME (its ImageNet "
    "weights), random:NAME."
)

_WRONG_CALL: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What typer raises for a wrong call. It brings click along under its own name, or not, depending on its version."""

app = typer.Typer(
    name="radnet",
    help="Should we pretrain on our own CT scans, or are ImageNet weights just as good? From an archive to an answer.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
experiments.register(app)
data.register(app)
tasks.register(app)
views.register(app)
weights.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    if not debug:
        warnings.filterwarnings("ignore")
    try:
        code = app([word for word in given if word != "--debug"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except RadnetError as error:
        _explain(error, str(error), debug)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _explain(None, "Stopped by the keyboard.", debug)
        sys.exit(130)
    except typer.Exit as left:
        sys.exit(left.exit_code)
    except Exception as error:  # the last resort: nobody should meet a bare traceback
        if isinstance(error, _WRONG_CALL):
            message = error.format_message().replace("\n", " ").rstrip(".")
            if message:  # empty when a group of commands was called alone and showed its help
                _explain(error, f"{message}. Try: radnet --help", debug)
            sys.exit(2)
        _explain(error, f"Something unforeseen: {type(error).__name__}: {error}. Run it again with --debug.", debug)
        sys.exit(1)


def _explain(error: Exception | None, text: str, debug: bool) -> None:
    """One paragraph; a wrong call is the same on every rank and is said once, a failure names its rank."""
    if debug and error is not None:
        traceback.print_exception(error)
    if not is_main_process():
        if isinstance(error, UsageError):
            return
        text = f"rank {os.environ.get('RANK', '?')}: {text}"
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {text}", style="red", markup=False)
