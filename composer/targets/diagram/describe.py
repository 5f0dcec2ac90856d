"""A model in a line below its title, and in two sentences for those who cannot see its drawing."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from composer.graph.graph import Graph, Stack, State

from . import words

_PLACEMENTS = {
    "pre": "pre-norm",
    "post": "post-norm",
    "sandwich": "sandwich norm",
    "branch": "branch norm",
}


def facts(graph: Graph) -> list[str]:
    """Family and norm, width, size: `encoder-decoder, post-norm`, `d_model 512`, ..."""
    family = [word for word in (_family(graph), _norms(graph), _repeats(graph)) if word]
    widths = " / ".join(dict.fromkeys(str(stack.width) for stack in graph.stacks))
    size = _size(graph)
    return [fact for fact in (", ".join(family), widths and f"d_model {widths}", size) if fact]


def describe(graph: Graph) -> str:
    """A model in two plain sentences, for readers of the screen."""
    family = _family(graph)
    kind = f" ({family})" if family else ""
    size = _size(graph)
    outputs = words.listed(output.name for output in graph.outputs)
    stacks = [_stack(stack) for stack in graph.stacks]
    return (
        f"{graph.title or graph.name}{kind} with {size}. "
        f"{'; '.join([*stacks, f'it returns {outputs}'])}."
    )


def _size(graph: Graph) -> str:
    """The number of parameters, and of those that are frozen."""
    frozen = sum(prod(graph.tensors[name]) for name in graph.frozen)
    some = f", {words.count(frozen)} of them frozen" if frozen else ""
    return f"{words.count(graph.parameters)} parameters{some}"


def _family(graph: Graph) -> str:
    encoders = [stack for stack in graph.stacks if stack.role == "encoder"]
    decoders = [stack for stack in graph.stacks if stack.role == "decoder"]
    if len(encoders) <= 1 and len(decoders) <= 1:
        both = ["encoder"] * len(encoders) + ["decoder"] * len(decoders)
        return f"{both[0]}-only" if len(both) == 1 else "-".join(both)
    counts = ((len(encoders), "encoder"), (len(decoders), "decoder"))
    return ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)


def _norms(graph: Graph) -> str:
    placements = dict.fromkeys(
        branch.placement
        for stack in graph.stacks
        for kind in stack.kinds
        for branch in kind.branches
        if branch.norm is not None or any(body.norm for body in branch.bodies)
    )
    return " and ".join(_PLACEMENTS[placement] for placement in placements)


def _repeats(graph: Graph) -> str:
    for stack in graph.stacks:
        sets = len(set(stack.layer_sets))
        if sets < len(stack.layers):
            return f"{len(stack.layers)} applications of {sets} layer{'s' if sets > 1 else ''}"
    return ""


def _stack(stack: Stack) -> str:
    """`decoder: 6 layers on target, attends to encoder`."""
    memories = {memory.argument: memory.sources for memory in stack.memories}
    attended: dict[str, None] = {}
    skipped: dict[str, None] = {}
    for layer in stack.layers:
        skips = {skip.argument for skip in layer.kind.skips}
        for argument, state in layer.reads.items():
            names = _names(memories.get(argument, (state,)))
            (skipped if argument in skips else attended).update(dict.fromkeys(names))
    count = len(stack.layers)
    said = [f"{stack.name}: {count} layer{'s' if count > 1 else ''} on {stack.source.part}"]
    said += [f"attends to {words.listed(attended)}"] if attended else []
    said += [f"skips from {words.listed(skipped)}"] if skipped else []
    return ", ".join(said)


def _names(states: Iterable[State]) -> Iterable[str]:
    return (state.part for state in states)
