"""Floating point operations of a forward pass and of the backward pass after it.

What counts is what torch's own counter counts: a matrix product of n x k by k x m is 2 n k m
operations, a convolution likewise, everything else nothing. Attention is two products over all
pairs of steps, hidden or not; fused kernels that make the scores again in the backward pass do
half as much again there. A mixture of experts goes through the experts that a step chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from composer.components.costs import Product
from composer.components.placed import Placed
from composer.graph.graph import Graph
from composer.shapes import Size, evaluate, lengths_in

from .trace import Call, Trace, placed_calls, trace

Needs = Callable[[str], bool]
"""Whether something that an operand is made of, a port or a parameter, needs a gradient."""


@dataclass(frozen=True)
class Flops:
    """Operations of a forward pass and of the backward pass after it."""

    forward: Size = 0
    backward: Size = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.forward + other.forward, self.backward + other.backward)


def flops_of_model(graph: Graph) -> Size:
    """Operations of one forward pass, over the lengths of the inputs.

    A layer that is applied several times counts each time, unlike its parameters.
    """
    total: Size = 0
    known: dict[int, Size] = {}
    for _, placed in placed_calls(trace(graph)):
        if id(placed) not in known:
            known[id(placed)] = placed.flops()
        total = total + known[id(placed)]
    return total


def flops_per_token(graph: Graph, steps: int) -> float:
    """Operations of one forward pass over `steps` steps of every input, by the step."""
    total = flops_of_model(graph)
    lengths = dict.fromkeys(lengths_in(total), steps) | {"batch": 1}
    return evaluate(total, lengths) / steps


def flops_of_calls(graph: Graph, made: Trace) -> list[Flops]:
    """Operations of each call."""
    gradients: set[int] = set()
    found = []
    known: dict[object, Flops] = {}
    for call in made.calls:
        trained = trained_of(call, graph)
        reads = needing(call, gradients)
        if trained or reads:
            gradients.add(call.makes)
        if call.placed is None:
            found.append(Flops())
            continue
        key = (id(call.placed), trained, reads)
        if key not in known:
            known[key] = flops(call.placed, _needs(trained, reads))
        found.append(known[key])
    return found


def flops(placed: Placed, needs: Needs) -> Flops:
    """Operations of one component."""
    return Flops(placed.flops(), sum((backward(p, needs) for p in placed.products()), start=0))


def backward(product: Product, needs: Needs) -> Size:
    """Operations of the gradients of a product's operands."""
    total: Size = 0
    if any(map(needs, product.left)):
        total = total + product.flops
    if any(map(needs, product.right)):
        given = product.right_gradient
        total = total + (product.flops if given is None else given)
    return total


def trained_of(call: Call, graph: Graph) -> frozenset[str]:
    """Parameters of a call that gradients train, by their names in its component."""
    if call.placed is None:
        return frozenset()
    names = {name: f"{call.holder}.{name}" for name in call.placed.tensors}
    return frozenset(
        n for n, path in names.items() if graph.aliases.get(path, path) not in graph.frozen
    )


def needing(call: Call, gradients: Collection[int]) -> frozenset[str]:
    """Ports of a call whose values need gradients, also one by one as `PORT.INDEX`."""
    found = set()
    for port, values in call.reads.items():
        for index, value in enumerate(values):
            if value in gradients:
                found |= {port, f"{port}.{index}"}
    return frozenset(found)


def _needs(trained: frozenset[str], reads: frozenset[str]) -> Needs:
    """What an operand is made of needs a gradient: a port, a parameter, or one of a module's."""
    modules = {tensor[:end] for tensor in trained for end in _ends(tensor)}
    return lambda name: name in reads or name in modules


def _ends(tensor: str) -> list[int]:
    return [index for index, char in enumerate(tensor) if char == "."] + [len(tensor)]
