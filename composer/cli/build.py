"""`composer build`: source, diagram, spec and summary of a model, in one folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from composer.graph.graph import Graph
from composer.language.spec import ModelSpec

from .describe import summary_table
from .draw import MISSING_TOOL
from .output import NATURAL, columns, failure, product, rendered, show
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable
from .weight_places import WeightPlaces, audited, places, whole
from .weights import bytes_of, writer

WEIGHTS = "weights.safetensors"


def build(
    spec: Spec,
    size: Size = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Default: build/NAME or build/NAME-SIZE."),
    ] = None,
    weights: WeightPlaces = None,
    linked: Annotated[
        bool, typer.Option("--linked", help="Import the layers from composer, instead of a copy.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")
    ] = False,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Write model.py, its diagram, the expanded spec and a summary into a folder.

    With weights, weights.safetensors too: all of the model's tensors under its own names. Those that
    the weights leave new are drawn with seed 0.

    On an error nothing is written. Without Graphviz, all but diagram.svg is.
    """
    from composer.targets.files import Content, write_folder
    from composer.targets.summary import summarize

    made, graph = read(spec, size, overrides, plugins)
    folder = out or Path("build") / folder_name(made.name, size)
    encoded, missing = _files(made, graph, linked=linked)
    files: dict[str, Content] = {**encoded}
    sizes = {name: len(data) for name, data in encoded.items()}
    filled = ""
    if weights:
        at = places(weights)
        filled, tensors = audited(made, graph, at), whole(made, graph, at)
        files[WEIGHTS], sizes[WEIGHTS] = writer(graph, tensors), bytes_of(tensors)
    if not dry_run:
        write_folder(folder, files)
    show(summary_table(summarize(graph), columns()))
    if filled:
        product(f"\n{filled}\n")
    product(_list(folder, sizes, "would write" if dry_run else "wrote"))
    if missing is not None:
        failure(missing, "D301")
        raise typer.Exit(MISSING_TOOL)


def folder_name(name: str, size: str | None) -> str:
    """The folder of a model: its name, and its size where the name does not end in it."""
    words = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "model"
    return words if size is None or words.endswith(f"-{size}") else f"{words}-{size}"


def _files(spec: ModelSpec, graph: Graph, *, linked: bool) -> tuple[dict[str, bytes], str | None]:
    """Everything that is written, by name; and why a file is missing, if one is."""
    from composer.targets import diagram
    from composer.targets.expand import expand
    from composer.targets.source.emit import emit
    from composer.targets.summary import summarize, to_json

    source = emit(graph, "linked" if linked else "standalone")
    compile(
        source, "model.py", "exec", dont_inherit=True
    )  # a SyntaxError here is ours: nothing is written
    summary = summarize(graph)
    dot = diagram.draw(graph, depth=diagram.fitting_depth(graph))
    files = {
        "model.py": source,
        "spec.yaml": expand(spec, graph),
        "summary.txt": rendered(summary_table(summary, NATURAL)),
        "summary.json": to_json(summary),
        "diagram.dot": dot,
    }
    encoded = {name: text.encode() for name, text in files.items()}
    try:
        return {**encoded, "diagram.svg": diagram.render(dot, "svg", theme="auto")}, None
    except diagram.DrawingError as error:
        return encoded, str(error)


def _list(folder: Path, files: Mapping[str, int], verb: str) -> str:
    sizes = [readable(count) for count in files.values()]
    names = [str(folder / name) for name in files]
    width, room = max(map(len, names)), max(map(len, sizes))
    lines = [f"  {name:<{width}}  {size:>{room}}" for name, size in zip(names, sizes, strict=True)]
    return "\n".join([f"\n{verb}", *lines]) + "\n"
