"""A program whose linear maps compute with eight bits: torchao rounds its graph (PT2E).

    made = export_rounded("small.yaml", "small.pt2", "inputs.safetensors", weights="w.safetensors")

It rounds what the spec's passes of `int8_static` name, in the graph of the program and not in the
modules of a model, so that a compiler sees whole numbers around each product and can fuse them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from composer.compiler import Source, build, load
from composer.compiler import graph as graph_of
from composer.compression.data import Inputs
from composer.compression.measuring import relative_error
from composer.compression.passes import Batches
from composer.compression.quantize import check_torchao
from composer.compression.registry import works
from composer.graph.graph import Graph
from composer.language.quantize import QuantizeFields
from composer.language.spec import ModelSpec
from composer.targets.files import write_folder

from .inputs import open_sizes, random_inputs
from .lengths import traced_lengths, tried_lengths
from .program import loaded, save, traced
from .report import export_error

if TYPE_CHECKING:
    from composer.weights import Weights

SCHEME = "int8_static"


@dataclass(frozen=True)
class Rounded:
    """What was written: its bytes, the linear maps that are rounded, and what that changes.

    `errors` are |program - model| / |model| of each output that is one of numbers, on the first
    batch of the data.
    """

    path: Path
    bytes: int
    maps: tuple[str, ...]
    errors: Mapping[str, float]


def export_rounded(
    spec: Source | ModelSpec, out: str | Path, data: str | Path | Batches, *,
    size: str | None = None, overrides: Iterable[str] = (), weights: Weights | None = None,
    seed: int = 0,
) -> Rounded:  # fmt: skip
    """Writes the program of a spec's model, rounded where the spec says `int8_static`, to `out`.

    `data`, a safetensors file of inputs or batches of them, are run for the scales of what linear
    maps read. What was written is read again; it gets its place only if it computes what was
    rounded, at two batches and two sets of lengths, and if each named map is rounded in it.
    Reading it elsewhere needs `import torchao.quantization.pt2e` first, for its operators.

    Raises SpecError, of which ExportError tells of passes that a program cannot have, and
    CompressionError of data and of libraries that are missing.
    """
    path = Path(out)
    if path.suffix != ".pt2":
        fix = f"write {path.with_suffix('.pt2')}"
        raise export_error(
            "E602", f"'{path}' does not end in .pt2, as torch.export.load wants", fix
        )
    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    graph = graph_of(made)
    maps = _maps(graph)
    check_torchao()
    batches = Inputs(graph, data) if isinstance(data, str | Path) else data
    model = build(made, seed=seed, weights=weights).eval()
    program = rounded(model, graph, maps, batches)
    errors: dict[str, float] = {}

    def write(aside: Path) -> None:
        save(program, aside)
        _check_same(graph, program, aside)
        errors.update(_errors(graph, model, aside, batches))

    write_folder(path.parent, {path.name: write})
    return Rounded(path, path.stat().st_size, maps, errors)


def rounded(
    model: nn.Module, graph: Graph, maps: tuple[str, ...], batches: Batches
) -> ExportedProgram:
    """The program of a model with some linear maps rounded, its batch and lengths open."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    for each, work in works(graph, model):
        if work.compression.options.kind == "prune":
            each.check(work)
            each.apply(work)
    prepared = prepare_pt2e(traced(model, graph).module(), _quantizer(maps))
    with torch.no_grad():
        ran = [prepared(**_with_masks(graph, batch)) is not None for batch in batches]
    if not ran:
        raise export_error("E602", "no batch of data gives the scales of what linear maps read")
    converted = convert_pt2e(prepared)
    missing = set(maps) - set(_rounded_in(converted))
    if missing:
        raise export_error("E603", f"torchao has not rounded '{min(missing)}' in the program")
    inputs = random_inputs(graph, traced_lengths(graph))
    sizes = open_sizes(graph)
    return torch.export.export(converted, (), inputs, dynamic_shapes=sizes, strict=False)


def _maps(graph: Graph) -> tuple[str, ...]:
    """Every place that is rounded; raises ExportError for passes that a program cannot have."""
    found: list[str] = []
    for each in graph.compressions:
        options = each.options
        if isinstance(options, QuantizeFields):
            if options.scheme != SCHEME:
                why = f"a program is rounded with {SCHEME}, not with {options.scheme}"
                fix = f"scheme: {SCHEME}, or `composer compress` for weights in few bits"
                raise export_error("E602", why, fix)
            found += each.places
    if not found:
        fix = f"compress: [{{quantize: {{on: '*', scheme: {SCHEME}}}}}]"
        raise export_error("E602", f"'{graph.name}' does not say what to round with data", fix)
    return tuple(found)


def _quantizer(maps: Iterable[str]) -> Any:  # noqa: ANN401 - a class of torchao
    """Weights with a scale a row, and what they multiply with a scale and a zero point."""
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    how = x86.get_default_x86_inductor_quantization_config()
    for path in maps:
        quantizer.set_module_name_qconfig(path, how)
    return quantizer


def _rounded_in(program: GraphModule) -> Iterator[str]:
    """Paths of linear maps that multiply rounded numbers by rounded weights."""
    for node in program.graph.nodes:
        if node.target is torch.ops.aten.linear.default:
            read = node.args[:2]
            if all(isinstance(n, Node) and "dequantize" in str(n.target) for n in read):
                yield list(node.meta["nn_module_stack"].values())[-1][0]


def _with_masks(graph: Graph, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A batch with all of the masks that a program takes; where one is left out, all steps are real."""
    masks = {
        f"{one.name}_mask": torch.ones(batch[one.name].shape[:2], dtype=torch.bool)
        for one in graph.inputs
        if one.padding == "mask"
    }
    return {**masks, **batch}


def _check_same(graph: Graph, program: ExportedProgram, path: Path) -> None:
    """Raises ExportError where a file computes other numbers than the program that it was made of."""
    module, read = program.module(), loaded(path)
    for lengths in tried_lengths(graph):
        inputs = random_inputs(graph, lengths)
        wanted, found = module(**inputs), read(inputs)
        for name in wanted:
            if not torch.equal(_joined(wanted[name]), _joined(found[name])):
                raise export_error("E603", f"'{path.name}' does not compute what was rounded")


@torch.no_grad()
def _errors(graph: Graph, model: nn.Module, path: Path, batches: Batches) -> dict[str, float]:
    """How far each output is from that of the model, on the first batch."""
    batch = _with_masks(graph, next(iter(batches)))
    wanted, found = model(**batch)._asdict(), loaded(path)(batch)
    return {
        name: relative_error(found[name], made)
        for name, made in wanted.items()
        if isinstance(made, Tensor) and made.is_floating_point()
    }


def _joined(output: Any) -> Tensor:  # noqa: ANN401 - a tensor, or those of several layers
    return output if isinstance(output, Tensor) else torch.cat([one.flatten() for one in output])
