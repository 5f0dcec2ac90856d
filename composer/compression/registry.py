"""Every pass by its kind, and the passes of a graph in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from composer.graph.graph import Graph

from .passes import Batches, Pass, Work
from .prune import Prune
from .quantize import Quantize

PASSES: dict[str, Callable[[], Pass]] = {"prune": Prune, "quantize": Quantize}
"""What makes each pass; `composer.language.compress.KINDS` has its options."""


def works(
    graph: Graph, model: nn.Module, data: Batches | None = None
) -> Iterator[tuple[Pass, Work]]:
    """Each pass of a graph with what it is for."""
    for each in graph.compressions:
        yield PASSES[each.options.kind](), Work(graph, model, each, data)
