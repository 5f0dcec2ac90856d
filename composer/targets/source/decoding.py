"""The class of a model for decoding: what depends on the growing input, step by step."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from composer.graph.graph import Input, Output, Part, Stack

from .model import constructions, run
from .plan import Plan, axes_text
from .writing import call, docstring

SOURCES, HELD = "sources", "held"


def decoding_class(plan: Plan) -> str:
    """The source of a model that is run step by step.

    Its `sources` gives what does not depend on the growing input; its `forward` takes the new
    tokens, these values and the cache, and gives scores.
    """
    assert plan.decoding is not None
    once = [
        line for part in _in_order(plan) if not plan.steps(part.name) for line in run(part, plan)
    ]
    each = [line for part in _in_order(plan) if plan.steps(part.name) for line in _step(part, plan)]
    kept = _kept(once, each, plan)
    lines = [f"class {plan.classes['model']}(nn.Module):"]
    lines += docstring(f"{plan.graph.title}, decoded step by step.", 4)
    lines += ["", "    def __init__(self) -> None:", "        super().__init__()"]
    lines += [f"        {line}" for line in constructions(plan)]
    lines += ["", *_sources(once, kept, plan), "", *_forward(each, kept, plan)]
    return "\n".join(lines) + "\n"


def _in_order(plan: Plan) -> Iterator[Part]:
    """The parts as they run; of stacks in step the first stands for all."""
    done: set[str] = set()
    for part in plan.graph.parts.values():
        if part.name not in done:
            yield part
        done |= {part.name, *(part.lockstep if isinstance(part, Stack) else ())}


def _step(part: Part, plan: Plan) -> Iterator[str]:
    if isinstance(part, Input) and isinstance(part.padding, int):
        real = f"{part.name} != {part.padding}"
        yield f'{part.name}_mask = cache.extend("{part.name}_mask", {real}, 1)'
    elif isinstance(part, Output) and part.head is None:
        return
    else:
        yield from run(part, plan)


def _kept(once: list[str], each: list[str], plan: Plan) -> list[str]:
    """Names of the values that a step reads of what is made once."""
    made = [*_names(once, ast.Store), *(n for i in _given(plan) for n in _arguments(i))]
    read = _names(each, ast.Load)
    return sorted(set(made) & set(read))


def _names(lines: list[str], context: type[ast.expr_context]) -> Iterator[str]:
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            yield node.id


def _given(plan: Plan) -> list[Input]:
    """Inputs that do not grow."""
    return [item for item in plan.graph.inputs if not plan.steps(item.name)]


def _arguments(item: Input) -> Iterator[str]:
    yield item.name
    if item.padding == "mask":
        yield f"{item.name}_mask"


def _signature(items: list[Input]) -> list[str]:
    masked = [item for item in items if item.padding == "mask"]
    return [
        *(f"{item.name}: Tensor" for item in items),
        *(f"{item.name}_mask: Tensor | None = None" for item in masked),
    ]


def _sources(once: list[str], kept: list[str], plan: Plan) -> list[str]:
    assert plan.decoding is not None
    lines = call(f"def {SOURCES}", ["self", *_signature(_given(plan))], 4, " -> dict[str, Any]:")
    lines += docstring(f"What does not depend on `{plan.decoding.tokens}`, by name.", 8)
    lines += [f"        {line}" for line in once]
    return [*lines, *call("return dict", [f"{name}={name}" for name in kept], 8)]


def _forward(each: list[str], kept: list[str], plan: Plan) -> list[str]:
    assert plan.decoding is not None
    grown = plan.graph.parts[plan.decoding.tokens]
    assert isinstance(grown, Input)
    tokens, *mask = _signature([grown])
    parts = ["self", tokens, f"{HELD}: dict[str, Any]", "cache: Cache", *mask]
    lines = call("def forward", parts, 4, " -> Tensor:")
    shape = axes_text(plan.graph.outputs[0].value.shape)
    text = f"{grown.name} (batch, new steps) -> {shape} of these steps."
    if mask:
        text += (
            f"\n\n{grown.name}_mask (batch, all steps): True for real tokens, False for padding."
        )
    lines += docstring(text, 8)
    lines += [f'        {name} = {HELD}["{name}"]' for name in kept]
    lines += [f"        {line}" for line in each]
    return [*lines, f"        return {plan.decoding.output}"]
