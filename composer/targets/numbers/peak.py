"""The most bytes held at once: in a training step, or in a forward pass that keeps nothing.

A training step is walked through as autograd does: after the forward pass every call is met again,
last first. At a call there are what it and all before it keep, the gradients of values that wait
for their turn, those of the parameters of all calls after it, and what comes and goes within it.
Counted are the bytes that the allocator is asked for, not what it loses between blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from composer.components.combine import Add
from composer.graph.graph import Graph

from .activations import CallBytes
from .cache import cache_bytes
from .flops import trained_of
from .live import waiting_values
from .memory import parameter_bytes, trained_parameters
from .setting import Setting
from .trace import Call, Trace, Value


def peak_bytes(graph: Graph, made: Trace, at: Setting, found: list[CallBytes]) -> int:
    """The most bytes that a model takes at once in a setting, given those of each call."""
    if at.mode == "inference":
        return _inference(graph, made, at, found)
    trained = trained_parameters(graph)
    parameters = parameter_bytes(graph.parameters, trained, at)
    inputs = sum(b.size for c, b in zip(made.calls, found, strict=True) if c.operation == "input")
    always = parameters.weights + parameters.optimizer + inputs
    walk = _Backward(graph, made, at, found)
    given = walk.returned + walk.given
    return always + max(
        given + walk.most(), given + parameters.gradients, _forward(graph, made, found)
    )


@dataclass
class _Gradients:
    """Gradients of values that wait; some are one and the same for several values."""

    of: dict[Value, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)

    def made(self, value: Value, size: int) -> None:
        """A gradient of its own for a value."""
        key = len(self.shared)
        self.of[value], self.sizes[key], self.shared[key] = key, size, 1

    def handed(self, value: Value, key: int) -> None:
        """For a value the gradient that another one has."""
        self.of[value] = key
        self.shared[key] += 1

    def taken(self, value: Value) -> None:
        """A gradient that is no longer needed for a value."""
        key = self.of.pop(value)
        self.shared[key] -= 1
        if not self.shared[key]:
            del self.sizes[key]

    def added(self, value: Value, size: int) -> None:
        """One more gradient of a value; a sum of its own where others have the earlier one, too."""
        key = self.of[value]
        if self.shared[key] > 1 or not self.sizes[key]:
            self.taken(value)
            self.made(value, size)

    @property
    def bytes(self) -> int:
        """Bytes of all of them."""
        return sum(self.sizes.values())


@dataclass
class _Backward:
    graph: Graph
    made: Trace
    at: Setting
    found: list[CallBytes]
    gradients: _Gradients = field(default_factory=_Gradients)
    parameters: dict[str, int] = field(default_factory=dict)

    @property
    def returned(self) -> int:
        """Bytes of what is returned, weights of attention aside, which are kept."""
        values = [value for value in set(self.made.results) if self.found[value].needs]
        values = [value for value in values if self.made.calls[value].operation != "weights"]
        return sum(self.found[value].size for value in values)

    @property
    def given(self) -> int:
        """Bytes of the gradients of what is returned."""
        return sum(self.found[v].size for v in set(self.made.results) if self.found[v].needs)

    def most(self) -> int:
        """The most bytes at any call, parameters and what is returned not included."""
        first = self._first_keepers()
        held = sum(b.within for b in self.found) + sum(self.found[v].size for v in first)
        for value in set(self.made.results):
            if self.found[value].needs:
                self.gradients.made(value, 0)  # the one that the loss gives, and keeps
        most = held
        for call, own in zip(reversed(self.made.calls), reversed(self.found), strict=True):
            if own.needs and call.makes in self.gradients.of:
                come = own.working + self._trained(call)
                most = max(most, held + self.gradients.bytes + sum(self.parameters.values()) + come)
                self._hand_on(call)
            held -= own.within
            held -= sum(self.found[v].size for v in own.keeps if first.get(v) == call.makes)
        return most

    def _first_keepers(self) -> dict[Value, Value]:
        """The first call that keeps each value; what is given and returned is there anyway."""
        results = set(self.made.results)
        found: dict[Value, Value] = {}
        for call, own in zip(self.made.calls, self.found, strict=True):
            for value in own.keeps:
                if value not in results and self.made.calls[value].operation != "input":
                    found.setdefault(value, call.makes)
        return found

    def _trained(self, call: Call) -> int:
        """Adds the gradients of a call's parameters; bytes of those to be added to earlier ones."""
        if call.placed is None:
            return 0
        again = 0
        for name in trained_of(call, self.graph):
            path = f"{call.holder}.{name}"
            owner = self.graph.aliases.get(path, path)
            size = prod(call.placed.tensors[name]) * self.at.bytes
            again = max(again, size if owner in self.parameters else 0)
            self.parameters[owner] = size
        return again

    def _hand_on(self, call: Call) -> None:
        """The gradients of what a call reads, once it is done."""
        key = self.gradients.of[call.makes]
        if call.operation == "table":  # of the shape of what it reads alone
            self.gradients.taken(call.makes)
            return
        for value in (value for values in call.reads.values() for value in values):
            if not self.found[value].needs:
                continue
            if value in self.gradients.of:
                self.gradients.added(value, self.found[value].size)
            elif _passes_on(call):
                self.gradients.handed(value, key)
            else:
                self.gradients.made(value, self.found[value].size)
        self.gradients.taken(call.makes)


def _passes_on(call: Call) -> bool:
    """Whether the gradient of a result is that of what it is made of, or a piece of it."""
    added = call.placed is not None and isinstance(call.placed.component, Add)
    return added or call.operation in {"add", "cat"}


def _forward(graph: Graph, made: Trace, found: list[CallBytes]) -> int:
    """The most bytes between the calls of a forward pass that keeps what the backward pass needs."""
    waiting = waiting_values(graph, made)
    kept: set[Value] = set()
    live: set[Value] = set()
    within = most = held = 0
    for call, own in zip(made.calls, found, strict=True):
        within += own.within
        added = {value for value in (*own.keeps, call.makes) if value not in live | kept}
        held += sum(found[v].size for v in added if made.calls[v].operation != "input")
        kept |= own.keeps
        live.add(call.makes)
        most = max(most, within + held)
        for value in waiting.get(call.makes, ()):
            live.discard(value)
            held -= 0 if value in kept else found[value].size
    return most


def _inference(graph: Graph, made: Trace, at: Setting, found: list[CallBytes]) -> int:
    """Weights, cache, and the values that are there while a call computes."""
    cache = sum(cache_bytes(c.placed, at).held for c in made.calls if c.placed is not None)
    waiting = waiting_values(graph, made)
    masks: dict[str, int] = {}  # each part makes its own
    for call, own in zip(made.calls, found, strict=True):
        part = call.path.partition(".")[0]
        masks[part] = max(masks.get(part, 0), own.masks)
    live = most = 0
    for call, own in zip(made.calls, found, strict=True):
        live += own.size
        most = max(most, live + own.working + masks[call.path.partition(".")[0]])
        live -= sum(found[value].size for value in waiting.get(call.makes, ()))
    return graph.parameters * at.bytes + cache + most
