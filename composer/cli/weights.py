"""`composer convert` and `export-weights`: weights from another implementation's names, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composer.graph.build import build_graph
from composer.graph.graph import Graph
from composer.language.spec import ModelSpec

from .output import message
from .reading import Color, Overrides, Plugins, Size, read
from .units import readable

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN_TIES = 3
_FILE = "model.safetensors"  # what transformers looks for in a folder

Source = Annotated[
    Path,
    typer.Argument(
        metavar="WEIGHTS", help="A safetensors file, its index, or their folder.",
        show_default=False,
    ),
]  # fmt: skip
Spec = Annotated[
    str, typer.Option("--spec", metavar="SPEC", help="The spec of the model; - reads stdin.")
]


class Dtype(str, Enum):
    """Types of decimal numbers."""

    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"
    fp64 = "fp64"


Cast = Annotated[
    Dtype | None, typer.Option("--dtype", help="Cast to this type. Default: each keeps its own.")
]
MapName = Annotated[
    str | None,
    typer.Option(
        "--map", metavar="NAME", help="One of the spec's weights. Default: the first that fits."
    ),
]


def convert(
    weights: Source,
    spec: Spec,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the new file goes.")
    ],
    size: Size = None,
    overrides: Overrides = None,
    map_name: MapName = None,
    dtype: Cast = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Write the weights of another implementation under the names of a spec.

    Every tensor of theirs must be used, and every tensor of the spec made; else nothing is written.
    """
    from composer.weights import save, stamp

    made, graph = read(spec, size, overrides, plugins)
    tensors = read_weights(made, graph, weights, map_name, dtype)
    save(out, tensors, stamp(graph))
    _report(out, tensors, graph)


def export_weights(
    weights: Source,
    spec: Spec,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR|FILE", help=f"A file, or a folder for {_FILE}."),
    ],
    size: Size = None,
    overrides: Overrides = None,
    map_name: Annotated[
        str | None,
        typer.Option(
            "--map", metavar="NAME", help="One of the spec's weights. Default: the first."
        ),
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", metavar="NAME", help="One of the map's layouts.")
    ] = "",
    dtype: Cast = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Write weights with the names of a spec under those of another implementation.

    Second names of tied tensors are left out, as in published files.
    """
    from composer.weights import dtype_named, map_named
    from composer.weights import export_weights as written

    made, graph = read(spec, size, overrides, plugins)
    chosen, target = map_named(made.weights, map_name), _target(out)
    tensors = written(
        graph, chosen, weights, target, layout=layout, dtype=dtype_named(dtype and dtype.value)
    )
    _report(target, tensors, graph)


def merge(
    weights: Source,
    spec: Spec,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the new file goes.")
    ],
    adapters: Annotated[
        list[str] | None,
        typer.Option("--adapter", metavar="NAME", help="One to merge. Default: all."),
    ] = None,
    size: Size = None,
    overrides: Overrides = None,
    dtype: Cast = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Write the weights of a spec without its adapters, what they do being in them.

    The names are those of the same spec without `adapt`.
    """
    from composer.weights import dtype_named, load, merge_tensors, save, stamp

    made, graph = read(spec, size, overrides, plugins)
    given = load(graph, made.weights, weights, dtype=dtype_named(dtype and dtype.value))
    plain = build_graph(replace(made, adapt=()))
    tensors = merge_tensors(graph, given, adapters)
    save(out, tensors, stamp(plain))
    _report(out, tensors, plain)


def read_weights(
    spec: ModelSpec, graph: Graph, weights: Path, map_name: str | None, dtype: Dtype | None
) -> dict[str, Tensor]:
    """The tensors of a spec from what lies at a path.

    Raises WeightError where these are not all.
    """
    from composer.weights import dtype_named, load, map_named

    maps = spec.weights if map_name is None else {map_name: map_named(spec.weights, map_name)}
    return load(graph, maps, weights, dtype=dtype_named(dtype and dtype.value))


def writer(graph: Graph, tensors: Mapping[str, Tensor]) -> Callable[[Path], None]:
    """What writes tensors of a graph to a path."""

    def write(path: Path) -> None:
        from composer.weights import save, stamp

        save(path, tensors, stamp(graph))

    return write


def bytes_of(tensors: Mapping[str, Tensor]) -> int:
    """What the numbers of tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _target(out: Path) -> Path:
    """The file that is meant: itself, or the usual one in a folder."""
    return out / _FILE if out.is_dir() or not out.suffix else out


def _report(out: Path, tensors: Mapping[str, Tensor], graph: Graph) -> None:
    numbers = sum(tensor.numel() for tensor in tensors.values())
    size = readable(bytes_of(tensors))
    message(f"wrote {out}: {len(tensors)} tensors, {numbers:,} parameters, {size}")
    ties = list(graph.aliases.items())
    for name, owner in ties[:_SHOWN_TIES]:
        message(f"  {name} is {owner}")
    if len(ties) > _SHOWN_TIES:
        message(f"  and {len(ties) - _SHOWN_TIES} more that are shared")
