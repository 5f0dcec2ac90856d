"""Models as files of other tools, each run beside the model before it is there.

    composer.export("specs/t5.yaml", "t5.onnx", to="onnx", size="small", weights="t5.safetensors")

`onnx` is a file that onnxruntime and others run, `torch-export` one that `torch.export.load` reads,
`huggingface` a folder for `from_pretrained`. The batch and every length that the spec leaves open
stay open in each. Nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from composer.compiler import Source, build, load
from composer.compiler import graph as graph_of
from composer.language.spec import ModelSpec

from .report import Check, Exported, ExportError, Format

if TYPE_CHECKING:
    from composer.weights import Weights

__all__ = ["Check", "ExportError", "Exported", "Format", "export"]


def export(
    spec: Source | ModelSpec, out: str | Path, *, to: Format, size: str | None = None,
    overrides: Iterable[str] = (), weights: Weights | None = None, seed: int = 0,
) -> Exported:  # fmt: skip
    """Writes the model of a spec to `out`, a file or for `huggingface` a folder.

    `weights` as in `build`; parameters that they leave open are drawn with `seed`. What was written
    is read again and run beside the model on random inputs of two batches and two sets of lengths.
    It gets its place only if all outputs agree within 1e-5 of the largest number of each.

    Raises SpecError, of which ExportError tells what the format cannot say, what differs, and which
    library is missing.
    """
    from .writing import write_checked

    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    model = build(made, seed=seed, weights=weights)
    return write_checked(made, graph_of(made), model, to, Path(out))
