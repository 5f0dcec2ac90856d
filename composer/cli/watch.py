"""`composer watch`: a local page that shows a spec's model, and follows the file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from composer.diagnostics import SpecError

from .draw import MISSING_TOOL, Direction
from .output import UsageError, failure, message
from .reading import Color, Overrides, Plugins, Size, Spec, load_plugins, read


def watch(
    spec: Spec,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 0,
    direction: Annotated[
        Direction, typer.Option("--direction", help="Where the data flows.")
    ] = Direction.up,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Show the model in a browser, and draw it anew whenever the spec is saved.

    Only this machine can reach the page. Ctrl-C ends it.
    """
    if not Path(spec).is_file():
        raise UsageError(f"'{spec}' is not a file that can be watched")
    try:
        from .serving import serve
    except ImportError as error:
        failure(f"'{error.name}' is missing: pip install 'graph-composer[watch]'", "D302")
        raise typer.Exit(MISSING_TOOL) from None
    load_plugins(plugins)
    drawn = partial(_drawn, spec, size, overrides, direction.value)
    serve(Path(spec), drawn, port, lambda url: message(f"{spec} is shown at {url}"))


def _drawn(spec: str, size: str | None, overrides: list[str] | None, direction: str) -> bytes | str:
    """The page of a model, or what is wrong with its spec."""
    from composer.targets.diagram import DrawingError
    from composer.targets.page import page

    try:
        _, graph = read(spec, size, overrides, None)
        return page(graph, direction="right" if direction == "right" else "up")
    except (SpecError, DrawingError) as error:
        return str(error)
