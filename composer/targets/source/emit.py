"""From graph to Python source: the model top-down, then the classes it uses, folded for it.

`standalone` copies the classes of `composer.nn` that are used, less what this model does not need;
`linked` imports them whole. Both compute the same.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from composer.graph.graph import Graph, LayerKind, Stack

from .fold import PRESENT, Expr, Facts, Known, Uses, fold, names_in_call
from .layers import layer_class
from .library import Definition, definitions, names_in
from .model import model_class, output_class
from .plan import Plan, camel, layer_name, plan
from .stacks import stack_class
from .writing import docstring

Mode = Literal["standalone", "linked"]

_IMPORTS = {
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
    library = definitions(kinds_in(graph))
    made = plan(graph, library)
    texts = _structure(made)
    used = _used(texts, library)
    imports: list[str] = []
    if mode == "linked":
        named = {name for text in texts for name in names_in(text)}
        imports = _library_imports([definition for definition in used if definition.name in named])
        copied: list[str] = []
    else:
        texts, copied = _folded(texts, used, made)
    ordered = _base_first([*texts, *copied])
    body = "\n\n".join(ordered)
    head = "\n".join(docstring(_about(graph), 0))
    known = dict(_IMPORTS)
    for definition in used if mode == "standalone" else []:
        known |= definition.imports
    lines = _import_lines(body, known, imports)
    return f"{head}\n\nfrom __future__ import annotations\n\n{lines}\n\n\n{body}"


def kinds_in(graph: Graph) -> Iterator[str]:
    """Every kind that a graph uses, inside other components too."""
    waiting = [node.placed for _, node in graph.nodes()]
    while waiting:
        placed = waiting.pop()
        yield placed.component.kind
        waiting += [*placed.parts.values(), *placed.component.tables(placed.axes).values()]


def _about(graph: Graph) -> str:
    cite = f"\n\n{', '.join(graph.cite)}." if graph.cite else ""
    text = graph.description or "A model."
    return f"{graph.title}: {text[:1].lower()}{text[1:]}{cite}" if graph.description else f"{graph.title}.{cite}"


def _structure(made: Plan) -> list[str]:
    """Output, model, stacks and layers, top-down."""
    graph = made.graph
    layers = _layers(made)
    stacks = [stack_class(stack, made) for stack in graph.stacks]
    return [output_class(made), model_class(made), *stacks, *layers]


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


# Folding for this model


def _folded(
    texts: list[str], used: list[Definition], made: Plan
) -> tuple[list[str], list[str]]:
    """The texts and the definitions they use, every argument that never varies gone."""
    waiting = {definition.name: definition for definition in used}
    done: dict[str, str] = {}
    while waiting:
        current = [*texts, *done.values()]
        name = _next(waiting)
        definition = waiting.pop(name)
        if not any(name in names_in(text) for text in current):
            continue  # folding took its last use
        facts, required, dropped = _facts(definition, current, made)
        folded = fold(definition.text, Uses(facts, required))
        gone = {*dropped, *_lost_parameters(definition.text, folded)}
        texts = [names_in_call(text, name, gone, definition.text) for text in texts]
        done = {n: names_in_call(text, name, gone, definition.text) for n, text in done.items()}
        done[name] = folded
    order = sorted(used, key=lambda d: d.name.startswith("init_"))
    return texts, [done[d.name] for d in order if d.name in done]


def _next(waiting: dict[str, Definition]) -> str:
    """A definition that no other waiting one uses, so that all of its uses are known."""
    for name in waiting:
        if not any(name in d.names() for other, d in waiting.items() if other != name):
            return name
    return next(iter(waiting))


def _facts(
    definition: Definition, texts: Iterable[str], made: Plan
) -> tuple[dict[str, Facts], dict[str, frozenset[str]], set[str]]:
    """What the uses of a definition have in common."""
    tree = ast.parse(definition.text).body[0]
    if isinstance(tree, ast.FunctionDef):
        facts, gone = _call_facts(definition.name, tree, texts, method=False)
        return {tree.name: facts}, {}, gone
    assert isinstance(tree, ast.ClassDef)
    methods = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    found: dict[str, Facts] = {}
    required: dict[str, frozenset[str]] = {}
    dropped: set[str] = set()
    if "__init__" in methods:
        found["__init__"], dropped = _call_facts(definition.name, methods["__init__"], texts, method=True)
        required["__init__"] = _always_given(definition.name, methods["__init__"], texts)
    if "forward" in methods and definition.name in made.uses:
        found["forward"], required["forward"] = _forward_facts(methods["forward"], made.uses[definition.name])
    return found, required, dropped


def _call_facts(
    name: str, function: ast.FunctionDef, texts: Iterable[str], *, method: bool
) -> tuple[Facts, set[str]]:
    """Facts about the parameters from all calls of `name`; and those that are folded away."""
    parameters = [a.arg for a in function.args.args][1 if method else 0 :]
    count = len(function.args.defaults)
    defaults = dict(zip(parameters[len(parameters) - count :], function.args.defaults, strict=True))
    values: dict[str, list[Any]] = {parameter: [] for parameter in parameters}
    for call in _calls(name, texts):
        given = dict(zip(parameters, call.args, strict=False))
        given |= {str(k.arg): k.value for k in call.keywords}
        for parameter in parameters:
            node = given.get(parameter, defaults.get(parameter))
            values[parameter].append(_value(node, method=method))
    facts: Facts = {}
    for parameter, found in values.items():
        fact = _common(found, defaults.get(parameter))
        if fact is not None:
            facts[parameter] = fact[0]
    dropped = {p for p, fact in facts.items() if fact is not PRESENT and not isinstance(fact, Known)}
    return facts, dropped


def _always_given(
    name: str, function: ast.FunctionDef, texts: Iterable[str]
) -> frozenset[str]:
    """Parameters of a constructor that every call gives."""
    parameters = [a.arg for a in function.args.args][1:]
    given = [
        {*parameters[: len(call.args)], *(str(k.arg) for k in call.keywords)}
        for call in _calls(name, texts)
    ]
    return frozenset(set.intersection(*given)) if given else frozenset()


def _calls(name: str, texts: Iterable[str]) -> Iterable[ast.Call]:
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == name:
                    yield node
                elif node.func.id == "partial" and ast.unparse(node.args[0]) == name:
                    yield ast.Call(node.func, [], node.keywords)
            elif isinstance(node, ast.Call) and any(isinstance(a, ast.Name) and a.id == name for a in node.args):
                yield ast.Call(node.func, [], [])  # handed on, e.g. to Module.apply


def _value(node: ast.expr | None, *, method: bool) -> Any:  # noqa: ANN401 - any constant
    """A constant, an expression that means the same everywhere, PRESENT, or unknown (...)."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return ast.literal_eval(node)
    if method and isinstance(node, ast.Name | ast.Attribute):
        return Expr(ast.unparse(node))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return Known((ast.literal_eval(node.left) ** ast.literal_eval(node.right),))
    return PRESENT if method and isinstance(node, ast.Call) else ...


def _common(values: list[Any], default: ast.expr | None) -> tuple[Any] | None:
    """The fact that all uses share, in a tuple, or None."""
    if not values or ... in values:
        return None
    numbers = _numbers(values)
    first = values[0]
    switch = first is None or isinstance(first, bool | str | Expr)
    usual = isinstance(default, ast.Constant) and default.value == first
    if all(type(v) is type(first) and v == first for v in values) and first is not PRESENT and (switch or usual):
        return (first,)
    if numbers is not None:
        return (Known(numbers),)
    if all(v is PRESENT or isinstance(v, Expr) or (v not in (None, False) and v != 0) for v in values):
        return (PRESENT,)
    return None


def _numbers(values: list[Any]) -> tuple[Any, ...] | None:
    """The numbers that an argument is given, if it is given nothing else."""
    found: list[Any] = []
    for value in values:
        found += value.values if isinstance(value, Known) else [value]
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
    return tuple(found) if plain else None


def _forward_facts(
    function: ast.FunctionDef, uses: list[dict[str, Any]]
) -> tuple[Facts, frozenset[str]]:
    """Facts about what forward is given beside its input, and what it is always given."""
    facts: Facts = {}
    required = set()
    for arg in function.args.args[2:]:
        given = [use.get(arg.arg) for use in uses]
        if not any(given):
            facts[arg.arg] = None
        elif all(given):
            required.add(arg.arg)
            if all(g == "tensor" for g in given):
                facts[arg.arg] = PRESENT
    return facts, frozenset(required)


def _lost_parameters(before: str, after: str) -> set[str]:
    """Parameters of a function or constructor that folding found unread."""
    return _parameters(before) - _parameters(after)


def _parameters(source: str) -> set[str]:
    tree = ast.parse(source).body[0]
    if isinstance(tree, ast.ClassDef):
        methods = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return {a.arg for m in methods for a in m.args.args}
    assert isinstance(tree, ast.FunctionDef)
    return {a.arg for a in tree.args.args}


# The file


def _base_first(texts: list[str]) -> list[str]:
    """Base classes before those that inherit from them; else the order stays."""
    bases = [text for text in texts if text.startswith("class TiedModule")]
    return [texts[0], *bases, *(t for t in texts[1:] if t not in bases)]


def _import_lines(body: str, known: Mapping[str, str], library: list[str]) -> str:
    """The imports that a body needs, grouped and sorted as usual."""
    lines = {line for name, line in known.items() if name in names_in(body) and "__future__" not in line}
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
