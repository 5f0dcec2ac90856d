"""`prune`: zeros in weights, which training leaves as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from composer.graph.graph import Graph
from composer.language.prune import PruneFields
from composer.nn.prune import SparseLinear, prune_each, prune_together

from .aware import replace_modules
from .errors import compression_error
from .passes import Pass, Work


@dataclass(frozen=True)
class Zeros:
    """The zeros of a weight, and all of its numbers."""

    zeros: int
    numbers: int

    def __str__(self) -> str:
        share = 100 * self.zeros / self.numbers
        return f"{self.zeros:,} of {self.numbers:,} are zero, {share:.1f} %"


class Prune(Pass):
    """Zeros where numbers are smallest."""

    def check(self, work: Work) -> None:
        """Raises CompressionError for weights without numbers."""
        for path in work.compression.maps:
            if work.linear(path).weight.is_meta:
                why = f"'{path}' is on the meta device, where no number is smallest"
                raise compression_error("Q701", why, "model.to_empty(device='cpu'), then weights")

    def apply(self, work: Work) -> None:
        """Sets the smallest numbers to zero."""
        prune(work)

    def found(self, work: Work) -> dict[str, str]:
        """The zeros of each weight."""
        return {name: str(each) for name, each in _zeros(work)}

    def prepare(self, work: Work) -> None:
        """Lets zeros stay zeros.

        Raises CompressionError where training is to compute with rounded weights, too.
        """
        for each in work.graph.compressions:
            both = set(each.maps) & set(work.compression.maps)
            if both and getattr(each.options, "aware", False):
                why = f"'{min(both)}' cannot keep its zeros in training with rounded weights"
                raise compression_error("Q701", why, "aware: false")
        keep_zeros(work)


def prune(work: Work, share: float = 1.0) -> None:
    """Sets the smallest numbers to zero, or of several times that each leave the same the first.

    `share` says how many of the times: two of seven are 2 / 7.
    """
    options = work.compression.options
    assert isinstance(options, PruneFields), "each pass gets its own options"
    change = prune_together if options.scope == "global" else prune_each
    change(work.linears(), options.amount if share == 1 else 1 - (1 - options.amount) ** share)


def keep_zeros(work: Work) -> None:
    """Gives the linear maps of a pass the form whose zeros stay zeros, at all of their places.

    What computes without zeros is not changed. Optimizers must be new: averages of earlier
    gradients would move a number that has become zero.
    """
    made: dict[nn.Module, nn.Module] = {
        linear: SparseLinear(linear)
        for linear in dict.fromkeys(work.linears())
        if not isinstance(linear, SparseLinear)
    }
    replace_modules(work.model, made)


def zeros(graph: Graph, model: nn.Module) -> dict[str, Zeros]:
    """The zeros of each weight that `prune` changes, by its first name."""
    works = [Work(graph, model, each) for each in graph.compressions]
    return {n: z for w in works if w.compression.options.kind == "prune" for n, z in _zeros(w)}


def _zeros(work: Work) -> Iterator[tuple[str, Zeros]]:
    for path in work.compression.maps:
        weight = work.linear(path).weight
        count = weight.numel() - int(weight.count_nonzero())
        yield f"{path}.weight", Zeros(count, weight.numel())
