"""The class of the model: its parts, what they share, and its forward."""

from __future__ import annotations

from collections.abc import Iterator

from composer.components.component import Component
from composer.graph.graph import Graph, Input, Module, Output, Stack, State

from .adapting import adapters
from .forward import StackText
from .freezing import freeze
from .layers import mask_key
from .plan import Given, Plan, axes_text, local, several, variable
from .stacks import parameters_of, results_of
from .ties import module_ties, weight_ties
from .writing import WIDTH, call, constructor, docstring, literal


def output_class(plan: Plan) -> str:
    """The named tuple that the model returns."""
    graph = plan.graph
    lines = [
        f"class {plan.classes['output']}(NamedTuple):",
        *docstring(f"What {plan.classes['model']} returns.", 4),
        "",
    ]
    for output in graph.outputs:
        several = bool(output.layers)
        kind = "list[Tensor]" if several else "Tensor"
        note = ", one a layer" if several else ""
        lines.append(f"    {output.name}: {kind}  # {axes_text(output.value.shape)}{note}")
    return "\n".join(lines) + "\n"


def model_class(plan: Plan) -> str:
    """The source of the model's class."""
    graph = plan.graph
    weights = weight_ties(graph)
    base = "TiedModule" if weights else "nn.Module"
    lines = [f"class {plan.classes['model']}({base}):", *docstring(_about(graph), 4), ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    lines += [f"        {line}" for line in constructions(plan)]
    lines += [f"        {line}" for line in module_ties(graph)]
    start = graph.initialization
    if start.component.kind != "torch":
        function = _initialization(start.component, start.component.arguments(start.axes))
        lines.append(f"        self.apply({function})")
    if weights:
        lines.append("        self.tie_weights()")
    lines += [f"        {line}" for line in [*freeze(graph), *adapters(graph)]]
    if weights:
        lines += ["", "    def tie_weights(self) -> None:"]
        lines += docstring("Gives one tensor its several names.", 8)
        lines += [f"        {line}" for line in weights]
    return "\n".join([*lines, "", *_forward(plan)]) + "\n"


def _about(graph: Graph) -> str:
    text = graph.description or f"{graph.title}."
    return text + (f"\n\n{', '.join(graph.cite)}." if graph.cite else "")


def _initialization(component: Component, arguments: dict[str, object]) -> str:
    defaults = {name: field.default for name, field in type(component).model_fields.items()}
    changed = [f"{n}={literal(v)}" for n, v in arguments.items() if defaults.get(n) != v]
    name = component.module
    return f"partial({name}, {', '.join(changed)})" if changed else name


def constructions(plan: Plan) -> Iterator[str]:
    """Statements that make the parts of a model."""
    for part in plan.graph.parts.values():
        if isinstance(part, Stack):
            yield f"self.{part.name} = {plan.classes[part.name]}()"
        elif isinstance(part, Module):
            if not _inline(part):
                more = {"return_weights": True} if part.returns_weights else {}
                yield f"self.{part.name} = {constructor(part.node.placed, **more)}"
            for table in part.tables.values():
                yield f"self.{table.name} = {constructor(table.placed)}"
        elif isinstance(part, Output) and part.head is not None:
            yield f"self.{part.name} = {constructor(part.head.placed)}"


def _inline(module: Module) -> bool:
    some = {port.name: ["a"] for port in module.node.component.parsed.inputs}
    return module.node.component.expression(some, module.node.placed.axes) is not None


def _forward(plan: Plan) -> list[str]:
    graph = plan.graph
    parts = ["self", *(f"{item.name}: Tensor" for item in graph.inputs)]
    optional = [item for item in graph.inputs if item.padding == "mask"]
    parts += [f"{item.name}_mask: Tensor | None = None" for item in optional]
    lines = call("def forward", parts, 4, f" -> {plan.classes['output']}:")
    lines += docstring(_shapes(graph, optional), 8)
    done: set[str] = set()
    for part in graph.parts.values():
        if part.name not in done:
            lines += [f"        {line}" for line in run(part, plan)]
        done |= {part.name, *(part.lockstep if isinstance(part, Stack) else ())}
    return [*lines, *_return(plan)]


def _shapes(graph: Graph, optional: list[Input]) -> str:
    inputs = ", ".join(f"{item.name} {axes_text(item.value.shape)}" for item in graph.inputs)
    outputs = ", ".join(f"{out.name} {axes_text(out.value.shape)}" for out in graph.outputs)
    text = f"{inputs} -> {outputs}."
    if optional:
        names = " and ".join(f"{item.name}_mask" for item in optional)
        text += f"\n\n{names} (batch, time): True for real tokens, False for padding."
    return text


def _return(plan: Plan) -> list[str]:
    values, graph = [], plan.graph
    for output in graph.outputs:
        if output.head is not None:
            values.append(f"{output.name}={local(output.name, graph)}")
        elif output.layers:
            values.append(f"{output.name}={_listed(output, plan)}")
        else:
            values.append(f"{output.name}={variable(output.source, graph)}")
    return call(f"return {plan.classes['output']}", values, 8)


def _listed(output: Output, plan: Plan) -> str:
    """The list of the values of an output that has several."""
    first, *others = several(output.layers, plan.graph)
    if not others and first.startswith("*"):
        return first[1:]
    return f"[{', '.join([first, *others])}]"


def run(part: Input | Stack | Module | Output, plan: Plan) -> Iterator[str]:
    """Statements that compute a part in forward; of stacks in step, those of all of them."""
    if isinstance(part, Input):
        if isinstance(part.padding, int):
            yield f"{part.name}_mask = {part.name} != {part.padding}"
    elif isinstance(part, Stack):
        yield from _run_together(part, plan) if part.lockstep else _run_stack(part, plan)
    elif isinstance(part, Module):
        yield from _run_module(part, plan)
    elif part.head is not None:
        given: dict[str, Given] = {}
        arguments = [variable(part.source, plan.graph)]
        arguments += _padding(
            part.head.placed.component.masks(part.head.placed.axes), part.source, plan, given
        )
        plan.use(part.head.placed, given)
        yield f"{local(part.name, plan.graph)} = self.{part.name}({', '.join(arguments)})"


def _padding(masks: object, state: State, plan: Plan, given: dict[str, Given]) -> list[str]:
    """The padding mask as an argument, for what takes it as it is."""
    mask = plan.graph.values[State(state.part)].mask
    if not masks or mask is None:
        return []
    given["mask"] = plan.masks.get(mask, "maybe")
    return [f"mask={mask}"]


def _run_stack(stack: Stack, plan: Plan) -> Iterator[str]:
    arguments = [
        variable(stack.source, plan.graph),
        *(name for name, _ in parameters_of(stack, plan)),
    ]
    arguments += [f'cache["{stack.name}"]'] if plan.steps(stack.name) else []
    x = local(stack.name, plan.graph)
    names = [x if n == "x" else f"{stack.name}_{n}" for n in results_of(stack, plan)]
    yield from call(f"{', '.join(names)} = self.{stack.name}", arguments, 0)


def _run_together(stack: Stack, plan: Plan) -> Iterator[str]:
    """Stacks in step: one loop over the layers of all."""
    texts = []
    for name in stack.lockstep:
        member = plan.graph.parts[name]
        assert isinstance(member, Stack)
        x = local(name, plan.graph)
        texts.append(StackText(member, plan, x=x, holder=f"self.{name}", prefix=f"{name}_"))
    for text in texts:
        yield from text.before(variable(text.stack.source, plan.graph))
    layers = [f"{text.stack.name}_layer" for text in texts]
    calls = [text.calls(layer) for text, layer in zip(texts, layers, strict=True)]
    walk = f"zip({', '.join(f'self.{text.stack.name}.layers' for text in texts)})"
    numbered = any(len(c) > 1 or "[i" in c[0][1] or "i]" in c[0][1] for c in calls)
    head = f"i, ({', '.join(layers)})" if numbered else ", ".join(layers)
    line = f"for {head} in {f'enumerate({walk})' if numbered else walk}:"
    if len(line) + 8 > WIDTH:
        yield f"layers = {walk}"
        line = f"for {head} in {'enumerate(layers)' if numbered else 'layers'}:"
    yield line
    yield from (f"    {line}" for line in _steps(texts, calls))
    for text in texts:
        yield from text.after()


def _steps(
    texts: list[StackText], calls: list[list[tuple[list[int], str, tuple[str, ...]]]]
) -> Iterator[str]:
    """Every stack reads the others' states as they were before the step."""
    names = [text.x for text in texts]
    if any(text.follows() for text in texts):
        for text, found in sorted(
            zip(texts, calls, strict=True), key=lambda pair: pair[0].follows()
        ):
            yield from text.steps(found, text.x)
        return
    simple = all(len(c) == 1 and not c[0][2] for c in calls)
    together = f"{', '.join(names)} = {', '.join(c[0][1] for c in calls)}"
    if simple and len(together) <= 84:  # noqa: PLR2004 - what fits after the indentation
        yield together
        for text in texts:
            if text.keeps_states:
                yield f"{text.states}.append({text.x})"
        return
    for text, found in zip(texts, calls, strict=True):
        lines = text.steps(found, f"next_{text.x}")
        yield from lines
    yield f"{', '.join(names)} = {', '.join(f'next_{name}' for name in names)}"


def _run_module(module: Module, plan: Plan) -> Iterator[str]:
    component, placed = module.node.component, module.node.placed
    values = {p: [variable(s, plan.graph) for s in states] for p, states in module.reads.items()}
    inputs = {p: found if component.many and p == "xs" else found[0] for p, found in values.items()}
    inline, name = component.expression(inputs, placed.axes), local(module.name, plan.graph)
    if inline is not None:
        yield f"{name} = {inline}"
    else:
        arguments: list[str] = []
        given: dict[str, Given] = {}
        for port, found in values.items():
            first = port == next(iter(values)) or component.many
            arguments += found if first else [f"{port}={found[0]}"]
            if not first:
                given[port] = "tensor"
        yield from _module_masks(module, plan, arguments, given)
        for argument, table in module.tables.items():
            arguments.append(f"{argument}=self.{table.name}({arguments[0]})")
            given[argument] = "tensor"
        plan.use(placed, given)
        results = name + (f", {module.name}_weights" if module.returns_weights else "")
        yield from call(f"{results} = self.{module.name}", arguments, 0)
    if module.value.mask == f"{module.name}_mask":
        states = next(iter(module.reads.values()))
        masks = [str(plan.graph.values[State(s.part)].mask) for s in states]
        made = component.mask_after(masks, next(iter(values.values())))
        assert made is not None, "a mask of its own is made by its component"
        yield from call(f"{module.name}_mask = {made[0]}", made[1], 0)


def _module_masks(
    module: Module, plan: Plan, arguments: list[str], given: dict[str, Given]
) -> Iterator[str]:
    """Masks of a module that attends or pools."""
    placed = module.node.placed
    for argument, mask in placed.component.masks(placed.axes).items():
        port = "memory" if mask.over == "memory" else next(iter(module.reads))
        state = module.reads[port][0]
        padding = plan.graph.values[State(state.part)].mask
        if mask.over == "padding":
            arguments += _padding([mask], state, plan, given)
            continue
        if padding is None and mask.window is None:
            continue
        _, causal, window = mask_key(mask, (port,))
        parts = [arguments[0], *([f"padding={padding}"] if padding else [])]
        parts += ["causal=True"] if causal else []
        parts += [f"window={window}"] if window is not None else []
        yield from call(f"{module.name}_attention_mask = attention_mask", parts, 0)
        given[argument] = "tensor" if window is not None else plan.masks.get(str(padding), "maybe")
        arguments.append(f"{argument}={module.name}_attention_mask")
