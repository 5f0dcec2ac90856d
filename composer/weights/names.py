"""The tensors of a graph as rules see them: which name owns a tensor, and the sizes around it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from composer.components.component import Placed
from composer.components.options import ExpressionError, calculate
from composer.graph.graph import Graph, Stack

from .operations import OperationError, Shape


class Targets:
    """The tensors of a graph by their own names, however they are called."""

    def __init__(self, graph: Graph) -> None:
        """Take the tensors that `graph` declares."""
        self.graph = graph
        self.shapes: dict[str, Shape] = graph.tensors

    def owner(self, name: str) -> str:
        """The first name of the tensor `name`, which may be a further name of a shared one."""
        found = re.match(r"(\w+)\.layers\.(\d+)\.", name)
        stack = self.graph.parts.get(found[1]) if found else None
        if found is not None and isinstance(stack, Stack) and int(found[2]) < len(stack.layers):
            first = stack.layer_sets[int(found[2])]
            name = f"{found[1]}.layers.{first}.{name[found.end() :]}"
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
