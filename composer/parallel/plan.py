"""The plan of a model on a mesh: the shape of every parameter on every device, and its bytes.

It is arithmetic, so it is as quick for thousands of devices as for two. Along `tp` the axis of a
parameter is cut into equal pieces, the last of which may be smaller; along `dp` its first axis is
then cut again where parameters are sharded. Both are as torch cuts, so the plan is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from composer.diagnostics import Problem, SpecError
from composer.graph.graph import Graph
from composer.language.parallel import MeshFields, Parallelism

from .splitting import Splitting, splitting

FLOAT, MOMENTS = 4, 2
"""Bytes of a number in fp32, in which shards are kept, and the numbers that Adam keeps of each."""

Place = tuple[int, int]
"""A device: its place along dp, and along tp."""


@dataclass(frozen=True)
class Tensor:
    """A parameter: its whole shape, the axis that is split along tp, and whether it is trained."""

    name: str
    shape: tuple[int, ...]
    axis: int | None
    trained: bool
    mesh: MeshFields
    sharded: bool

    def local(self, place: Place) -> tuple[int, ...]:
        """Its shape on one device."""
        shape = list(self.shape)
        if self.axis is not None:
            shape[self.axis] = pieces(shape[self.axis], self.mesh.tp)[place[1]]
        if self.sharded and shape:
            shape[0] = pieces(shape[0], self.mesh.dp)[place[0]]
        return tuple(shape)

    def start(self, place: Place) -> tuple[int, ...]:
        """Where its part on one device begins in the whole."""
        start, shape = [0] * len(self.shape), list(self.shape)
        if self.axis is not None:
            cut = pieces(shape[self.axis], self.mesh.tp)
            start[self.axis], shape[self.axis] = sum(cut[: place[1]]), cut[place[1]]
        if self.sharded and shape:
            start[0] += sum(pieces(shape[0], self.mesh.dp)[: place[0]])
        return tuple(start)

    def first(self, place: Place) -> bool:
        """Whether a device is the first of those that hold the same part."""
        return (self.sharded or place[0] == 0) and (self.axis is not None or place[1] == 0)

    @property
    def how(self) -> str:
        """How it is spread, in words."""
        cuts = [] if self.axis is None else [f"axis {self.axis} over tp"]
        cuts += ["axis 0 over dp"] if self.sharded and self.mesh.dp > 1 else []
        return ", ".join(cuts) or "whole"


@dataclass(frozen=True)
class Bytes:
    """Bytes that a device holds of parameters, of their gradients, and of Adam's two moments."""

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of them together."""
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class Plan:
    """Where everything of a model is on a mesh; each shared parameter is there once."""

    graph: Graph
    asked: Parallelism
    splitting: Splitting
    tensors: Mapping[str, Tensor]

    @property
    def mesh(self) -> MeshFields:
        """The devices."""
        return self.asked.mesh

    @cached_property
    def places(self) -> list[Place]:
        """Every device of a stage, in the order of their ranks."""
        return [(dp, tp) for dp in range(self.mesh.dp) for tp in range(self.mesh.tp)]

    def shapes(self, place: Place) -> dict[str, tuple[int, ...]]:
        """Shapes of all parameters on one device."""
        return {name: tensor.local(place) for name, tensor in self.tensors.items()}

    def bytes(self, place: Place, names: frozenset[str] | None = None) -> Bytes:
        """What one device holds, of all parameters or of some."""
        kept = [t for name, t in self.tensors.items() if names is None or name in names]
        weights = sum(prod(tensor.local(place)) for tensor in kept)
        trained = sum(prod(tensor.local(place)) for tensor in kept if tensor.trained)
        return Bytes(weights * FLOAT, trained * FLOAT, trained * MOMENTS * FLOAT)

    @cached_property
    def every(self) -> dict[Place, Bytes]:
        """What each device holds."""
        kinds: dict[tuple[tuple[int, ...], int | None, bool], int] = {}
        for one in self.tensors.values():
            key = (one.shape, one.axis, one.trained)
            kinds[key] = kinds.get(key, 0) + 1
        found = {}
        for place in self.places:
            weights = trained = 0
            for (shape, axis, learns), count in kinds.items():
                like = Tensor("", shape, axis, learns, self.mesh, self.asked.fsdp is not None)
                numbers = count * prod(like.local(place))
                weights += numbers
                trained += numbers if learns else 0
            found[place] = Bytes(weights * FLOAT, trained * FLOAT, trained * MOMENTS * FLOAT)
        return found

    @property
    def fullest(self) -> Place:
        """The device that holds most; the first of equals."""
        return max(self.places, key=lambda place: self.every[place].total)


def plan(graph: Graph, asked: Parallelism, *, batch: int | None = None) -> Plan:
    """The plan of a model on a mesh; with a `batch`, that divides over dp is checked, too.

    Raises SpecError for what cannot be spread as asked.
    """
    _check(asked, batch)
    made = splitting(graph, asked)
    sharded = asked.fsdp is not None
    tensors = {
        name: Tensor(
            name, shape, made.axes.get(name), name not in graph.frozen, asked.mesh, sharded
        )
        for name, shape in graph.tensors.items()
    }
    return Plan(graph, asked, made, tensors)


@lru_cache(maxsize=10_000)
def pieces(size: int, parts: int) -> tuple[int, ...]:
    """The sizes of an axis that torch cuts into parts: equal ones, a smaller one, then none.

    >>> pieces(10, 4)
    (3, 3, 3, 1)
    >>> pieces(2, 4)
    (1, 1, 0, 0)
    """
    each = -(-size // parts)
    return tuple(max(0, min(each, size - each * part)) for part in range(parts))


def _check(asked: Parallelism, batch: int | None) -> None:
    """What a mesh cannot be, whatever the model."""
    mesh = asked.mesh
    if asked.fsdp is None and mesh.dp > 1 and mesh.tp > 1:
        raise refusal("copies along dp cannot be split along tp, too", "fsdp: true")
    if batch is not None and batch % mesh.dp:
        near = batch // mesh.dp * mesh.dp or mesh.dp
        raise refusal(
            f"a batch of {batch} does not divide over dp: {mesh.dp}",
            f"--set train.batch_size={near}",
        )


def refusal(message: str, fix: str | None = None) -> SpecError:
    """A model or a mesh that cannot be spread as asked."""
    return SpecError([Problem("P602", message, None, fix=fix)])
