"""What a pass of `compress` does to a model: its torch half, found by the name of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from composer.graph.graph import Compression, Graph

Batches = Iterable[Mapping[str, Tensor]]
"""Inputs of a model by name, as its forward takes them."""


@dataclass(frozen=True)
class Work:
    """What a pass is for: a model of a graph, the linear maps, and data where there are some."""

    graph: Graph
    model: nn.Module
    compression: Compression
    data: Batches = field(default=(), repr=False)

    def linears(self) -> dict[str, nn.Module]:
        """The linear maps that are changed, each once, by their first places."""
        return {path: self.model.get_submodule(path) for path in self.compression.maps}


class Pass(ABC):
    """The base of every pass."""

    @abstractmethod
    def check(self, work: Work) -> None:
        """Raises WeightError for what cannot be done here, before anything is changed."""

    @abstractmethod
    def apply(self, work: Work) -> None:
        """Changes the model in place."""

    def prepare(self, work: Work) -> None:  # noqa: B027 - most need nothing
        """Makes training compute as after the pass, where the spec wants that; in place."""

    def restore(self, work: Work) -> None:  # noqa: B027
        """Gives the model, not yet filled, the tensors that saved ones fill after this pass."""


PASSES: dict[str, Callable[[], Pass]] = {}
"""What makes each pass, by its kind."""
