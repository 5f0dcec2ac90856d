"""The emitted source of a model, taken apart by what its classes are for."""

from __future__ import annotations

import ast

from composer.graph.graph import Graph, LayerKind, Stack
from composer.targets.source.emit import emit, kinds_in
from composer.targets.source.library import definitions, names_in
from composer.targets.source.plan import layer_name, plan


class Sources:
    """The classes of an emitted file by what they compute."""

    def __init__(self, graph: Graph) -> None:
        text = emit(graph)
        lines = text.splitlines()
        self._classes = {
            node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
            for node in ast.parse(text).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        }
        self._library = definitions(kinds_in(graph))
        self._names = plan(graph, self._library).classes

    def of_component(self, half: str) -> str:
        """The class that computes a component; nothing for an expression."""
        if half in self._classes:
            return self._classes[half]
        return f"{half}  # torch's own" if half.startswith("nn.") else ""

    def of_stack(self, stack: Stack) -> str:
        """The class of a stack and those of its layers."""
        own = self._classes.get(self._names[stack.name], "")
        return "\n\n\n".join([own, *(self._classes[name] for name in self._layers(own))])

    def of_layer(self, stack: Stack, kind: LayerKind) -> str:
        """The class of a kind of layers; those of all layers where several kinds have one."""
        name = layer_name(stack, kind)
        if name in self._classes:
            return self._classes[name]
        own = self._classes.get(self._names[stack.name], "")
        return "\n\n\n".join(self._classes[name] for name in self._layers(own))

    def _layers(self, stack: str) -> list[str]:
        """Classes that the class of a stack names and that are no components."""
        named = names_in(stack) if stack else frozenset()
        return [name for name in self._classes if name in named and name not in self._library]
