"""`compress` in emitted source: a function that changes a model when its weights are there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from composer.graph.graph import Compression, Graph, Stack

from .freezing import attribute, layers_of
from .plan import Plan
from .writing import call, docstring, literal


def compress_function(plan: Plan) -> list[str]:
    """The text of `compress(model)`, if there is something to write."""
    graph = plan.graph
    emitted = [each for each in graph.compressions if each.places and each.options.function]
    if not emitted:
        return []
    data = any("batches" in each.options.reads for each in emitted)
    lines = [*call("def compress", _parameters(plan, data=data), 0, " -> None:")]
    marks = ", ".join(dict.fromkeys(each.options.mark for each in emitted))
    about = f"Makes a model smaller, in place, when its weights are there: {marks}."
    if data:
        about += "\n\n`batches` are inputs of the model by name, for the scales of what maps read."
    lines += docstring(about, 4)
    for each in emitted:
        lines += [f"    {line}" for line in _statements(each, graph)]
    return ["\n".join(lines) + "\n"]


def _parameters(plan: Plan, *, data: bool) -> list[str]:
    batches = ["batches: Iterable[Mapping[str, Tensor]]"] if data else []
    return [f"model: {plan.classes['model']}", *batches]


def _statements(each: Compression, graph: Graph) -> Iterator[str]:
    """The linear maps of a pass in a list, and the call that changes them."""
    loops: dict[tuple[str, str], list[int]] = {}
    single: list[str] = []
    for path in each.places:
        found = re.fullmatch(r"(\w+)\.layers\.(\d+)\.(.+)", path)
        if found:
            loops.setdefault((found[1], found[3]), []).append(int(found[2]))
        else:
            single.append(f"model{attribute(path)}")
    yield from _list("linears = [", single)
    grouped: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (name, inner), numbers in loops.items():
        grouped.setdefault((name, tuple(numbers)), []).append(f"layer{attribute(inner)}")
    for (name, chosen), inside in grouped.items():
        stack = graph.parts[name]
        assert isinstance(stack, Stack), "only stacks have layers"
        layers = layers_of(stack, chosen).replace("self.", "model.")
        yield f"for layer in {layers}:"
        yield from (f"    {line}" for line in _list("linears += [", inside))
    more = [
        *each.options.reads,
        *(f"{k}={literal(v)}" for k, v in each.options.arguments().items()),
    ]
    yield from call(each.options.function, ["linears", *more], 0)


def _list(head: str, items: list[str]) -> Iterator[str]:
    """`head items]` on one line, or one item a line."""
    one = f"{head}{', '.join(items)}]"
    if len(one) <= 88:  # noqa: PLR2004 - what fits after the indentation
        yield one
        return
    yield head
    yield from (f"    {item}," for item in items)
    yield "]"
