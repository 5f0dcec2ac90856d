"""`composer export`: the model of a spec as a file or folder of other tools."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import message, product, show
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable
from .weight_places import WeightPlaces, places

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.integrations.exporting import Exported
    from composer.language.spec import ModelSpec
    from composer.weights import Weights


class Format(str, Enum):
    """What a model can be exported to."""

    onnx = "onnx"
    torch_export = "torch-export"
    huggingface = "huggingface"


def export(
    spec: Spec,
    to: Annotated[Format, typer.Option("--to", help="The format.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE|DIR", help="Where it goes; for huggingface a folder."
        ),
    ],
    weights: WeightPlaces = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Safetensors of inputs by name: a program is rounded with their scales, where "
            "the spec says int8_static.",
        ),
    ] = None,
    size: Size = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Write the model of a spec for onnxruntime, torch.export or Hugging Face.

    What was written is read again and run beside the model at two batches and two sets of lengths.
    If an output differs by more than 1e-5 of its largest number, nothing is written.
    Without weights, parameters are drawn with seed 0.
    """
    made, _ = read(spec, size, overrides, plugins)
    from composer.integrations.exporting import export as written

    given = places(weights) if weights else None
    if data is not None:
        if to is not Format.torch_export:
            raise typer.BadParameter("--data rounds programs: --to torch-export")
        _rounded(made, out, data, given, as_json=as_json)
        return
    found = written(made, out, to=to.value, weights=given)
    for name, count in found.files.items():
        message(f"wrote {found.path if name == found.path.name else name}: {readable(count)}")
    if as_json:
        runs = [{**check.lengths, "difference": check.difference} for check in found.checks]
        product(json.dumps(runs, indent=2) + "\n")
    else:
        show(_table(found))


def _rounded(
    made: ModelSpec, out: Path, data: Path, given: Weights | None, *, as_json: bool
) -> None:
    """Writes a program that is rounded, and says how far it is from the model."""
    from composer.integrations.exporting.rounded import export_rounded

    found = export_rounded(made, out, data, weights=given)
    message(f"wrote {found.path}: {readable(found.bytes)}")
    if as_json:
        record = {"maps": list(found.maps), "relative_errors": dict(found.errors)}
        product(json.dumps(record, indent=2) + "\n")
        return
    product(f"{len(found.maps)} linear maps compute with int8\n")
    for name, error in found.errors.items():
        product(f"error   {100 * error:.2f} % of '{name}', first of the data\n")


def _table(found: Exported) -> RenderableType:
    """A row for each run: the lengths of its inputs, and how far it is from the model."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    for name in (*found.checks[0].lengths, "largest difference"):
        table.add_column(name, justify="right")
    for check in found.checks:
        table.add_row(*map(str, check.lengths.values()), f"{check.difference:.1e}")
    return table
