"""`composer coordinates`: whether states stay alike at every width while a model starts to train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composer.graph.build import build_graph

from .output import UsageError, product, show
from .reading import Color, Overrides, Plugins, Size, Spec, checked, load_plugins, read_tree

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.training.coordinates import Coordinate

FIX = "write --vary dims.d_model=64,128,256"


def coordinates(
    spec: Spec,
    vary: Annotated[
        str,
        typer.Option("--vary", metavar="NAME.OPTION=A,B,...", help="The option and its values."),
    ],
    steps: Annotated[int, typer.Option("--steps", min=0, help="Updates.")] = 5,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of Adam.")] = 0.01,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs to take the mean of.")] = 2,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Also draw it: png, svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every measurement.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Train a few steps at several widths, and show how the size of states follows the width.

    The numbers are powers of the option: 0 is flat, as with a parametrization that follows the
    width; 1 grows in proportion to it.
    """
    from composer.training.coordinates import measure, plot

    option, values = _values(vary)
    load_plugins(plugins)
    tree = read_tree(spec)
    graphs = {
        value: build_graph(checked(tree, size, [*(overrides or ()), f"{option}={value}"]))
        for value in values
    }
    made = measure(graphs, steps=steps, lr=lr, seeds=seeds)
    if out is not None:
        plot(made, out, option)
    if as_json:
        product(json.dumps([vars(one) for one in made], indent=2) + "\n")
    else:
        show(_table(made))


def _values(vary: str) -> tuple[str, list[int]]:
    """The option that changes, and its values."""
    option, equals, text = vary.partition("=")
    words = [word.strip().replace("_", "") for word in text.split(",")]
    if not equals or not all(word.isdecimal() for word in words):
        message = f"'{vary}' is not NAME.OPTION=A,B,... with whole numbers: {FIX}"
        raise UsageError(message)
    values = sorted({int(word) for word in words})
    if len(values) < 2:  # noqa: PLR2004 - a slope
        message = f"'{vary}' has one value, which shows no growth: {FIX}"
        raise UsageError(message)
    return option.strip(), values


def _table(made: list[Coordinate]) -> RenderableType:
    """A row for each part, a column for each step."""
    from rich import box
    from rich.table import Table

    from composer.training.coordinates import slopes

    powers = slopes(made)
    steps = sorted({step for _, step in powers})
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    table.add_column("growth of mean |x|")
    for step in steps:
        table.add_column(f"step {step}", justify="right")
    for part in dict.fromkeys(part for part, _ in powers):
        table.add_row(part, *(f"{powers[part, step]:+.2f}" for step in steps))
    return table
