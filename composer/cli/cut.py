"""`composer cut`: a smaller spec and its weights, heads, features, experts or layers being left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import UsageError, message, product, show
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .weight_places import places, whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.compression import Cut, Smaller

_WORDS = ("heads", "d_ff", "experts", "layers")
_SPEC, _WEIGHTS = "spec.yaml", "model.safetensors"


def cut(
    spec: Spec,
    weights: Annotated[
        list[str],
        typer.Option(
            "--weights", metavar="PATH|NAME=PATH", help="Safetensors of the model as it is."
        ),
    ],
    keep: Annotated[
        list[str],
        typer.Option(
            "--keep", metavar="STACK.WHAT=NUMBER",
            help="What is left in each layer: encoder.heads=4, encoder.d_ff=512, "
            "encoder.experts=4; or which layers: encoder.layers=0,2,4. Can be given several times.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the new files go.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print what is kept as JSON.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:  # fmt: skip
    """Cut heads, features, experts or layers out of a model: a smaller spec and its weights are left.

    Of heads, features and experts those with the largest weights are kept. Writes spec.yaml, every
    option written out, and model.safetensors.
    """
    from composer.compression import command

    made, graph = read(spec, size, overrides, plugins)
    wanted = _cuts(keep)
    smaller = command.cut(made, whole(made, graph, places(weights)), wanted, out)
    if as_json:
        product(json.dumps({n: list(k) for n, k in smaller.kept.items()}, indent=2) + "\n")
        return
    show(_table(smaller))
    product(f"\n{graph.parameters:,} -> {smaller.graph.parameters:,} parameters\n")
    message(f"wrote {out / _SPEC} and {out / _WEIGHTS}")


def _cuts(texts: Iterable[str]) -> Mapping[str, Cut]:
    """What is left of each stack; raises UsageError for a text that does not say it."""
    from composer.compression import Cut

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        match = re.fullmatch(rf"(\w+)\.({'|'.join(_WORDS)})=(\d+(?:,\d+)*)", text)
        numbers = tuple(map(int, match[3].split(","))) if match else ()
        if match is None or (match[2] != "layers" and len(numbers) > 1):
            words = ", ".join(_WORDS)
            raise UsageError(f"--keep wants STACK.WHAT=NUMBER with one of {words}, not '{text}'")
        word = match[2]
        found.setdefault(match[1], {})[word] = numbers if word == "layers" else numbers[0]
    return {stack: Cut(**each) for stack, each in found.items()}


def _table(smaller: Smaller) -> RenderableType:
    """A row for what is kept of each component."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    table.add_column("of")
    table.add_column("kept", justify="right")
    table.add_column("which")
    for name, numbers in smaller.kept.items():
        table.add_row(name, str(len(numbers)), _shortened(list(map(str, numbers))))
    return table


def _shortened(words: list[str]) -> str:
    """The first of many words."""
    most = 12
    return " ".join(words[:most] + (["..."] if len(words) > most else []))
