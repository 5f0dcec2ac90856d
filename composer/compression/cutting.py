"""Structured pruning: heads, features, experts and layers are cut, and a smaller spec is left.

What is left computes what the whole does with these parts at zero, without masks: source, diagram
and numbers are those of the smaller spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from composer.graph.build import build_graph
from composer.graph.graph import Graph, Layer, Node, Stack, State
from composer.graph.tensors import first_names
from composer.language.spec import ModelSpec

from .errors import compression_error
from .smaller import read_text, whole_text, with_layers, with_sizes
from .units import D_FF, EXPERTS, HEADS, Cutting, Unit, best, blocks_left, holders, stack_of


@dataclass(frozen=True)
class Cut:
    """What is left of a stack: its heads, features and experts in each layer, and its layers."""

    heads: int | None = None
    d_ff: int | None = None
    experts: int | None = None
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Smaller:
    """A smaller model: its spec, graph and weights, and what was kept of what, by path.

    With GQA heads are kept in groups, so what is counted of an attention are its key-value heads.
    """

    spec: str
    graph: Graph = field(repr=False)
    tensors: Mapping[str, Tensor] = field(repr=False)
    kept: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _State:
    """A model on its way: what it is, and what each of its numbers is worth."""

    text: str
    spec: ModelSpec
    graph: Graph
    tensors: dict[str, Tensor]
    worth: dict[str, Tensor]
    kept: dict[str, Sequence[int]]


def cut(
    spec: ModelSpec, tensors: Mapping[str, Tensor], cuts: Mapping[str, Cut], *,
    gradients: Mapping[str, Tensor] | None = None,
) -> Smaller:  # fmt: skip
    """The smaller model that is left of one with these tensors, by their first names.

    What has the smallest sum of squares goes first. With `gradients` of a loss it is what changes
    the loss least to first order: |sum of weight * gradient| (Molchanov et al., 2019; of heads,
    Michel et al., 2019). Components that share tensors keep the same.

    Layers are cut first, so paths of `kept` are those of the smaller model.

    Raises CompressionError for what cannot be cut, and SpecError where the smaller spec does not hold.
    """
    graph = build_graph(spec)
    worth = {name: t.detach().double() for name, t in tensors.items() if t.is_floating_point()}
    for name, values in worth.items():
        if gradients is None:
            worth[name] = values**2
        else:
            worth[name] = values * gradients[name].double() if name in gradients else 0 * values
    state = _State("", spec, graph, dict(tensors), worth, {})
    taylor = gradients is not None
    for stack, wanted in cuts.items():
        if wanted.layers is not None:
            state = _layers(state, stack, wanted.layers)
    for unit in (HEADS, D_FF, EXPERTS):
        counts = {name: getattr(each, unit.word) for name, each in cuts.items()}
        chosen = {name: count for name, count in counts.items() if count is not None}
        if chosen:
            state = _units(state, unit, chosen, taylor=taylor)
    if not state.text:
        raise compression_error("Q705", "nothing is cut", "name heads, d_ff, experts or layers")
    return Smaller(state.text, state.graph, state.tensors, state.kept)


def _units(state: _State, unit: Unit, counts: Mapping[str, int], *, taylor: bool) -> _State:
    """The state with fewer of a unit in the components of some stacks."""
    found: dict[str, Node] = {}
    left: dict[str, int] = {}
    for stack, count in counts.items():
        own = holders(state.graph, stack, unit)
        left |= {path: blocks_left(path, node, unit, count) for path, node in own.items()}
        found |= own
    text = with_sizes(state.spec, state.graph, unit.kinds, unit.option, counts)
    spec = read_text(text)
    graph = build_graph(spec)
    cutting = Cutting(state.graph, graph, found, unit)
    kept: dict[str, Sequence[int]] = {}
    for paths in cutting.groups():
        scores = cutting.scores(paths, state.worth, out=taylor)
        kept |= dict.fromkeys(paths, best(scores, left[paths[0]]))
    tensors, worth = (cutting.cut(kept, each) for each in (state.tensors, state.worth))
    named = {f"{path} {unit.word}": numbers for path, numbers in kept.items()}
    return _State(text, spec, graph, tensors, worth, {**state.kept, **named})


# Layers


def _layers(state: _State, stack: str, kept: Sequence[int]) -> _State:
    """The state with some layers of a stack only."""
    old = state.graph
    _check_numbers(stack, kept, old)
    text = with_layers(state.spec, old, stack, kept)
    spec = read_text(text)
    graph = build_graph(spec)
    written = build_graph(read_text(whole_text(state.spec, old)))  # options as the new one has them
    for part in graph.stacks:
        _check_same(part, written, stack, kept)
    first = first_names(old)
    before = {name: first[_before(name, stack, kept)] for name in first_names(graph)}
    for name, own in first_names(graph).items():
        if before[name] != before[own]:
            raise _unlike(stack, f"'{name}' would be shared otherwise")
    tensors, worth = (
        {name: each[before[name]] for name in graph.state if before[name] in each}
        for each in (state.tensors, state.worth)
    )
    return _State(text, spec, graph, tensors, worth, {**state.kept, f"{stack} layers": tuple(kept)})


def _check_numbers(stack: str, kept: Sequence[int], graph: Graph) -> None:
    known = range(len(stack_of(graph, stack).layers))
    if not kept or list(kept) != sorted(set(kept)) or not set(kept) <= set(known):
        why = f"{list(kept)} are not some of its layers 0 to {known[-1]}, in order"
        raise _unlike(stack, why)


def _before(name: str, stack: str, kept: Sequence[int]) -> str:
    """What a tensor was called before layers were cut."""
    words = name.split(".")
    if words[:2] == [stack, "layers"]:
        words[2] = str(kept[int(words[2])])
    return ".".join(words)


def _check_same(new: Stack, graph: Graph, stack: str, kept: Sequence[int]) -> None:
    """Raises CompressionError where a layer that is left would read or compute something else."""
    old = graph.parts[new.name]
    assert isinstance(old, Stack), "a smaller spec has the same parts"
    numbers = kept if new.name == stack else range(len(old.layers))
    for number, layer in zip(numbers, new.layers, strict=True):
        before = old.layers[number]
        if layer.kind != before.kind or _reads(layer, stack, kept) != dict(before.reads):
            why = f"layer {number} of '{new.name}' would read or compute something else"
            raise _unlike(stack, why)
    if [m.sources for m in new.memories] != [m.sources for m in old.memories]:
        raise _unlike(stack, f"'{new.name}' reads a mix of its layers")


def _reads(layer: Layer, stack: str, kept: Sequence[int]) -> dict[str, State]:
    """What a layer reads, layers that were cut by the numbers that they had."""

    def state(one: State) -> State:
        inner = one.part == stack and one.layer is not None and one.layer >= 0
        return replace(one, layer=kept[one.layer]) if inner else one  # type: ignore[index]

    return {name: state(one) for name, one in layer.reads.items()}


def _unlike(stack: str, why: str) -> Exception:
    return compression_error("Q705", f"the layers of '{stack}' cannot be cut so: {why}")
