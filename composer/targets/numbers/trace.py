"""The calls that a forward pass makes, in order, with the values that each reads and makes.

What a model costs is a sum over its calls: a layer that is applied several times is called several
times, whoever owns its parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from composer.components.placed import Placed
from composer.graph.graph import (
    Body,
    Branch,
    Graph,
    Input,
    Layer,
    Memory,
    Module,
    Node,
    Output,
    Skip,
    Stack,
    State,
)
from composer.shapes import Shape

Value = int
"""A value by its number; values are numbered in the order in which they are made."""


@dataclass(frozen=True)
class Call:
    """One step of a forward pass.

    `path` is its place, such as `decoder.layers.3.attention`, and `holder` the path of the module
    that it uses, another one where layers are shared. `placed` is its component: `operation` is
    `component`, or `table` for what a stack makes once for its layers. Without one, it is `input`,
    `add`, `scale`, `dropout`, `resample`, `cat`, or `weights` of an attention. `reads` are the values at its ports, and its
    tables by the arguments that take them.
    """

    path: str
    holder: str
    operation: str
    reads: Mapping[str, tuple[Value, ...]]
    makes: Value
    shape: Shape
    placed: Placed | None = None
    rate: float = 0.0
    causal: bool = False
    weights: bool = False


@dataclass(frozen=True)
class Trace:
    """The calls of a forward pass, and the values that it returns.

    `states` are the values of states. By the stack and the number of a layer, `branches` are what
    its branches make, and `skips` the earlier states that it meets.
    """

    calls: tuple[Call, ...]
    results: tuple[Value, ...]
    states: Mapping[State, Value]
    branches: Mapping[tuple[str, int], list[Value]]
    skips: Mapping[tuple[str, int], list[Value]]


def trace(graph: Graph) -> Trace:
    """The calls of one forward pass of a graph."""
    tracer = _Tracer(graph)
    done: set[str] = set()
    for part in graph.parts.values():
        if part.name not in done:
            tracer.part(part)
        done |= {part.name, *(part.lockstep if isinstance(part, Stack) else ())}
    return Trace(
        tuple(tracer.calls), tuple(tracer.results), tracer.states, tracer.branches, tracer.skips
    )


@dataclass
class _Tracer:
    graph: Graph
    calls: list[Call] = field(default_factory=list)
    states: dict[State, Value] = field(default_factory=dict)
    results: list[Value] = field(default_factory=list)
    branches: dict[tuple[str, int], list[Value]] = field(default_factory=dict)
    skips: dict[tuple[str, int], list[Value]] = field(default_factory=dict)

    def call(
        self, path: str, holder: str, reads: Mapping[str, tuple[Value, ...]], node: Node,
        *, weights: bool = False, operation: str = "component",
    ) -> Value:  # fmt: skip
        """The value that a component makes."""
        placed = node.placed
        made = Call(
            path, holder, operation, reads, len(self.calls), placed.shape, placed, weights=weights
        )
        self.calls.append(made)
        return made.makes

    def operate(
        self, operation: str, path: str, reads: Iterable[Value], shape: Shape, rate: float = 0.0
    ) -> Value:
        """The value that an operation without parameters makes."""
        given = {"xs": tuple(reads)}
        self.calls.append(Call(path, path, operation, given, len(self.calls), shape, rate=rate))
        return len(self.calls) - 1

    def weights(self, path: str, made: Value, node: Node) -> Value:
        """The weights that an attention returns beside its result."""
        return self.operate("weights", path, [made], node.placed.outputs["weights"])

    def shape(self, value: Value) -> Shape:
        """The shape of a value made before."""
        return self.calls[value].shape

    def part(self, part: Input | Stack | Module | Output) -> None:
        """The calls of a part, or of all stacks in step with it."""
        if isinstance(part, Input):
            self.states[State(part.name)] = self.operate("input", part.name, (), part.value.shape)
        elif isinstance(part, Stack):
            self.together(
                [s for s in self.graph.stacks if s.name in (part.lockstep or (part.name,))]
            )
        elif isinstance(part, Module):
            reads = {p: tuple(self.states[s] for s in found) for p, found in part.reads.items()}
            first = next(iter(reads.values()))
            for argument, table in part.tables.items():
                path = f"{part.name}.{argument}"
                reads[argument] = (
                    self.call(path, table.name, {"x": first}, table, operation="table"),
                )
            made = self.call(part.name, part.name, reads, part.node, weights=part.returns_weights)
            self.states[State(part.name)] = made
            if part.returns_weights:
                weights = self.weights(part.name, made, part.node)
                self.states[State(part.name, item="weights")] = weights
        else:
            self.output(part)

    def output(self, output: Output) -> None:
        """The call of a head; without one, an output is the state itself."""
        sources = output.layers or (output.source,)
        values = [self.states[source] for source in sources]
        if output.head is not None:
            port = output.head.component.parsed.inputs[0].name
            made = self.call(output.name, output.name, {port: (values[0],)}, output.head)
            self.states[State(output.name)] = made
            values = [made]
        self.results += values

    def together(self, stacks: list[Stack]) -> None:
        """Stacks in step: a layer runs as soon as the states that it reads are there."""
        runs = [_StackRun(stack, self) for stack in stacks]
        for number in range(len(stacks[0].layers)):
            waiting = runs
            while waiting:
                ready = [run for run in waiting if run.is_ready(number)]
                assert ready, "stacks in step wait for each other"
                for run in ready:
                    run.layer(number)
                waiting = [run for run in waiting if run not in ready]
        for run in runs:
            run.end()


@dataclass(eq=False)
class _StackRun:
    """A stack as it runs: the state so far, and what its layers read."""

    stack: Stack
    tracer: _Tracer
    x: Value = 0
    memories: dict[str, Value] = field(default_factory=dict)
    tables: dict[str, Value] = field(default_factory=dict)
    known: dict[int, dict[str, tuple[Value, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stack, tracer = self.stack, self.tracer
        self.x = tracer.states[stack.source]
        if stack.embed is not None:
            port = stack.embed.component.parsed.inputs[0].name
            self.x = self.at(stack.embed, {port: (self.x,)})
        tracer.states[State(stack.name, -1)] = self.x
        for table in stack.tables:
            path = f"{stack.name}.{table.name}"
            self.tables[table.name] = tracer.call(
                path, path, {"x": (self.x,)}, table, operation="table"
            )
        for memory in stack.memories:
            self.memories[memory.argument] = self.memory(memory)

    def at(self, node: Node, reads: Mapping[str, tuple[Value, ...]]) -> Value:
        """What a component outside the layers makes."""
        path = f"{self.stack.name}.{node.name}"
        return self.tracer.call(path, path, reads, node)

    def memory(self, memory: Memory) -> Value:
        """The value that layers read of several others."""
        values = [self.tracer.states[state] for state in memory.sources]
        if memory.mix is not None:
            return self.at(memory.mix, {"xs": tuple(values)})
        for index, project in enumerate(memory.projects):
            if project is not None:
                values[index] = self.at(project, {"x": (values[index],)})
        path = f"{self.stack.name}.{memory.argument}"
        return self.tracer.operate("cat", path, values, memory.value.shape)

    def handed(self, node: Node) -> dict[str, tuple[Value, ...]]:
        """The tables of a component, by the arguments that take them."""
        if id(node) not in self.known:
            tables = node.component.tables(node.placed.axes).items()
            names = {argument: self.stack.table_name(table) for argument, table in tables}
            self.known[id(node)] = {argument: (self.tables[n],) for argument, n in names.items()}
        return self.known[id(node)]

    def is_ready(self, number: int) -> bool:
        """Whether everything that a layer reads is there."""
        reads = self.stack.layers[number].reads.values()
        return all(state in self.tracer.states for state in reads if state.part)

    def layer(self, number: int) -> None:
        """The calls of a layer."""
        stack = self.stack
        owner = f"{stack.name}.layers.{stack.layer_sets[number]}"
        run = _LayerRun(f"{stack.name}.layers.{number}", owner, self, stack.layers[number], self.x)
        self.x = run.result()
        self.tracer.branches[stack.name, number] = run.branches
        self.tracer.skips[stack.name, number] = run.skips
        self.tracer.states[State(stack.name, number)] = self.x

    def end(self) -> None:
        """The last norm."""
        if self.stack.final_norm is not None:
            self.x = self.at(self.stack.final_norm, {"x": (self.x,)})
        self.tracer.states[State(self.stack.name)] = self.x


@dataclass
class _LayerRun:
    """A layer as it runs."""

    path: str
    holder: str
    run: _StackRun
    layer: Layer
    x: Value
    branches: list[Value] = field(default_factory=list)
    skips: list[Value] = field(default_factory=list)

    def result(self) -> Value:
        """The state after the layer."""
        for skip in self.layer.kind.skips:
            self.x = self.skip(skip)
        for branch in self.layer.kind.branches:
            self.x = self.branch(branch)
            self.branches.append(self.x)
        return self.x

    def at(
        self, node: Node, reads: Mapping[str, tuple[Value, ...]], *, weights: bool = False
    ) -> Value:
        """What a component of the layer makes."""
        path, holder = f"{self.path}.{node.name}", f"{self.holder}.{node.name}"
        return self.run.tracer.call(path, holder, reads, node, weights=weights)

    def operate(self, operation: str, *reads: Value, rate: float = 0.0) -> Value:
        """What an operation of the layer makes."""
        tracer = self.run.tracer
        return tracer.operate(operation, self.path, reads, tracer.shape(reads[0]), rate)

    def argument(self, name: str) -> Value:
        """The value of something that the layer reads beside the state."""
        state = self.layer.reads[name]
        if not state.part:
            return self.run.memories[state.item]
        return self.run.tracer.states[state]

    def skip(self, skip: Skip) -> Value:
        """An earlier state met."""
        value, tracer = self.argument(skip.argument), self.run.tracer
        if skip.resample:
            batch, _, width = tracer.shape(value)
            shape = (batch, tracer.shape(self.x)[1], width)
            value = tracer.operate("resample", self.path, [value], shape)
        if skip.project is not None:
            value = self.at(skip.project, {"x": (value,)})
        self.skips.append(value)
        return self.combine(skip.combine, self.x, (self.x, value))

    def combine(self, node: Node, query: Value, values: tuple[Value, ...]) -> Value:
        """One value of several."""
        asked = node.component.parsed.inputs[0].name == "query"
        return self.at(node, {**({"query": (query,)} if asked else {}), "xs": values})

    def branch(self, branch: Branch) -> Value:
        """The state after a branch."""
        norm, placement = branch.norm, branch.placement
        x = self.x
        if norm is not None and placement not in {"post", "branch"}:
            x = self.at(norm, {"x": (x,)})
        made = tuple(self.body(body, x) for body in branch.bodies)
        value = made[0] if branch.combine is None else self.combine(branch.combine, x, made)
        last = norm if placement == "branch" else None
        for node in (branch.post_norm, last, branch.gate):
            if node is not None:
                value = self.at(node, {"x": (value,)})
        if branch.scale != 1:
            value = self.operate("scale", value)
        if branch.dropout:
            value = self.operate("dropout", value, rate=branch.dropout)
        if branch.residual:
            value = self.operate("add", self.x, value)
        return self.at(norm, {"x": (value,)}) if norm and placement == "post" else value

    def body(self, body: Body, x: Value) -> Value:
        """What one component of a branch makes."""
        if body.norm is not None:
            x = self.at(body.norm, {"x": (self.x,)})
        first, *others = (port.name for port in body.node.component.parsed.inputs)
        reads: dict[str, tuple[Value, ...]] = {first: (x,)}
        for port, name in zip(others, body.reads, strict=True):
            reads[port] = (self.argument(name),)
        reads |= self.run.handed(body.node)
        made = self.at(body.node, reads, weights=body.returns_weights)
        if body.returns_weights:
            stack, number = self.run.stack.name, int(self.path.rpartition(".")[2])
            weights = self.run.tracer.weights(f"{self.path}.{body.node.name}", made, body.node)
            self.run.tracer.states[State(stack, number, "weights", body.node.name)] = weights
        return made


def placed_calls(made: Trace) -> Iterator[tuple[Call, Placed]]:
    """The calls of components."""
    for call in made.calls:
        if call.placed is not None:
            yield call, call.placed
