"""The commands together, and the one place where errors end."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from composer.diagnostics import SpecError, escape
from composer.plugins import PluginError

from . import output
from .build import build
from .check import check
from .compress import compress
from .coordinates import coordinates
from .cut import cut
from .describe import describe
from .diff import diff
from .distill import distill
from .draw import draw
from .export import export
from .generating import generate
from .importing import import_config
from .kinds import kinds
from .lottery import lottery
from .plan import plan
from .reading import Color, exit_code
from .scale import scale
from .texts import emit, expand, schema
from .train import train
from .watch import watch
from .weights import convert, export_weights, merge

OK, FINDINGS, USAGE, MISSING_TOOL, INTERNAL = 0, 1, 2, 3, 101

app = typer.Typer(
    name="composer",
    help="Compile YAML specs of encoders, decoders and their connections to PyTorch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    check, build, draw, watch, describe, diff, scale, expand, emit, convert, export_weights,
    export, merge, compress, cut, coordinates, plan, train, distill, lottery, generate,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.command("import")(import_config)  # which Python keeps for itself
for listing in (kinds, schema):
    app.command()(listing)


def _show_version(asked: bool) -> None:
    if asked:
        output.product(f"composer {_version()}\n")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and stop."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of faults.")] = False,
    _color: Color = None,
) -> None:
    """Compile YAML specs of encoders, decoders and their connections to PyTorch."""
    output.settings.debug = debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code; no exception leaves it."""
    output.settings.reset()
    try:
        app(args=arguments, prog_name="composer")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else OK
    except Exception as error:  # noqa: BLE001 - the last resort: it is shown, and asked to be reported
        return _ended(error)
    return OK


def _ended(error: Exception) -> int:
    """Says why a command has ended, and gives the exit code for it."""
    if isinstance(error, output.ClosedError):
        return OK
    if isinstance(error, SpecError):
        output.show_problems(error.problems, output.settings.spec)
        return exit_code(error.problems)
    if isinstance(error, PluginError | output.UsageError):
        output.failure(escape(str(error)))
        return USAGE
    if isinstance(error, OSError):
        output.failure(_about(error))
        return USAGE
    return _internal(error)


def _about(error: OSError) -> str:
    where = f"{escape(str(error.filename))}: " if error.filename else ""
    return f"{where}{(error.strerror or str(error)).lower()}"


def _internal(error: Exception) -> int:
    if output.settings.debug:
        output.message("".join(traceback.format_exception(error)).rstrip())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/composer/')[2]}:{frame.lineno}"
    output.failure(f"{type(error).__name__}: {escape(str(error))} ({place})", "I901")
    output.message(
        "      = this is a fault of composer: please report it, with the spec if you can"
    )
    output.message(
        f"      = composer {_version()}, Python {platform.python_version()}, {sys.platform}"
    )
    if not output.settings.debug:
        output.message("      = `composer --debug ...` shows the traceback")
    return INTERNAL


def _version() -> str:
    from importlib.metadata import version  # with its mail parser, slow to import

    return version("graph-composer")
