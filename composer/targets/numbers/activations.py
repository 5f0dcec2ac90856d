"""Bytes that a training step keeps for its backward pass, from the inputs to the outputs.

A value is kept once, whoever needs it. What the loss keeps is its own, and padding masks that a
caller may leave out are left out. Attention is counted as torch runs it on a CPU: fused where it
can be, with a mask as numbers for each layer that has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from composer.components.component import Component
from composer.components.costs import Kept
from composer.components.placed import Placed
from composer.graph.graph import Graph, Module, Output, Stack, State
from composer.shapes import Axes

from .flops import needing, trained_of
from .setting import Setting
from .trace import Call, Trace, Value

INDEX_BYTES = 8


@dataclass(frozen=True)
class CallBytes:
    """Bytes of a call of a forward pass.

    `size` is that of its result and `within` what it keeps inside; `keeps` are the values that it
    keeps beside. `working` comes and goes within, `masks` are given to it. `needs` says whether a
    gradient reaches it.
    """

    size: int
    within: int = 0
    keeps: frozenset[Value] = frozenset()
    working: int = 0
    needs: bool = False
    masks: int = 0


@dataclass(frozen=True)
class KeptBytes:
    """Bytes kept of a call for the backward pass, and those of results and of their gradients.

    A result of the model that the backward pass needs, too, is counted with the former.
    """

    activations: int = 0
    outputs: int = 0


def kept_by_call(made: Trace, found: Iterable[CallBytes]) -> list[KeptBytes]:
    """Bytes kept of each call: what it keeps within, and its result where anything needs it."""
    found = list(found)
    values = {value for own in found for value in own.keeps}
    kept = []
    for call, own in zip(made.calls, found, strict=True):
        needed = call.makes in values
        within = needed or call.operation == "weights"  # which the attention keeps
        held = own.size * (call.makes in made.results) * (2 - within)
        kept.append(KeptBytes(own.within + own.size * needed, held))
    return kept


def bytes_by_call(graph: Graph, made: Trace, at: Setting) -> list[CallBytes]:
    """Bytes of each call, of a step of training or of a forward pass that keeps nothing."""
    masks = _always_masked(graph)
    gradients: set[Value] = set()
    sizes: list[int] = []
    found = []
    known: dict[object, tuple[Kept, int]] = {}
    training = at.mode == "train"
    for call in made.calls:
        trained, reads = trained_of(call, graph), needing(call, gradients)
        needs = training and bool(trained or reads)
        if needs:
            gradients.add(call.makes)
        sizes.append(_bytes(call, graph, at))
        masked = call.path.partition(".")[0] in masks
        given = tuple(sizes[v] for v in _read(call) if v in gradients)
        key = (id(call.placed), call.operation, call.shape, masked, call.weights, trained, given)
        if key not in known:
            known[key] = _costs(
                call, at, trained if needs else None, masked=masked, given=sum(given)
            )
        kept, working = known[key]
        keeps = {value for port in kept.ports for value in call.reads.get(port, ())}
        keeps |= {call.makes} if kept.result else set()
        within = kept.numbers * at.bytes + kept.others
        found.append(
            CallBytes(
                sizes[-1],
                within,
                frozenset(keeps),
                working,
                needs,
                _mask_bytes(call, at, masked=masked),
            )
        )
    return found


def _read(call: Call) -> Iterator[Value]:
    for values in call.reads.values():
        yield from values


def _costs(
    call: Call, at: Setting, trained: frozenset[str] | None, *, masked: bool, given: int
) -> tuple[Kept, int]:
    """What a call keeps and, in bytes, what comes and goes, where a gradient reaches it.

    `trained` are its parameters that are trained, `given` the gradients of its inputs.
    """
    if at.mode == "inference":
        return Kept(), _forward(call, at, masked=masked)
    if trained is None:
        return Kept(), 0
    kept, spared = _kept(call, at, trained, masked=masked)
    if call.placed is None:
        return kept, given if call.operation != "add" else 0
    axes, own = _as_adapted(call.placed, at), call.placed.component
    working = own.working(axes, masked=masked, weights=call.weights)
    size = prod(map(at.number, call.shape))
    numbers = working.numbers + working.results * size + spared  # by now there is as much else
    for each in call.placed.adapters:
        placed = _in_numbers(each.placed, at)
        numbers += each.placed.component.working(placed).numbers
    return kept, numbers * at.bytes + working.inputs * given


def _mask_bytes(call: Call, at: Setting, *, masked: bool) -> int:
    """Bytes of the masks that a stack makes for a call."""
    if call.placed is None:
        return 0
    axes = _in_numbers(call.placed, at)
    total = 0
    for mask in call.placed.component.masks(call.placed.axes).values():
        if mask.window is None and not masked:
            continue
        wide = 1 if mask.over == "padding" else axes.get("source", axes.time)
        steps = axes.time if mask.window is not None or mask.causal else 1
        total += (axes.batch if masked else 1) * steps * wide
    return total


def _forward(call: Call, at: Setting, *, masked: bool) -> int:
    """Bytes that come and go within a call of a forward pass that keeps nothing."""
    if call.placed is None:
        return 0
    own, axes = _without_dropout(call.placed.component), _as_adapted(call.placed, at)
    working = own.working(axes, masked=masked, weights=call.weights)
    within = [a for a in call.placed.adapters if a.linear != "beside"]
    beside = [a for a in call.placed.adapters if a.linear == "beside"]  # after what they are beside
    changed = max((_changing(each.placed, at) for each in within), default=0)
    after = max((_changing(each.placed, at) for each in beside), default=0)
    if working.forward is not None:
        return max(working.forward + changed, after) * at.bytes
    kept = own.kept(axes, masked=masked, weights=call.weights)
    numbers = kept.numbers + working.numbers + changed
    numbers += working.results * prod(map(at.number, call.shape))
    return max(numbers * at.bytes + kept.others, after * at.bytes)


def _changing(adapter: Placed, at: Setting) -> int:
    """Numbers that come and go where an adapter changes a result."""
    return adapter.component.working(_in_numbers(adapter, at)).forward or 0


def _without_dropout(component: Component) -> Component:
    dropped = getattr(component, "dropout", None)
    return component.model_copy(update={"dropout": 0.0}) if dropped else component


def _kept(call: Call, at: Setting, trained: frozenset[str], *, masked: bool) -> tuple[Kept, int]:
    """What a call keeps, and the numbers that it does not, as parameters are frozen."""
    if call.placed is not None:
        axes, own = _as_adapted(call.placed, at), call.placed.component
        kept, numbers, others = own.kept(axes, masked=masked, weights=call.weights), 0, 0
        read, beside = set(trained), set[str]()
        for each in call.placed.adapters:
            inner = each.placed.component.kept(_in_numbers(each.placed, at))
            numbers, others = numbers + inner.numbers, others + inner.others
            if each.linear == each.placed.component.held:  # it reads what the component reads
                beside |= {port for port in inner.ports if port in kept.ports}
            elif "x" in inner.ports:  # what its linear map reads
                read.add(f"{each.linear}.weight".lstrip("."))
        less = kept.where_trained(read)
        made = replace(
            less, ports=tuple({*less.ports, *beside}),
            numbers=less.numbers + numbers, others=less.others + others,
        )  # fmt: skip
        return made, kept.numbers - less.numbers
    if call.operation == "dropout":
        return Kept(numbers=prod(map(at.number, call.shape))), 0
    return Kept(), 0


def _in_numbers(placed: Placed, at: Setting) -> Axes:
    return Axes({name: at.number(size) for name, size in placed.axes.items()})


def _as_adapted(placed: Placed, at: Setting) -> Axes:
    """The axes of a component in numbers, as what it holds changes them."""
    axes = _in_numbers(placed, at)
    for adapter in placed.adapters:
        axes = adapter.placed.component.around(axes)
    return axes


def _bytes(call: Call, graph: Graph, at: Setting) -> int:
    part = graph.parts.get(call.path) if call.operation == "input" else None
    component = getattr(getattr(part, "node", None), "component", None)
    indices = getattr(component, "dtype", "float") == "int64"
    if call.operation == "table" and call.placed is not None:
        return sum(_table_bytes(call.placed, at))
    return prod(map(at.number, call.shape)) * (INDEX_BYTES if indices else at.bytes)


def _table_bytes(table: Placed, at: Setting) -> Iterator[int]:
    """Bytes of each result of a table, all of which are handed on."""
    for name, shape in table.outputs.items():
        indices = name in table.component.indices
        yield prod(map(at.number, shape)) * (INDEX_BYTES if indices else at.bytes)


def _always_masked(graph: Graph) -> set[str]:
    """Parts whose padding is told by a token, so that their attention always has a mask."""
    names = {f"{item.name}_mask" for item in graph.inputs if isinstance(item.padding, int)}
    found = set()
    for part in graph.parts.values():
        reads = [State(part.name)]
        if isinstance(part, Stack):
            reads += [State(s.part) for layer in part.layers for s in layer.reads.values()]
            reads += [State(s.part) for memory in part.memories for s in memory.sources]
        elif isinstance(part, Output):
            reads.append(State(part.source.part))
        elif isinstance(part, Module):
            reads += [State(s.part) for states in part.reads.values() for s in states]
        masks = {value.mask for state in reads if (value := graph.values.get(state)) is not None}
        if masks & names:
            found.add(part.name)
    return found
