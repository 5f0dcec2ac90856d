"""Scaling laws: how many parameters and tokens a training budget is best spent on, and the loss.

N is a number of parameters, D of tokens, C = 6 N D the floating point operations of training. A law
of one's own is one more entry of `LAWS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from composer.graph.graph import Graph, Output, Stack

PETAFLOP_DAY = 8.64e19
"""Floating point operations."""


@dataclass(frozen=True)
class Law:
    """A law: `parameters(C)` is the best N, `tokens(N)` the best D, `loss(N, D)` in nats a token.

    `counts` says whether N has the embeddings and the vocabulary's head in it.
    """

    name: str
    cite: str
    counts: Literal["all", "non_embedding"]
    parameters: Callable[[float], float]
    tokens: Callable[[float], float]
    loss: Callable[[float, float], float]

    def count(self, graph: Graph) -> int:
        """N of a model as the law counts it."""
        return graph.parameters if self.counts == "all" else non_embedding(graph)


def _hoffmann(name: str, cite: str, e: float, a: float, b: float, alpha: float, beta: float) -> Law:
    """The law of L = e + a / N^alpha + b / D^beta at its optimum under C = 6 N D."""
    ratio = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    power = beta / (alpha + beta)

    def parameters(flops: float) -> float:
        return float(ratio * (flops / 6) ** power)

    def tokens(count: float) -> float:
        return float((count / ratio) ** (1 / power) / count)

    def loss(count: float, seen: float) -> float:
        return float(e + a / count**alpha + b / seen**beta)

    return Law(name, cite, "all", parameters, tokens, loss)


def _chinchilla20() -> Law:
    """Twenty tokens a parameter, as Chinchilla was trained; the loss is the paper's own fit."""
    fit = _hoffmann("", "", 1.69, 406.4, 410.7, 0.34, 0.28)
    cite = "Hoffmann et al. 2022, arXiv:2203.15556"
    return Law("chinchilla20", cite, "all", lambda c: (c / 120) ** 0.5, lambda n: 20 * n, fit.loss)


def _kaplan() -> Law:
    """The law of Kaplan et al.: N = 1.3e9 * C^0.73 for C in petaflop-days (table 6)."""

    def parameters(flops: float) -> float:
        return float(1.3e9 * (flops / PETAFLOP_DAY) ** 0.73)

    def tokens(count: float) -> float:
        flops = PETAFLOP_DAY * (count / 1.3e9) ** (1 / 0.73)
        return float(flops / (6 * count))

    def loss(count: float, seen: float) -> float:
        return float(((6.4e13 / count) ** (0.076 / 0.103) + 1.8e13 / seen) ** 0.103)

    cite = "Kaplan et al. 2020, arXiv:2001.08361"
    return Law("kaplan", cite, "non_embedding", parameters, tokens, loss)


_REFIT = "Besiroglu et al. 2024, arXiv:2404.10102"
LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        _chinchilla20(),
        _hoffmann("hoffmann-refit", _REFIT, 1.8172, 482.01, 2085.43, 0.3478, 0.3658),
        _kaplan(),
    )
}
"""Every law by its name."""


def why_not(graph: Graph) -> str | None:
    """Why no law speaks of a model, or None where they do.

    They were measured on dense causal language models whose layers are applied once each.
    """
    for stack in graph.stacks:
        if not stack.causal:
            return f"'{stack.name}' is no causal decoder"
        if len(set(stack.layer_sets)) < len(stack.layers):
            return f"layers of '{stack.name}' are applied several times"
        for _, node in stack.nodes():
            if node.component.data_dependent:
                return f"'{stack.name}' has experts, and a token does not go through all of them"
    if len(graph.stacks) != 1:
        return "the model is not one stack"
    if not any(_predicts_tokens(output) for output in graph.outputs):
        return "no output predicts tokens"
    return None


def non_embedding(graph: Graph) -> int:
    """Number of parameters without embeddings, positions and heads, as Kaplan et al. count."""
    outside = {
        f"{part.name}.{part.embed.name}." for part in graph.parts.values()
        if isinstance(part, Stack) and part.embed is not None
    } | {f"{output.name}." for output in graph.outputs}  # fmt: skip
    inside = {n: s for n, s in graph.tensors.items() if not n.startswith(tuple(outside))}
    return sum(_size(shape) for shape in inside.values())


def _predicts_tokens(output: Output) -> bool:
    return output.head is not None and "vocab_size" in output.head.placed.axes


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
