"""`composer compress`: weights of a spec made smaller as it says, with what that costs and gains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import message, product, show
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable
from .weight_places import places, whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.compression.measuring import Measured
    from composer.targets.compressed import Report

_FILE, _REPORT = "model.safetensors", "report.json"


def compress(
    spec: Spec,
    weights: Annotated[
        list[str],
        typer.Option(
            "--weights", metavar="PATH|NAME=PATH", help="Safetensors of the model as it is."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the new files go.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE",
            help="Safetensors of inputs by name, for calibration and for what is measured. "
            "Default: random inputs are measured.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:  # fmt: skip
    """Make a model smaller as the `compress` of its spec says, and measure what that does.

    Writes model.safetensors, which `composer.build(spec, weights=FOLDER)` reads, and report.json.
    """
    from composer.compression import command

    made, graph = read(spec, size, overrides, plugins)
    report, measured = command.compress(graph, whole(made, graph, places(weights)), out, data)
    text = json.dumps(_record(report, measured), indent=2) + "\n"
    (out / _REPORT).write_text(text, encoding="utf-8")
    if as_json:
        product(text)
        return
    show(_table(report))
    product("\n" + _words(report, measured))
    message(f"wrote {out / _FILE}")


def _record(report: Report, measured: Measured) -> dict[str, object]:
    from composer.targets.compressed import record

    return {
        "passes": [record(changed) for changed in report.changed],
        "bytes": measured.bytes,
        "relative_errors": dict(measured.errors),
        "seconds": measured.seconds,
        "inputs": measured.inputs,
        "found": dict(report.found),
        "left": dict(report.left),
    }


def _table(report: Report) -> RenderableType:
    """A row for each pass."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    table.add_column("pass")
    table.add_column("weights")
    for title in ("linear maps", "before", "after"):
        table.add_column(title, justify="right")
    for one in report.changed:
        sizes = (readable(one.before), readable(one.after))
        table.add_row(one.kind, one.mark, str(len(one.maps)), *sizes)
    return table


def _words(report: Report, measured: Measured) -> str:
    """What was measured, and what stays as it was, in lines."""
    before, after = measured.bytes
    lines = [f"size    {readable(before)} -> {readable(after)}, {after / before:.3f} of it"]
    for name, error in measured.errors.items():
        lines.append(f"error   {100 * error:.2f} % of '{name}', {measured.inputs}")
    first, second = (1000 * seconds for seconds in measured.seconds)
    lines.append(f"time    {first:.1f} ms -> {second:.1f} ms a pass, eager on this machine")
    if measured.slower:
        lines.append(f"        slower: {second / first:.1f} times as long; torch.compile may help")
    lines += [f"note    {one.kind}: {one.note}" for one in report.changed if one.note]
    if report.found:
        lines += ["", *(f"{name}: {said}" for name, said in report.found.items())]
    lines += ["", "left as it is"]
    for reason, names in _by_reason(report).items():
        lines.append(f"  {reason}: {', '.join(names)}")
    return "\n".join(lines) + "\n"


def _by_reason(report: Report) -> dict[str, list[str]]:
    """Tensors with one reason together, those of layers as one."""
    import re

    found: dict[str, dict[str, None]] = {}
    for name, reason in report.left.items():
        short = re.sub(r"\.layers\.\d+\.", ".layers.*.", name)
        found.setdefault(reason, {})[short] = None
    return {reason: list(names) for reason, names in found.items()}
