"""The tensors of a graph as rules see them: which name owns a tensor, and the sizes around it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from composer.components.options import ExpressionError, calculate
from composer.components.placed import Placed
from composer.diagnostics import Problems
from composer.graph.graph import Graph
from composer.graph.selecting import filled
from composer.graph.tensors import set_owner
from composer.language.weights import WeightMap

from .operations import OperationError, Shape


class Targets:
    """The tensors of a graph by their own names, however they are called."""

    def __init__(self, graph: Graph, weight_map: WeightMap | None = None) -> None:
        """Take the tensors that `graph` declares, or those of them that a map is to fill.

        No map fills what adapters add.

        Raises SpecError where the map names parts that the graph does not have.
        """
        self.graph = graph
        self.shapes: dict[str, Shape] = graph.state
        self.new: frozenset[str] = frozenset()
        if weight_map is not None:
            self.shapes = {n: s for n, s in self.shapes.items() if n not in graph.added}
        if weight_map is not None and (weight_map.parts or weight_map.new):
            problems = Problems()
            inside, self.new = filled(graph, weight_map, problems)
            problems.raise_if_any()
            self.shapes = {n: s for n, s in self.shapes.items() if n in inside - self.new}

    def owner(self, name: str) -> str:
        """The first name of the tensor `name`, which may be a further name of a shared one."""
        name = set_owner(name, self.graph.parts)
        return self.graph.aliases.get(name, name)

    def sizes(self, name: str) -> dict[str, int]:
        """Sizes of the component that holds a tensor: its axes and options, those inside it too."""
        path = self.owner(name)
        while path and path not in self._placed:
            path = path.rpartition(".")[0]
        return _sizes(self._placed[path]) if path else {}

    @cached_property
    def _placed(self) -> dict[str, Placed]:
        return {path: node.placed for path, node in self.graph.nodes()}


def whole_number(text: int | str, sizes: Mapping[str, int]) -> int:
    """The value of a number or an expression over `sizes`.

    Raises OperationError where it has none.
    """
    if isinstance(text, int):
        return text
    try:
        value = calculate(text, sizes)
    except ExpressionError as error:
        raise OperationError(str(error).replace("one of dims", "a size here")) from None
    if int(value) != value or value < 0:
        raise OperationError(f"'{text}' is {value:g}, not a whole number")
    return int(value)


def _sizes(placed: Placed) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in placed.parts.values():
        found |= _sizes(part)
    component = placed.component
    found |= {
        name: value
        for name in type(component).model_fields
        if type(value := getattr(component, name)) is int
    }
    return found | {name: size for name, size in placed.axes.items() if type(size) is int}
