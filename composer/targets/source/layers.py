"""The class of a layer: its branches normed, run and added back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from composer.components.component import Mask
from composer.graph.graph import Body, Branch, LayerKind, Node, Skip, Stack
from composer.shapes import symbol

from .plan import Given, Plan, axes_text, memory_mask
from .writing import WIDTH, assign, cached_constructor, call, constructor, docstring, literal

Side = tuple[str, bool, int | None]
"""What a stack makes once for its layers: which kind of mask or table, and its options."""


@dataclass
class LayerArguments:
    """What a layer takes beside the state: argument names, and what the stack passes for each."""

    reads: tuple[str, ...]
    sides: dict[str, tuple[object, Given]] = field(default_factory=dict)
    types: dict[object, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Names in the order of the signature."""
        return [*self.reads, *self.sides]


def mask_key(mask: Mask, reads: tuple[str, ...]) -> tuple[str, bool, int | None]:
    """What tells one mask of a stack from another."""
    over = reads[0] if mask.over == "memory" else mask.over
    return (over, mask.causal, mask.window)


def body_sides(body: Body, stack: Stack, plan: Plan) -> Iterator[tuple[str, object, Given]]:
    """Masks and tables that a body is given: argument of forward, what it is, if it may be None."""
    placed = body.node.placed
    for argument, mask in placed.component.masks(placed.axes).items():
        padding = stack.value.mask
        if mask.over == "memory":
            padding = memory_mask(plan.graph, stack, body.reads[0])
        stepping = plan.steps(stack.name) and mask.causal
        if padding is None and (mask.window is None or mask.over != "x") and not stepping:
            continue
        given: Given = plan.masks.get(padding or "", "maybe")
        if mask.window is not None and not stepping:
            given = "tensor"
        yield argument, mask_key(mask, body.reads), given
    for argument, table in placed.component.tables(placed.axes).items():
        yield argument, stack.table_name(table), "tensor"


def arguments_of(kind: LayerKind, stack: Stack, plan: Plan) -> LayerArguments:
    """The arguments of a layer of this kind."""
    found = LayerArguments(kind.arguments)
    for branch in kind.branches:
        for body in branch.bodies:
            for argument, key, given in body_sides(body, stack, plan):
                found.sides.setdefault(side_name(argument, key, found), (key, given))
            for table in body.node.placed.component.tables(body.node.placed.axes).values():
                single = len(table.outputs) == 1
                name = stack.table_name(table)
                found.types[name] = "Tensor" if single else "tuple[Tensor, Tensor]"
    return found


def side_name(argument: str, key: object, arguments: LayerArguments) -> str:
    """What a layer calls a mask or table; a second one of the same use gets a name of its own."""
    if argument == "mask" and isinstance(key, tuple):
        over, _, window = key
        wanted = {"x": "mask", "padding": "padding"}.get(over, f"{over}_mask")
        if arguments.sides.get(wanted, (key,))[0] != key:
            wanted = f"window_{window}_mask" if window is not None else f"full_{wanted}"
        return wanted
    if arguments.sides.get(argument, (key,))[0] == key:
        return argument
    return f"{argument}_{sum(name.startswith(argument) for name in arguments.sides) + 1}"


def layer_class(kind: LayerKind, stack: Stack, plan: Plan, name: str) -> str:
    """The source of a layer's class, called `name`."""
    arguments = arguments_of(kind, stack, plan)
    lines = [f"class {name}(nn.Module):", *docstring(_summary(kind), 4), ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    for node in _held(kind):
        more = {"return_weights": True} if node.name in kind.weights else {}
        made = constructor(node.placed, **more)
        if plan.steps(stack.name):
            made = cached_constructor(node.placed)
        lines += assign(f"self.{node.name}", made)
    rates = {branch.dropout for branch in kind.branches if branch.dropout}
    for rate in sorted(rates):
        lines.append(f"        self.{_dropout(rate, rates)} = nn.Dropout({literal(rate)})")
    signature = _signature(kind, arguments, with_cache=plan.steps(stack.name))
    lines += ["", *signature, *docstring(_shapes(stack), 8)]
    for skip in kind.skips:
        lines += _skip(skip)
    for branch in kind.branches:
        lines += _branch(branch, stack, plan, arguments, rates)
    results = ["x", *(f"{name}_weights" for name in kind.weights)]
    return "\n".join([*lines, f"        return {', '.join(results)}"]) + "\n"


def names_given(kind: LayerKind, stack: Stack, plan: Plan) -> tuple[frozenset[str], ...]:
    """Of each branch, the names that it gives, which hold what they name as the layer goes on."""
    arguments = arguments_of(kind, stack, plan)
    rates = {branch.dropout for branch in kind.branches if branch.dropout}
    texts = (_branch(branch, stack, plan, arguments, rates) for branch in kind.branches)
    return tuple(
        frozenset(re.findall(r"^ {8}(\w+)(?:, \w+)? = ", "\n".join(t), re.MULTILINE)) - {"x"}
        for t in texts
    )


def _held(kind: LayerKind) -> Iterator[Node]:
    """Components that are modules of the layer, not plain expressions."""
    for node in kind.nodes():
        component = node.component
        if component.expression(_some(component.parsed.inputs), node.placed.axes) is None:
            yield node


def _some(ports: object) -> dict[str, list[str]]:
    return {port.name: ["a", "b"] for port in ports}  # type: ignore[attr-defined]


def _summary(kind: LayerKind) -> str:
    words = []
    for branch in kind.branches:
        names = [body.node.name.replace("_", "-") for body in branch.bodies]
        words.append(" beside ".join(names))
    norms = {b.placement for b in kind.branches if b.norm or any(x.norm for x in b.bodies)}
    placement = f"; {norms.pop()}-norm" if len(norms) == 1 else ""
    text = ", ".join(words)
    return f"{text[:1].upper()}{text[1:]}{placement}."


def _signature(kind: LayerKind, arguments: LayerArguments, *, with_cache: bool) -> list[str]:
    parts = ["self", "x: Tensor", *(f"{name}: Tensor" for name in arguments.reads)]
    for name, (key, given) in arguments.sides.items():
        kind_ = arguments.types.get(key, "Tensor")
        parts.append(f"{name}: {kind_}{' | None' if given == 'maybe' else ''}")
    parts += ["cache: Cache"] if with_cache else []
    count = len(kind.weights)
    returns = "Tensor" if not count else f"tuple[{', '.join(['Tensor'] * (count + 1))}]"
    return call("def forward", parts, 4, f" -> {returns}:")


def _shapes(stack: Stack) -> str:
    time = stack.value.shape[1]
    shape = axes_text(
        (stack.value.shape[0], time if isinstance(time, int) else symbol("time"), stack.width)
    )
    return f"x {shape} -> {shape}."


def _dropout(rate: float, rates: set[float]) -> str:
    return "dropout" if len(rates) == 1 else f"dropout_{sorted(rates).index(rate) + 1}"


def _skip(skip: Skip) -> list[str]:
    lines = []
    name = skip.argument
    if skip.resample:
        lines.append(f"        {name} = resample({name}, like=x)")
    if skip.project is not None:
        lines.append(f"        {name} = self.{skip.project.name}({name})")
    merged = merge(skip.combine, "x", ["x", name])
    return [*lines, f"        x = {merged}"]


def merge(node: Node, query: str, values: list[str]) -> str:
    """The expression that makes one value of several."""
    component = node.component
    inline = component.expression({"xs": values}, node.placed.axes)
    if inline is not None:
        return inline
    first = [query] if component.parsed.inputs[0].name == "query" else []
    return f"self.{node.name}({', '.join([*first, *values])})"


@dataclass(frozen=True)
class _Step:
    """One call around what came before; `extra` are its further arguments."""

    function: str
    extra: tuple[str, ...] = ()

    def around(self, inner: str) -> str:
        if self.function.endswith("*"):
            return f"{self.function[:-1].strip()} * {inner}"
        return f"{self.function}({', '.join((inner, *self.extra))})"


def _branch(
    branch: Branch, stack: Stack, plan: Plan, arguments: LayerArguments, rates: set[float]
) -> list[str]:
    before = [] if branch.norm is None or branch.placement in {"post", "branch"} else [branch.norm]
    after = _after(branch, rates)
    if len(branch.bodies) == 1 and branch.combine is None and not _beside(branch.bodies[0]):
        (body,) = branch.bodies
        extra = _extra(body, stack, plan, arguments)
        steps = [_Step(f"self.{norm.name}") for norm in before]
        steps.append(_Step(f"self.{body.node.name}", extra))
        if body.returns_weights:
            return _with_weights(branch, body, steps, after)
        return _chain(branch, "x", steps + after)
    return _several(branch, before, after, stack, plan, arguments)


def _beside(body: Body, read: str = "x") -> str:
    """What adapters beside a component add, as the end of an expression."""
    held = any(adapter.linear == "beside" for adapter in body.node.placed.adapters)
    return f" + self.{body.node.name}.beside({read})" if held else ""


def _after(branch: Branch, rates: set[float]) -> list[_Step]:
    steps = []
    if branch.post_norm is not None:
        steps.append(_Step(f"self.{branch.post_norm.name}"))
    if branch.placement == "branch" and branch.norm is not None:
        steps.append(_Step(f"self.{branch.norm.name}"))
    if branch.gate is not None:
        steps.append(_Step(f"self.{branch.gate.name}"))
    if branch.scale != 1:
        steps.append(_Step(f"{literal(branch.scale)} *"))
    if branch.dropout:
        steps.append(_Step(f"self.{_dropout(branch.dropout, rates)}"))
    return steps


def _extra(body: Body, stack: Stack, plan: Plan, arguments: LayerArguments) -> tuple[str, ...]:
    """Arguments of a body beside the state, as keywords."""
    given: dict[str, Given] = {}
    texts = []
    for port, read in zip(body.node.component.parsed.inputs[1:], body.reads, strict=True):
        given[port.name] = "tensor"
        texts.append(f"{port.name}={read}")
    for argument, key, may in body_sides(body, stack, plan):
        given[argument] = may
        texts.append(f"{argument}={_side(argument, key, arguments)}")
    if plan.steps(stack.name):
        texts += _kept(body)
    plan.use(body.node.placed, given)
    return tuple(texts)


def _kept(body: Body) -> Iterator[str]:
    """Where a body keeps what it needs of earlier steps, and how many of them."""
    placed = body.node.placed
    if placed.component.cached:
        yield f'cache=cache["{body.node.name}"]'
        for mask in placed.component.masks(placed.axes).values():
            if mask.window is not None:
                yield f"window={mask.window}"


def _side(argument: str, key: object, arguments: LayerArguments) -> str:
    return next(
        name
        for name, (known, _) in arguments.sides.items()
        if known == key and _fits(name, argument)
    )


def _fits(name: str, argument: str) -> bool:
    return argument == "mask" or name.startswith(argument)


def _close(branch: Branch, value: str) -> str:
    """The branch's result put back into the state."""
    if branch.residual:
        value = f"x + {value}"
    if branch.placement == "post" and branch.norm is not None:
        value = f"self.{branch.norm.name}({value})"
    return f"        x = {value}"


def _chain(branch: Branch, start: str, steps: list[_Step]) -> list[str]:
    """The steps in one line if it fits, else one statement each."""
    value = start
    for step in steps:
        value = step.around(value)
    one = _close(branch, value)
    if len(one) <= WIDTH and len(steps) <= 4:  # noqa: PLR2004 - deeper nesting is hard to read
        return [one]
    lines, value = [], start
    for step in steps[:-1]:
        lines.append(f"        h = {step.around(value)}")
        value = "h"
    return [*lines, _close(branch, steps[-1].around(value))]


def _with_weights(branch: Branch, body: Body, steps: list[_Step], after: list[_Step]) -> list[str]:
    value = "x"
    for step in steps:
        value = step.around(value)
    first = f"        h, {body.node.name}_weights = {value}"
    return [first, *(_chain(branch, "h", after) if after else [_close(branch, "h")])]


def _several(
    branch: Branch, before: list[Node], after: list[_Step], stack: Stack, plan: Plan,
    arguments: LayerArguments,
) -> list[str]:  # fmt: skip
    """Bodies side by side, or one with adapters beside it."""
    lines, query = [], "x"
    if before:
        lines.append(f"        h = self.{before[0].name}(x)")
        query = "h"
    values = []
    for body in branch.bodies:
        made, value = _value(body, query, stack, plan, arguments)
        lines += made
        values.append(f"({value})" if " + " in value and branch.combine is not None else value)
    if branch.combine is None:
        (merged,) = values
        inline = True
    else:
        merged = merge(branch.combine, query, values)
        plan.use(branch.combine.placed, {})
        inline = "self." + branch.combine.name not in merged
    if inline and not after and branch.residual and " + " in merged and branch.placement != "post":
        one = _close(branch, merged)
        if len(one) <= WIDTH:
            return [*lines, one]
    if len(merged) + 12 > WIDTH and branch.combine is not None:
        for body, value in zip(branch.bodies, values, strict=True):
            if value != body.node.name:
                lines.append(f"        {body.node.name} = {value}")
        merged = merge(branch.combine, query, [body.node.name for body in branch.bodies])
    if inline:
        lines.append(f"        h = {merged}")
        merged = "h"
    return [*lines, *(_chain(branch, merged, after) if after else [_close(branch, merged)])]


def _value(
    body: Body, query: str, stack: Stack, plan: Plan, arguments: LayerArguments
) -> tuple[list[str], str]:
    """Statements before the value of a body, and the expression that gives it."""
    extra, lines = _extra(body, stack, plan, arguments), []
    start = query if body.norm is None else f"self.{body.norm.name}(x)"
    if body.norm is not None and _beside(body):
        lines.append(f"        {body.node.name}_input = {start}")
        start = f"{body.node.name}_input"
    value = _Step(f"self.{body.node.name}", extra).around(start)
    if body.returns_weights:
        lines.append(f"        {body.node.name}, {body.node.name}_weights = {value}")
        value = body.node.name
    beside = _beside(body, start)
    if beside and len(value + beside) + 12 > WIDTH:
        lines.append(f"        {body.node.name} = {value}")
        value = body.node.name
    return lines, value + beside
