"""Bytes that parameters take, with their gradients and the state of an optimizer.

The optimizer is Adam, which keeps two moments of every trained parameter in fp32. Training in bf16
is taken to be the usual kind: weights and gradients in bf16, and an fp32 copy of the weights beside
the moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from composer.graph.graph import Graph

from .setting import BYTES, Setting

MOMENTS = 2
"""Numbers that Adam keeps for each trained parameter."""


@dataclass(frozen=True)
class ParameterBytes:
    """Bytes of weights, of their gradients, and of the state of the optimizer."""

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        return self.weights + self.gradients + self.optimizer


def trained_parameters(graph: Graph) -> int:
    """Number of parameters that gradients train, each shared one once."""
    return sum(prod(shape) for name, shape in graph.tensors.items() if name not in graph.frozen)


def parameter_bytes(parameters: int, trained: int, at: Setting) -> ParameterBytes:
    """What so many parameters take."""
    if at.mode == "inference":
        return ParameterBytes(parameters * at.bytes)
    copy = 0 if at.dtype == "fp32" else BYTES["fp32"]
    optimizer = trained * (MOMENTS * BYTES["fp32"] + copy)
    return ParameterBytes(parameters * at.bytes, trained * at.bytes, optimizer)


def assumption(at: Setting) -> str:
    """What is assumed of training, in words."""
    if at.mode == "inference":
        return "inference: no gradients, nothing is kept for them"
    if at.dtype == "fp32":
        return "training with Adam: two fp32 moments"
    return f"training with Adam: {at.dtype} weights and gradients, fp32 copy and two fp32 moments"


def trained_by_owner(graph: Graph) -> Mapping[str, int]:
    """Trained parameters of each component, by its path; what is shared is its first owner's."""
    return {
        path: sum(
            prod(shape)
            for tensor, shape in node.placed.tensors.items()
            if (name := f"{path}.{tensor}") not in graph.aliases and name not in graph.frozen
        )
        for path, node in graph.nodes()
    }
