"""What a pass of `compress` does to a model: its torch half, the base of all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from composer.graph.graph import Compression, Graph

from .errors import compression_error

Batches = Iterable[Mapping[str, Tensor]]
"""Inputs of a model by name, as its forward takes them."""


@dataclass(frozen=True)
class Work:
    """What a pass is for: a model of a graph, the linear maps, and data where there are some."""

    graph: Graph
    model: nn.Module
    compression: Compression
    data: Batches | None = field(default=None, repr=False)

    def linears(self) -> list[nn.Linear]:
        """The linear maps that are changed, at all of their places."""
        return [self.linear(path) for path in self.compression.places]

    def linear(self, path: str) -> nn.Linear:
        """The linear map at a place; raises CompressionError where the model has none."""
        try:
            found = self.model.get_submodule(path)
        except AttributeError:
            found = None
        if not isinstance(found, nn.Linear):
            fix = "give the spec that it was built from"
            raise compression_error("Q701", f"the model has no linear map '{path}'", fix)
        return found


class Pass(ABC):
    """The base of every pass; a subclass names the options that it is for."""

    @abstractmethod
    def check(self, work: Work) -> None:
        """Raises CompressionError for what cannot be done here, before anything is changed."""

    @abstractmethod
    def apply(self, work: Work) -> None:
        """Changes the model in place."""

    def found(self, work: Work) -> Mapping[str, str]:  # noqa: ARG002
        """What is in each weight after it, by its first name, where that is not said already."""
        return {}

    def prepare(self, work: Work) -> None:  # noqa: B027 - most change nothing before
        """Lets training compute as after the pass, where the spec says so; in place."""

    def saved(self, work: Work) -> dict[str, Tensor]:  # noqa: ARG002
        """What files hold instead of changed weights, by names that begin with theirs."""
        return {}

    def restore(self, work: Work, read: Callable[[str], Tensor]) -> None:  # noqa: B027
        """Puts what `saved` gave back into a model of the spec."""
