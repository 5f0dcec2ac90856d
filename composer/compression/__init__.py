"""Making models smaller: the passes of `compress`, their report, and the files they leave.

Codes: Q701 a model that cannot be changed, Q702 what this machine cannot do, Q703 data, Q704 files
of another spec, Q705 what cannot be cut.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from composer.graph.graph import Graph
from composer.graph.tensors import first_names
from composer.targets.compressed import Report, report

from .cutting import Cut, Smaller, cut
from .errors import CompressionError, compression_error
from .files import is_compressed, load, save, tensors_of
from .lottery import Round, Ticket, lottery
from .passes import Batches
from .prune import Zeros, zeros
from .registry import works


def compress(graph: Graph, model: nn.Module, data: Batches | None = None) -> Report:
    """Changes a model of a graph in place, pass after pass.

    Raises CompressionError where a pass cannot be done, before anything is changed.
    """
    if not graph.compressions:
        fix = "compress: [{quantize: {on: '*', scheme: int8_weight}}]"
        raise compression_error("Q701", f"'{graph.name}' says nothing under compress", fix)
    passes = list(works(graph, model, data))
    for each, work in passes:
        each.check(work)
    found: dict[str, str] = {}
    for each, work in passes:
        each.apply(work)
        found |= each.found(work)
    check_sharing(graph, model)
    return replace(report(graph), found=found)


def prepare(graph: Graph, model: nn.Module) -> None:
    """Lets training compute as after the passes, where the spec says so; in place.

    Raises CompressionError for what cannot be done.
    """
    for each, work in works(graph, model):
        each.prepare(work)


def check_sharing(graph: Graph, model: nn.Module) -> None:
    """What the graph shares is one tensor in the model."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    for name, first in first_names(graph).items():
        if name in tensors:
            assert tensors[name] is tensors[first], f"'{name}' is '{first}' no more"


__all__ = [
    "Batches",
    "CompressionError",
    "Cut",
    "Report",
    "Round",
    "Smaller",
    "Ticket",
    "Zeros",
    "compress",
    "cut",
    "is_compressed",
    "load",
    "lottery",
    "prepare",
    "report",
    "save",
    "tensors_of",
    "zeros",
]
