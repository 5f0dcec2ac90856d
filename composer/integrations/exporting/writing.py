"""From a model to a file in its place: written aside, read again, compared, and then moved."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.language.spec import ModelSpec
from composer.targets.files import write_folder

from . import onnx_file, program
from .inputs import random_inputs
from .lengths import tried_lengths
from .report import Check, Exported, Format, export_error

Run = Callable[[Mapping[str, Tensor]], Mapping[str, Any]]
"""What was written, read again: outputs by name of inputs by name."""

TOLERANCE = 1e-5
"""The largest difference from what the model computes, relative to its largest number."""

_NEEDED: dict[Format, tuple[str, tuple[str, ...]]] = {
    "onnx": ("onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch-export": ("", ()),
    "huggingface": ("huggingface", ("transformers",)),
}
"""The extra of each format, and the libraries that it brings."""


def write_checked(
    spec: ModelSpec, graph: Graph, model: nn.Module, to: Format, out: Path
) -> Exported:
    """Writes a model to a place if what was written computes the same; the model is evaluated.

    Raises ExportError with nothing left behind, and OSError.
    """
    _check_libraries(to)
    if to == "torch-export" and out.suffix != ".pt2":
        fix = f"write {out.with_suffix('.pt2')}"
        raise export_error("E602", f"'{out}' does not end in .pt2, as torch.export.load wants", fix)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        part = work / out.name
        _write(spec, graph, model.eval(), to, part)
        run = _loaded(to, part)
        checks = tuple(_check(graph, model, run, each) for each in tried_lengths(graph))
        _refuse_other(graph, to, checks)
        files = _placed(part, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Exported(out, files, checks)


def _check_libraries(to: Format) -> None:
    extra, names = _NEEDED[to]
    missing = next((name for name in names if find_spec(name) is None), None)
    if missing is not None:
        fix = f"pip install 'graph-composer[{extra}]'"
        raise export_error("E601", f"'{missing}' is missing, which exports to {to} need", fix)


def _write(spec: ModelSpec, graph: Graph, model: nn.Module, to: Format, path: Path) -> None:
    if to == "onnx":
        onnx_file.write(model, graph, path)
    elif to == "torch-export":
        program.write(model, graph, path)
    else:
        from . import folder

        folder.write(model, spec, path)


def _loaded(to: Format, path: Path) -> Run:
    if to == "onnx":
        return onnx_file.loaded(path)
    if to == "torch-export":
        return program.loaded(path)
    from . import folder

    return folder.loaded(path)


@torch.no_grad()
def _check(graph: Graph, model: nn.Module, run: Run, lengths: Mapping[str, int]) -> Check:
    """One run of what was written beside the model."""
    inputs = random_inputs(graph, lengths)
    wanted = _flat(model(**inputs)._asdict())
    found = _flat(run(inputs))
    return Check(lengths, max(_difference(wanted[name], found[name]) for name in found))


def _flat(outputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every tensor by name; those of several layers are numbered."""
    found: dict[str, Tensor] = {}
    for name, output in outputs.items():
        if isinstance(output, Tensor):
            found[name] = output
        else:
            found |= {f"{name}_{index}": each for index, each in enumerate(output)}
    return found


def _difference(wanted: Tensor, found: Tensor) -> float:
    """The largest difference, relative to the largest number; infinite where there is none."""
    if wanted.shape != found.shape or not bool(found.isfinite().all()):
        return float("inf")
    largest = wanted.abs().max().clamp(min=torch.finfo(wanted.dtype).tiny)
    return float((wanted - found).abs().max() / largest)


def _refuse_other(graph: Graph, to: Format, checks: tuple[Check, ...]) -> None:
    for check in checks:
        if check.difference > TOLERANCE:
            at = ", ".join(f"{name} {number}" for name, number in check.lengths.items())
            raise export_error(
                "E603",
                f"'{graph.name}' as {to} is not the model: with {at} its outputs differ by "
                f"{check.difference:.1e}, more than {TOLERANCE:.0e}",
            )


def _placed(part: Path, out: Path) -> dict[str, int]:
    """Moves what was written to its place; gives the bytes of each file."""
    if part.is_dir():
        files = {path.name: path for path in sorted(part.iterdir())}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        write_folder(out, {name: partial(_move, path) for name, path in files.items()})
        return sizes
    beside = sorted(path for path in part.parent.iterdir() if path != part)
    sizes = {path.name: path.stat().st_size for path in (part, *beside)}
    if beside:
        out.unlink(missing_ok=True)  # never an earlier model with the numbers of this one
    for path in (*beside, part):
        path.replace(out.parent / path.name)
    return sizes


def _move(source: Path, target: Path) -> None:
    source.replace(target)
