"""A model as a file of ONNX, which onnxruntime and others run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from composer.graph.graph import Graph

from .inputs import axis_names, random_inputs
from .lengths import traced_lengths
from .program import traced
from .report import export_error

LARGEST = 3 * 2**29
"""Bytes of the parameters that a file holds itself: it cannot have 2 GB in all."""


def write(model: nn.Module, graph: Graph, path: Path) -> None:
    """Writes a model; more than 1.5 GB of parameters go to a file beside it, named `.data`.

    Raises ExportError.
    """
    program = traced(model, graph)
    inputs = random_inputs(graph, traced_lengths(graph))
    try:
        # The exporter takes fused kernels apart, whose results lie in another order.
        with _quiet(), sdpa_kernel(SDPBackend.MATH):
            made = torch.onnx.export(
                program, (), kwargs=inputs, output_names=_names(graph),
                dynamic_shapes=axis_names(graph), dynamo=True, verbose=False,
            )  # fmt: skip
    except Exception as error:  # nor has the exporter for what ONNX has no operator for
        why = str(error).strip().partition("\n")[0]
        raise export_error("E602", f"ONNX cannot say '{graph.name}': {why}") from error
    assert made is not None, "the exporter of programs gives one"
    count = sum(each.nbytes for each in program.state_dict.values())
    made.save(path, external_data=count > LARGEST)


def loaded(path: Path) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """What onnxruntime computes; an output of several layers has a name for each of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = [one.name for one in session.get_inputs()]
    names = [one.name for one in session.get_outputs()]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = session.run(None, {name: inputs[name].numpy() for name in wanted})
        return {name: torch.from_numpy(one) for name, one in zip(names, outputs, strict=True)}

    return run


def _names(graph: Graph) -> list[str]:
    found = []
    for output in graph.outputs:
        several = [f"{output.name}_{index}" for index in range(len(output.layers))]
        found += several or [output.name]
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what the exporter says of its own future and of libraries it can do without."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(before)
