"""The lengths that a model leaves open: which numbers they may be, and some to try them with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from composer.components.placed import Placed
from composer.graph.graph import Graph
from composer.shapes import Dim, Quotient, Shape, evaluate, lengths_in

_TRACED = 8  # steps of the shortest traced sequence; each further one has 4 more
_MOST = 2**24  # of a length that nothing bounds, when its bounds are looked for


@dataclass(frozen=True)
class Length:
    """A length of the inputs: a multiple of `step`, from `least` to `most`.

    `shortened` tells whether a part makes fewer steps of it, not knowing how many remain.
    """

    name: str
    step: int
    least: int
    most: int | None
    shortened: bool

    def near(self, wanted: int) -> int:
        """The number that it may be next to one that is wanted, from above if it may."""
        number = self.step * -(-max(wanted, self.least) // self.step)
        return number if self.most is None or number <= self.most else self.most


def lengths_of(graph: Graph) -> list[Length]:
    """The lengths of a graph's inputs, the batch left out."""
    names = dict.fromkeys(name for item in graph.inputs for name in _names(item.value.shape))
    names.pop("batch", None)
    steps = _steps(graph)
    found = []
    for name in names:
        step = steps.get(name, 1)
        most = _most(graph, name)
        shortened = step == 1 and _shortened(graph, name)
        fewest = 2 if shortened else 1  # no program holds for one step and for more, then
        least = step * next(n for n in range(1, _MOST) if _holds(graph, name, n * step, fewest))
        last = None if most is None else most - most % step
        found.append(Length(name, step, least, last, shortened))
    return found


def traced_lengths(graph: Graph) -> dict[str, int]:
    """A number for every length, all different where they may be: what an exporter sees."""
    found = {"batch": 2}
    for number, length in enumerate(lengths_of(graph)):
        wanted = length.near(max(_TRACED + 4 * number, length.least + length.step))
        # A size of one is taken for a constant, so no part may have it if it need not.
        while not _holds(graph, length.name, wanted, 2) and wanted != length.most:
            wanted = length.near(wanted + length.step)
        found[length.name] = wanted
    return found


def tried_lengths(graph: Graph) -> list[dict[str, int]]:
    """Two sets of lengths that differ from the traced ones in every number that may vary."""
    traced = traced_lengths(graph)
    shorter, longer = {"batch": 1}, {"batch": 3}
    for length in lengths_of(graph):
        shorter[length.name] = length.near(traced[length.name] - length.step)
        longer[length.name] = length.near(2 * traced[length.name] + length.step)
    return [shorter, longer]


def _names(shape: Shape) -> Iterator[str]:
    for size in shape:
        if isinstance(size, Dim):
            yield from lengths_in(size)


def _steps(graph: Graph) -> dict[str, int]:
    """What a length must be a multiple of, where a pattern splits it."""
    return {
        name: atom.denominator
        for part in graph.modules
        if part.node.component.role == "operator"
        for atom in _quotients(part.value.shape)
        for name in lengths_in(atom.numerator)
    }


def _shortened(graph: Graph, name: str) -> bool:
    """Whether a state has some part of a length."""
    return any(
        name in lengths_in(atom.numerator)
        for value in graph.values.values()
        for atom in _quotients(value.shape)
    )


def _quotients(shape: Shape) -> Iterator[Quotient]:
    for size in shape:
        for atoms, _ in size.terms if isinstance(size, Dim) else ():
            yield from (atom for atom in atoms if isinstance(atom, Quotient))


def _holds(graph: Graph, name: str, number: int, least: int) -> bool:
    """Whether every state of the graph has enough steps where an input has so many."""
    return all(
        evaluate(size, dict.fromkeys(lengths_in(size), number)) >= least
        for value in graph.values.values()
        for size in value.shape
        if isinstance(size, Dim) and name in lengths_in(size)
    )


def _most(graph: Graph, name: str) -> int | None:
    """The longest that an input may be, by the positions that end."""
    found = []
    for path, node in graph.nodes():
        shape = graph.parts[path.split(".")[0]].value.shape
        time = shape[1] if len(shape) > 1 else 0
        if isinstance(time, Dim) and set(lengths_in(time)) == {name}:
            found += [_longest(time, name, end) for end in _ends(node.placed)]
    return min(found, default=None)


def _longest(time: Dim, name: str, end: int) -> int:
    """The greatest length of an input with which a part has at most `end` steps."""
    low, high = 1, _MOST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if evaluate(time, {name: middle}) <= end else (low, middle - 1)
    return low


def _ends(placed: Placed) -> Iterator[int]:
    """Where the positions within a component end."""
    end = getattr(placed.component, "max_length", None)
    if isinstance(end, int):
        yield end
    for part in placed.parts.values():
        yield from _ends(part)
