"""From graph to Python source: the model top-down, then the classes it uses, folded for it.

`standalone` copies the classes of `composer.nn` that are used, less what this model does not need;
`linked` imports them whole. Both compute the same.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from typing import Literal

from composer.graph.decoding import Decoding
from composer.graph.graph import Graph, LayerKind, Stack

from .compressing import compress_function
from .decoding import decoding_class
from .folding import fold_for_model, tidy
from .layers import layer_class
from .library import Definition, definitions, names_in
from .model import model_class, output_class
from .plan import Plan, camel, layer_name, plan
from .stacks import stack_class
from .writing import docstring

Mode = Literal["standalone", "linked"]

_IMPORTS = {
    "Any": "from typing import Any",
    "Iterable": "from collections.abc import Iterable",
    "Mapping": "from collections.abc import Mapping",
    "NamedTuple": "from typing import NamedTuple",
    "partial": "from functools import partial",
    "torch": "import torch",
    "F": "import torch.nn.functional as F",
    "Tensor": "from torch import Tensor",
    "nn": "from torch import nn",
    "rearrange": "from einops import rearrange",
    "reduce": "from einops import reduce",
    "repeat": "from einops import repeat",
    "einsum": "from einops import einsum",
}
"""What the text of a model itself may use; definitions bring the imports of their files."""


def emit(graph: Graph, mode: Mode = "standalone") -> str:
    """The source of a model: a module of Python that needs torch, and einops where it is used."""
    return _file(plan(graph, definitions(kinds_in(graph))), mode)


def emit_decoding(decoding: Decoding) -> tuple[str, str]:
    """The source of a model that is run step by step, linked to `composer.nn`; its class's name."""
    made = plan(decoding.graph, definitions(kinds_in(decoding.graph)), decoding)
    return _file(made, "linked"), made.classes["model"]


def _file(made: Plan, mode: Mode) -> str:
    graph = made.graph
    library = definitions(kinds_in(graph))
    texts = _structure(made)
    used = _used(texts, library)
    imports: list[str] = []
    if mode == "linked":
        copied = [d.text for d in used if not d.ours]
        named = {name for text in [*texts, *copied] for name in names_in(text)}
        imports = _library_imports([d for d in used if d.name in named and d.ours])
    else:
        texts, copied = fold_for_model(texts, used, made.uses)
    ordered = _base_first([*(tidy(text) for text in texts), *copied])
    body = "\n\n".join(ordered)
    head = "\n".join(docstring(_about(graph), 0))
    known = dict(_IMPORTS)
    for definition in used:
        if mode == "standalone" or not definition.ours:
            known |= definition.imports
    lines = _import_lines(body, known, imports)
    return f"{head}\n\nfrom __future__ import annotations\n\n{lines}\n\n\n{body}"


def kinds_in(graph: Graph) -> Iterator[str]:
    """Every kind that a graph uses, inside other components too."""
    waiting = [node.placed for _, node in graph.nodes()]
    while waiting:
        placed = waiting.pop()
        yield placed.component.kind
        waiting += placed.parts.values()


def _about(graph: Graph) -> str:
    cite = f"\n\n{', '.join(graph.cite)}." if graph.cite else ""
    said = f": {graph.description}" if graph.description else "."
    return f"{graph.title}{said}{cite}"


def _structure(made: Plan) -> list[str]:
    """Output, model, stacks and layers, top-down."""
    graph = made.graph
    layers = _layers(made)
    stacks = [stack_class(stack, made) for stack in graph.stacks]
    if made.decoding is not None:
        return [decoding_class(made), *stacks, *layers]
    return [output_class(made), model_class(made), *stacks, *layers, *compress_function(made)]


def _layers(made: Plan) -> list[str]:
    """The classes of layers; kinds of one text are one class, named after what they share."""
    texts: dict[str, list[tuple[Stack, LayerKind]]] = {}
    for stack in made.graph.stacks:
        for kind in stack.kinds:
            texts.setdefault(layer_class(kind, stack, made, "Layer"), []).append((stack, kind))
    layers = []
    for text, users in texts.items():
        name = made.name_class(id(users[0][1]), _shared_name(users))
        made.classes |= {id(kind): name for _, kind in users}
        layers.append(text.replace("class Layer(", f"class {name}(", 1))
    return layers


def _shared_name(users: list[tuple[Stack, LayerKind]]) -> str:
    """The name of a class for one or several kinds of layers."""
    stacks = list({stack.name: stack for stack, _ in users}.values())
    if len(users) == 1:
        return layer_name(*users[0])
    if len(stacks) == 1:
        return f"{camel(stacks[0].name)}Layer"
    roles = {stack.role for stack in stacks}
    return f"{roles.pop().title()}Layer" if len(roles) == 1 else "TransformerLayer"


def _used(texts: list[str], library: dict[str, Definition]) -> list[Definition]:
    """Definitions that the texts use, directly or through others, in order of first use."""
    found: dict[str, Definition] = {}
    waiting = list(texts)
    while waiting:
        text = waiting.pop(0)
        for name in _order_of_names(text):
            if name in library and name not in found:
                found[name] = library[name]
                waiting.append(library[name].text)
    return list(found.values())


def _order_of_names(text: str) -> list[str]:
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)]
    return [n.id for n in sorted(nodes, key=lambda n: (n.lineno, n.col_offset))]


def _library_imports(used: list[Definition]) -> list[str]:
    modules: dict[str, list[str]] = {}
    for definition in used:
        modules.setdefault(definition.module, []).append(definition.name)
    return [
        f"from {module} import {', '.join(sorted(names, key=_import_order))}"
        for module, names in sorted(modules.items())
    ]


# The file


def _base_first(texts: list[str]) -> list[str]:
    """What is read when a class is defined comes before it: constants, bases, defaults."""
    early = {name for text in texts for name in _read_when_defined(text)}
    constants = [text for text in texts if not text.startswith(("class ", "def ", "@"))]
    named = [text for text in texts[1:] if text not in constants]
    first = [text for text in named if _name_defined(text) in early]
    return [*constants, texts[0], *first, *(text for text in named if text not in first)]


def _name_defined(text: str) -> str:
    """The name of a class or function."""
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.ClassDef | ast.FunctionDef)
    return node.name


def _read_when_defined(text: str) -> Iterator[str]:
    """Names that a definition reads when it is made: bases, and defaults of arguments."""
    for node in ast.walk(ast.parse(text)):
        read: list[ast.expr | None] = []
        if isinstance(node, ast.ClassDef):
            read = [*node.bases]
        elif isinstance(node, ast.arguments):
            read = [*node.defaults, *node.kw_defaults]
        yield from (each.id for each in read if isinstance(each, ast.Name))


def _import_lines(body: str, known: Mapping[str, str], library: list[str]) -> str:
    """The imports that a body needs, grouped and sorted as usual."""
    lines = {
        line for name, line in known.items() if name in names_in(body) and "__future__" not in line
    }
    merged: dict[str, list[str]] = {}
    for line in lines:
        head, word, name = line.partition(" import ")
        merged.setdefault(head if word else line, []).append(name)
    texts = [
        f"{head} import {', '.join(sorted(names, key=_import_order))}" if names[0] else head
        for head, names in merged.items()
    ]
    groups: list[list[str]] = [[], [], library]
    for text in texts:
        groups[text.split()[1].split(".")[0] not in sys.stdlib_module_names].append(text)
    ordered = [sorted(group, key=lambda x: (x.startswith("from"), x)) for group in groups if group]
    return "\n\n".join("\n".join(group) for group in ordered)


def _import_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as isort does."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)
