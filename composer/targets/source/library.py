"""The definitions that emitted source may use: classes and functions of `composer.nn`, as text."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from composer.components.component import KINDS, Component

NN = Path(__file__).resolve().parents[2] / "nn"


@dataclass(frozen=True)
class Definition:
    """A class or function as it stands in its file."""

    name: str
    text: str
    module: str
    is_class: bool

    def names(self) -> set[str]:
        """Every name that it reads."""
        return names_in(self.text)


def names_in(source: str) -> set[str]:
    """Every plain name that a source reads, those in annotations included."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


@cache
def builtin_definitions() -> dict[str, Definition]:
    """All definitions of `composer.nn`, in the order of their files."""
    found: dict[str, Definition] = {}
    for path in sorted(NN.glob("*.py")):
        found |= _definitions(path, f"composer.nn.{path.stem}")
    return found


def definitions(components: Iterable[Component]) -> dict[str, Definition]:
    """`composer.nn`, and the files of those components that are somebody's own."""
    found = dict(builtin_definitions())
    for component in components:
        cls = KINDS[component.kind]
        if not cls.__module__.startswith("composer.components."):
            found |= _definitions(Path(inspect.getfile(cls)), cls.__module__, cls)
    return found


def _definitions(path: Path, module: str, skip: type | None = None) -> dict[str, Definition]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        if skip is not None and node.name == skip.__name__:
            continue
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        text = "".join(lines[first - 1 : node.end_lineno])
        found[node.name] = Definition(node.name, text, module, isinstance(node, ast.ClassDef))
    return found


def default_arguments(component: Component) -> dict[str, object]:
    """Constant defaults of the constructor of a component's torch half."""
    return _defaults(component.kind)


@cache
def _defaults(kind: str) -> dict[str, object]:
    cls = KINDS[kind]
    found = definitions([cls.model_construct()]).get(cls.module)
    if found is None or not found.is_class:
        return {}
    (tree,) = ast.parse(found.text).body
    assert isinstance(tree, ast.ClassDef)
    inits = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if not inits or not inits[0].args.defaults:
        return {}
    names = [a.arg for a in inits[0].args.args][-len(inits[0].args.defaults) :]
    pairs = zip(names, inits[0].args.defaults, strict=True)
    return {name: node.value for name, node in pairs if isinstance(node, ast.Constant)}
