"""The graph: every part of a model in the order it runs, with its components in their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal

from composer.components.component import Component
from composer.components.placed import Placed
from composer.diagnostics import Span
from composer.language.pass_fields import PassFields
from composer.shapes import Shape

from .tables import tables_of

Placement = Literal["pre", "post", "sandwich", "branch"]


@dataclass(frozen=True, slots=True)
class State:
    """A value that a part makes: its result, the state after one of its layers, or another item.

    Layer -1 is the state before the first layer. `item` is another output of a component, such as
    the weights of an attention; `branch` says which of a layer's branches it belongs to.
    """

    part: str
    layer: int | None = None
    item: str = ""
    branch: str = ""


@dataclass(frozen=True)
class Value:
    """What is known of a value: its shape, the name of its padding mask, and what it depends on.

    `sees` says of each input whether step t depends on steps up to t only, or on all of them.
    """

    shape: Shape
    mask: str | None = None
    sees: Mapping[str, Literal["past", "all"]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Node:
    """A component in its place; `name` is the attribute that holds it."""

    name: str
    placed: Placed
    span: Span = field(compare=False)

    @property
    def component(self) -> Component:
        """The component, every option filled in."""
        return self.placed.component


@dataclass(frozen=True)
class Body:
    """One component of a branch and the layer arguments that it reads beside the state."""

    node: Node
    reads: tuple[str, ...] = ()
    norm: Node | None = None
    returns_weights: bool = False


@dataclass(frozen=True)
class Branch:
    """A branch of a layer: normed, run, merged, and added back.

    Several bodies run side by side, each after its own norm if it has one.
    """

    name: str
    bodies: tuple[Body, ...]
    placement: Placement
    norm: Node | None = None
    post_norm: Node | None = None
    combine: Node | None = None
    scale: float = 1.0
    gate: Node | None = None
    dropout: float = 0.0
    residual: bool = True
    parallel: bool = False

    def nodes(self) -> Iterator[Node]:
        """Every component of the branch, in the order of the layer's attributes."""
        if self.norm is not None and self.placement != "post":
            yield self.norm
        for body in self.bodies:
            if body.norm is not None:
                yield body.norm
            yield body.node
        for node in (self.combine, self.gate, self.post_norm):
            if node is not None:
                yield node
        if self.norm is not None and self.placement == "post":
            yield self.norm


@dataclass(frozen=True)
class Skip:
    """An earlier state that meets the state before a layer."""

    argument: str
    combine: Node
    project: Node | None = None
    resample: bool = False

    def nodes(self) -> Iterator[Node]:
        """Components of the skip."""
        if self.project is not None:
            yield self.project
        yield self.combine


@dataclass(frozen=True)
class LayerKind:
    """What equal layers have in common: one emitted class."""

    type: str
    skips: tuple[Skip, ...]
    branches: tuple[Branch, ...]

    def nodes(self) -> Iterator[Node]:
        """Every component of the layer."""
        for skip in self.skips:
            yield from skip.nodes()
        for branch in self.branches:
            yield from branch.nodes()

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """Names of what a layer reads beside the state."""
        names = [skip.argument for skip in self.skips]
        names += [n for b in self.branches for body in b.bodies for n in body.reads]
        return tuple(dict.fromkeys(names))

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """Names of the attentions whose weights the layer returns."""
        return tuple(
            body.node.name for b in self.branches for body in b.bodies if body.returns_weights
        )


@dataclass(frozen=True)
class Layer:
    """A layer: its kind, and which states its arguments are."""

    kind: LayerKind
    reads: Mapping[str, State]


@dataclass(frozen=True)
class Memory:
    """A value that a stack makes of others before its layers run, for them to read.

    `mix` is a learned mix of all states of one stack; without it, `sources` are joined along time,
    each after its projection where it has one.
    """

    argument: str
    sources: tuple[State, ...]
    mix: Node | None = None
    projects: tuple[Node | None, ...] = ()
    value: Value = field(default=Value(()), hash=False)


@dataclass(frozen=True)
class Stack:
    """A stack of layers, or the layers from number `first` on of one that is cut.

    Everything that numbers layers counts from 0 here, except the names of tensors, which are those
    of the whole stack. `family` are the kinds of all of its layers, where it is cut.
    """

    name: str
    role: Literal["encoder", "decoder"]
    source: State
    width: int
    causal: bool
    embed: Node | None
    layers: tuple[Layer, ...]
    final_norm: Node | None
    memories: tuple[Memory, ...]
    layer_sets: tuple[int, ...]
    value: Value
    span: Span
    lockstep: tuple[str, ...] = ()
    types: tuple[str, ...] = ("",)
    result_read: bool = True
    first: int = 0
    family: tuple[LayerKind, ...] = ()

    @cached_property
    def kinds(self) -> tuple[LayerKind, ...]:
        """The different kinds of its layers, in order of appearance."""
        return tuple({id(layer.kind): layer.kind for layer in self.layers}.values())

    @cached_property
    def tables(self) -> tuple[Node, ...]:
        """What it computes once for its layers, such as rotary angles; equal ones are one."""
        used = {table.construction for table in tables_of(self.kinds).values()}
        named = tables_of(self.family or self.kinds).items()
        return tuple(Node(name, t, self.span) for name, t in named if t.construction in used)

    def table_name(self, table: Placed) -> str:
        """The name of the table that a layer is handed."""
        return next(
            node.name for node in self.tables if node.placed.construction == table.construction
        )

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every component with its path below the stack; layers that share are named once."""
        if self.embed is not None:
            yield self.embed.name, self.embed
        for table in self.tables:
            yield table.name, table
        for memory in self.memories:
            for node in (memory.mix, *memory.projects):
                if node is not None:
                    yield node.name, node
        for index, layer in enumerate(self.layers):
            if self.layer_sets[index] == index:
                for node in layer.kind.nodes():
                    yield f"layers.{self.first + index}.{node.name}", node
        if self.final_norm is not None:
            yield self.final_norm.name, self.final_norm


@dataclass(frozen=True)
class Input:
    """What comes in."""

    name: str
    node: Node
    value: Value
    padding: Literal["mask"] | int | None = None


@dataclass(frozen=True)
class Module:
    """A component on its own, and the values at its ports."""

    name: str
    node: Node
    reads: Mapping[str, tuple[State, ...]]
    value: Value
    merges: bool = False
    returns_weights: bool = False

    @cached_property
    def tables(self) -> dict[str, Node]:
        """What is computed for it, by the argument that takes it."""
        placed = self.node.placed
        return {
            argument: Node(f"{self.name}_{argument}", table, self.node.span)
            for argument, table in placed.component.tables(placed.axes).items()
        }


@dataclass(frozen=True)
class Output:
    """Something that a model returns, through a head or as it is."""

    name: str
    source: State
    head: Node | None
    value: Value
    span: Span
    layers: tuple[State, ...] = ()


@dataclass(frozen=True)
class Compression:
    """A pass that makes a model smaller, and on which linear maps.

    `places` are all their places, each with the first of its map. `left` says of each place that
    was named and is left as it is, why.
    """

    options: PassFields
    places: Mapping[str, str] = field(hash=False)
    left: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def maps(self) -> tuple[str, ...]:
        """The linear maps, each once by its first place."""
        return tuple(dict.fromkeys(self.places.values()))


Part = Input | Stack | Module | Output


@dataclass(frozen=True)
class Share:
    """One set of parameters with several names."""

    paths: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class Graph:
    """A model.

    `parts` are in an order in which each comes after what it reads; stacks in lockstep stand next
    to each other. `aliases` maps each further name of a shared tensor to the first. `frozen` are
    the first names of the parameters that training leaves as they are.
    """

    name: str
    title: str
    description: str
    cite: tuple[str, ...]
    parts: Mapping[str, Part]
    values: Mapping[State, Value]
    shares: tuple[Share, ...]
    aliases: Mapping[str, str]
    initialization: Placed
    file: str
    frozen: frozenset[str] = frozenset()
    compressions: tuple[Compression, ...] = ()
    parametrization: Literal["standard", "mup", "completep"] = "standard"
    base: Graph | None = field(default=None, repr=False)

    def of(self, kind: type[Part]) -> list[Part]:
        """The parts of one type, in order."""
        return [part for part in self.parts.values() if isinstance(part, kind)]

    @property
    def inputs(self) -> list[Input]:
        """What comes in."""
        return [part for part in self.parts.values() if isinstance(part, Input)]

    @property
    def stacks(self) -> list[Stack]:
        """The stacks, in the order they run."""
        return [part for part in self.parts.values() if isinstance(part, Stack)]

    @property
    def modules(self) -> list[Module]:
        """The modules, in the order they run."""
        return [part for part in self.parts.values() if isinstance(part, Module)]

    @property
    def outputs(self) -> list[Output]:
        """What comes out."""
        return [part for part in self.parts.values() if isinstance(part, Output)]

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every component with parameters or without, by its path; shared layers once."""
        for part in self.parts.values():
            if isinstance(part, Stack):
                for path, node in part.nodes():
                    yield f"{part.name}.{path}", node
            elif isinstance(part, Module):
                yield part.name, part.node
                for table in part.tables.values():
                    yield table.name, table
            elif isinstance(part, Output) and part.head is not None:
                yield part.name, part.head

    @cached_property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its first name; each shared one once."""
        return {
            name: shape
            for path, node in self.nodes()
            for tensor, shape in node.placed.tensors.items()
            if (name := f"{path}.{tensor}") not in self.aliases
        }

    @cached_property
    def buffers(self) -> dict[str, tuple[int, ...]]:
        """Shape of every buffer by its first name; each shared one once."""
        return {
            name: shape
            for path, node in self.nodes()
            for tensor, shape in node.placed.buffers.items()
            if (name := f"{path}.{tensor}") not in self.aliases
        }

    @cached_property
    def added(self) -> frozenset[str]:
        """First names of the parameters that adapters add, which no other model's weights have."""
        return frozenset(
            name
            for path, node in self.nodes()
            for tensor in _added(node)
            if (name := f"{path}.{tensor}") not in self.aliases
        )

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what is saved and loaded: parameters, then buffers."""
        return {**self.tensors, **self.buffers}

    @property
    def parameters(self) -> int:
        """Number of parameters, each shared one counted once."""
        return sum(prod(shape) for shape in self.tensors.values())


def _added(node: Node) -> Iterator[str]:
    """Names of the tensors of a component that adapters add."""
    for adapter in node.placed.adapters:
        yield from (f"{adapter.path}.{name}" for name in adapter.placed.tensors)
