"""Weights of linear maps with zeros that stay zeros (Han et al., 2015; Frankle & Carbin, 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def prune_together(linears: Iterable[nn.Linear], amount: float) -> None:
    """Sets the smallest `amount` of all weights to zero; one that several maps have counts once."""
    zero_smallest(list(dict.fromkeys(linear.weight for linear in linears)), amount)


def prune_each(linears: Iterable[nn.Linear], amount: float) -> None:
    """Sets the smallest `amount` of each weight to zero."""
    for weight in dict.fromkeys(linear.weight for linear in linears):
        zero_smallest([weight], amount)


@torch.no_grad()
def zero_smallest(weights: Sequence[Tensor], amount: float) -> None:
    """Sets exactly `amount`, to the nearest number, of all numbers of some weights to zero.

    Those that are zero already are the smallest.
    """
    if not weights:
        return
    sizes = torch.cat([weight.abs().flatten() for weight in weights])
    smallest = sizes.argsort(stable=True)[: round(amount * len(sizes))]
    gone = torch.zeros_like(sizes, dtype=torch.bool)
    gone[smallest] = True
    for weight, zero in zip(weights, gone.split([w.numel() for w in weights]), strict=True):
        weight.masked_fill_(zero.view_as(weight), 0.0)


class SparseLinear(nn.Linear):
    """A linear map whose zeros stay zeros when it is trained; its tensors keep their names."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)  # no weight is made: it takes those of the other
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features), with no gradient for zeros."""
        return F.linear(x, self.weight * (self.weight != 0), self.bias)
