"""The definitions that emitted source may use: classes and functions of `composer.nn`, as text."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
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
    imports: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def ours(self) -> bool:
        """Whether it is one of `composer.nn`, not of somebody's own file."""
        return self.module.startswith("composer.nn.")

    @property
    def constant(self) -> bool:
        """Whether it is a value that a file gives a name to."""
        return not self.is_class and isinstance(
            ast.parse(self.text).body[0], ast.Assign | ast.AnnAssign
        )

    def names(self) -> frozenset[str]:
        """Every name that it reads."""
        return names_in(self.text)


@lru_cache(maxsize=256)
def names_in(source: str) -> frozenset[str]:
    """Every plain name that a source reads, those in annotations included."""
    return frozenset(n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name))


@cache
def builtin_definitions() -> dict[str, Definition]:
    """All definitions of `composer.nn`, in the order of their files."""
    found: dict[str, Definition] = {}
    for path in sorted(NN.glob("*.py")):
        found |= _definitions(path, f"composer.nn.{path.stem}")
    return found


def definitions(kinds: Iterable[str]) -> dict[str, Definition]:
    """`composer.nn`, and the files of those kinds that are somebody's own."""
    found = dict(builtin_definitions())
    for kind in dict.fromkeys(kinds):
        cls = KINDS[kind]
        if not cls.__module__.startswith("composer.components."):
            found |= _definitions(Path(inspect.getfile(cls)), cls.__module__, cls)
    return found


def _definitions(path: Path, module: str, skip: type | None = None) -> dict[str, Definition]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    imports = dict(_imports(tree))
    found = {}
    for node in tree.body:
        name = _defined(node)
        if name is None or (skip is not None and name == skip.__name__):
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        text = "".join(lines[first - 1 : node.end_lineno])
        found[name] = Definition(name, text, module, isinstance(node, ast.ClassDef), imports)
    return found


def _defined(node: ast.stmt) -> str | None:
    """The name that a statement of a file defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that a file imports from elsewhere, with the line that imports each."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                rename = f" as {alias.asname}" if alias.asname else ""
                yield alias.asname or alias.name.split(".")[0], f"import {alias.name}{rename}"
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module.split(".")[0] == "composer":
                continue
            for alias in node.names:
                rename = f" as {alias.asname}" if alias.asname else ""
                yield alias.asname or alias.name, f"from {node.module} import {alias.name}{rename}"


def default_arguments(component: Component) -> dict[str, object]:
    """Constant defaults of the constructor of a component's torch half."""
    return _defaults(component.kind, component.half)


@cache
def _defaults(kind: str, half: str) -> dict[str, object]:
    found = definitions([kind]).get(half)
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
