"""The class of a stack."""

from __future__ import annotations

from collections.abc import Iterator

from composer.graph.graph import Stack, State

from .forward import StackText, outside_name
from .layers import arguments_of
from .plan import Plan, axes_text, local, memory_mask, reads_of
from .writing import WIDTH, assign, cached_constructor, call, condition, constructor, docstring


def stack_class(stack: Stack, plan: Plan) -> str:
    """The source of a stack's class."""
    name = plan.classes[stack.name]
    lines = [f"class {name}(nn.Module):", *docstring(_summary(stack), 4), ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    if stack.embed is not None:
        make = cached_constructor if plan.steps(stack.name) else constructor
        lines += assign(f"self.{stack.embed.name}", make(stack.embed.placed))
    for table in stack.tables:
        lines += assign(f"self.{table.name}", constructor(table.placed))
    for memory in stack.memories:
        for node in (memory.mix, *memory.projects):
            if node is not None:
                lines += assign(f"self.{node.name}", constructor(node.placed))
    lines += [f"        {line}" for line in _layer_list(stack, plan)]
    if stack.final_norm is not None:
        lines += assign(f"self.{stack.final_norm.name}", constructor(stack.final_norm.placed))
    if stack.lockstep:
        return "\n".join(lines) + "\n"
    return "\n".join([*lines, "", *_forward(stack, plan)]) + "\n"


def _summary(stack: Stack) -> str:
    sets = len(set(stack.layer_sets))
    count = len(stack.layers)
    layers = f"{count} layer{'s' if count > 1 else ''} of width {stack.width}"
    if sets < count:
        layers += ", one set of weights" if sets == 1 else f", {sets} sets of weights"
    step = ""
    if stack.lockstep:
        others = " and ".join(f"`{name}`" for name in stack.lockstep if name != stack.name)
        step = f"; it runs in step with {others}, in the model's forward"
    return f"{stack.role.title()} of {layers}{step}."


def _layer_list(stack: Stack, plan: Plan) -> list[str]:
    """The ModuleList of the layers."""
    count = len(stack.layers)
    every = count // len(set(stack.layer_sets))
    groups = _groups(stack, plan)
    if stack.first or stack.layer_sets != tuple(n - n % every for n in range(count)):
        return _numbered(stack, groups)
    if every == count and count > 1:
        return [f"layer = {next(iter(groups))}", f"self.layers = nn.ModuleList([layer] * {count})"]
    numbered = len(groups) > 1
    if every > 1:
        made = _choice(groups, count)
        steps = f"range(0, {count}, {every})" if numbered else f"range({count // every})"
        return [
            f"layers = [{made} for {'i' if numbered else '_'} in {steps}]",
            f"self.layers = nn.ModuleList(layers[i // {every}] for i in range({count}))",
        ]
    if len(groups) > 2 and count <= 12:  # noqa: PLR2004 - a list reads better than nested tests
        names = [next(name for name, ns in groups.items() if n in ns) for n in range(count)]
        return call("self.layers = nn.ModuleList", [f"[{', '.join(names)}]"], 0)
    made, steps = _choice(groups, count), f"for {'i' if numbered else '_'} in range({count})"
    line = f"self.layers = nn.ModuleList({made} {steps})"
    if len(line) + 8 <= WIDTH:
        return [line]
    inner = [f"    {made} {steps}"]
    inner = inner if len(inner[0]) + 8 <= WIDTH else [f"    {made}", f"    {steps}"]
    if len(inner[0]) + 8 > WIDTH:
        broken = made.replace(" if ", "\nif ").replace(" else ", "\nelse ").split("\n")
        inner = [f"    {line}" for line in [*broken, steps]]
    return ["self.layers = nn.ModuleList(", *inner, ")"]


def _numbered(stack: Stack, groups: dict[str, list[int]]) -> list[str]:
    """The layers of a stack that is cut, under their numbers in the whole stack."""
    count = len(stack.layers)
    first = [f"first={stack.first}"] if stack.first else []
    owners = [n for n, owner in enumerate(stack.layer_sets) if n == owner]
    if len(owners) == count:
        numbered = "i" if len(groups) > 1 else "_"
        made = f"({_choice(groups, count)} for {numbered} in range({count}))"
        return call("self.layers = NumberedLayers", [made, *first], 0)
    names = [next(name for name, ns in groups.items() if n in ns) for n in owners]
    places = ", ".join(f"layers[{owners.index(owner)}]" for owner in stack.layer_sets)
    return [
        f"layers = [{', '.join(names)}]",
        *call("self.layers = NumberedLayers", [f"[{places}]", *first], 0),
    ]


def _groups(stack: Stack, plan: Plan) -> dict[str, list[int]]:
    """Constructors of the layers, and the numbers of the layers that each makes."""
    groups: dict[str, list[int]] = {}
    for number, layer in enumerate(stack.layers):
        groups.setdefault(f"{plan.classes[id(layer.kind)]}()", []).append(number)
    return groups


def _choice(groups: dict[str, list[int]], count: int) -> str:
    """The constructor of layer `i`."""
    *some, last = list(groups)
    text = last
    for name in reversed(some):
        text = f"{name} if {condition(groups[name], count)} else {text}"
    return text


def _forward(stack: Stack, plan: Plan) -> list[str]:
    text = StackText(stack, plan)
    source = local(stack.source.part, plan.graph) if stack.embed is not None else "x"
    body = [*text.before(source), *text.loop(), *text.after()]
    results = results_of(stack, plan)
    shape = axes_text(stack.value.shape)
    parts = [
        "self",
        f"{source}: Tensor",
        *(f"{n}: {kind}" for n, kind in parameters_of(stack, plan)),
    ]
    parts += ["cache: Cache"] if plan.steps(stack.name) else []
    kinds = ["Tensor" if name == text.x else "list[Tensor]" for name in results]
    returns = kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"
    lines = call("def forward", parts, 4, f" -> {returns}:")
    lines += docstring(f"{source} {_source_shape(stack, plan)} -> {shape}.", 8)
    lines += [f"        {line}" for line in body]
    return [*lines, f"        return {', '.join(results)}"]


def _source_shape(stack: Stack, plan: Plan) -> str:
    return axes_text(plan.graph.values[stack.source].shape)


def results_of(stack: Stack, plan: Plan) -> list[str]:
    """What a stack returns, by its own names: its last state, all states, weights."""
    text = StackText(stack, plan)
    states = ["x"] if stack.result_read else []
    states += ["states"] if text.keeps_states and _read_outside(stack, plan) else []
    return [*states, *(text.weights(branch) for branch in text.weight_branches())]


def _read_outside(stack: Stack, plan: Plan) -> bool:
    own = {stack.name}
    for part in plan.graph.parts.values():
        if part.name in own:
            continue
        for state in reads_of(part):
            if state.part == stack.name and state.layer is not None and not state.item:
                return True
    return False


def parameters_of(stack: Stack, plan: Plan) -> list[tuple[str, str]]:
    """What a stack's forward takes beside its source: names and annotations."""
    found: dict[str, str] = {}
    for layer in stack.layers:
        for state in layer.reads.values():
            if state.part not in {"", stack.name}:
                found.update([_parameter(state, plan)])
    for memory in stack.memories:
        for state in memory.sources:
            found.update([_parameter(state, plan)])
    for name in _paddings(stack, plan):
        found[name] = "Tensor" if plan.masks.get(name) == "tensor" else "Tensor | None"
    return list(found.items())


def _parameter(state: State, plan: Plan) -> tuple[str, str]:
    if state.layer is not None:
        return f"{state.part}_states", "list[Tensor]"
    return outside_name(state, plan.graph), "Tensor"


def _paddings(stack: Stack, plan: Plan) -> Iterator[str]:
    """Padding masks that the stack's masks are made of."""
    graph = plan.graph
    for memory in stack.memories:
        if memory.value.mask is not None and memory.mix is None:
            yield from (m for s in memory.sources if (m := graph.values[State(s.part)].mask))
    for kind in stack.kinds:
        for key, _ in arguments_of(kind, stack, plan).sides.values():
            if not isinstance(key, tuple):
                continue
            over = key[0]
            own = over in {"x", "padding"}
            name = stack.value.mask if own else memory_mask(graph, stack, over)
            made = {memory.value.mask for memory in stack.memories if memory.mix is None}
            if name is not None and name not in made:
                yield name
