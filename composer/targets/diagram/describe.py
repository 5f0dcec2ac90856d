"""A model in a line below its title, and in a sentence for those who cannot see its drawing."""

from __future__ import annotations

from composer.graph.graph import Graph, Stack

from . import words

_PLACEMENTS = {"pre": "pre-norm", "post": "post-norm", "sandwich": "sandwich norm", "branch": "branch norm"}


def facts(graph: Graph) -> list[str]:
    """Family and norm, width, size: `encoder-decoder, post-norm`, `d_model 512`, ..."""
    family = ", ".join(word for word in (_family(graph), _norms(graph), _repeats(graph)) if word)
    widths = " / ".join(dict.fromkeys(str(stack.width) for stack in graph.stacks))
    found = [family, f"d_model {widths}" if widths else "", f"{words.count(graph.parameters)} parameters"]
    return [fact for fact in found if fact]


def _family(graph: Graph) -> str:
    encoders = [s for s in graph.stacks if s.role == "encoder"]
    decoders = [s for s in graph.stacks if s.role == "decoder"]
    if len(encoders) <= 1 and len(decoders) <= 1:
        both = "-".join(["encoder"] * len(encoders) + ["decoder"] * len(decoders))
        return f"{both}-only" if len(encoders) + len(decoders) == 1 else both
    counts = [(len(encoders), "encoder"), (len(decoders), "decoder")]
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


def describe(graph: Graph) -> str:
    """A model in one or two plain sentences, for readers of the screen."""
    family = _family(graph) or "a model"
    article = "an" if family[0] in "aeiou" else "a"
    head = f"{article} {family} model" if graph.stacks else "a model"
    first = f"{graph.title or graph.name}: {head} with {words.count(graph.parameters)} parameters."
    stacks = "; ".join(_stack(stack, graph) for stack in graph.stacks)
    outputs = words.listed(output.name for output in graph.outputs)
    return f"{first} {stacks[:1].upper()}{stacks[1:]}{'; ' if stacks else 'I'}{'i' if stacks else ''}t returns {outputs}."


def _stack(stack: Stack, graph: Graph) -> str:
    read = dict.fromkeys(
        state.part or state.item
        for layer in stack.layers
        for state in layer.reads.values()
        if state.part != stack.name
    )
    more = f" with {words.listed(read)}" if read else ""
    count = len(stack.layers)
    return f"{stack.name} ({count} layer{'s' if count > 1 else ''}) reads {stack.source.part}{more}"
