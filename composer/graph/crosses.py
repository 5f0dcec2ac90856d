"""Cross-attention of a stack: what its layers read of others, and the branches that read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from composer.components.combine import Weighted
from composer.diagnostics import Note
from composer.language.document import Mapping as MappingTree
from composer.language.spec import (
    CrossSpec,
    LayerSpec,
    ParallelSpec,
    StackSpec,
    Written,
)
from composer.shapes import Shape

from .branches import Branches
from .graph import Body, Branch, Memory, Node, State, Value
from .infer import Sees, merge_sees
from .placing import Placing, report_ids
from .wires import CrossUnit


class Crosses(Branches):
    """Adds the branches that attend to other parts."""

    def __init__(self, spec: StackSpec, shape: Shape, placing: Placing) -> None:
        super().__init__(spec, shape, placing)
        self.crosses = placing.wires.crosses.get(spec.name, [])
        self.memories: dict[str, Memory] = {}

    def arguments(self, index: int) -> tuple[str, ...]:
        """What a layer calls the sources of a cross connection."""
        unit = self.crosses[index]
        spec = unit.spec
        if isinstance(spec, CrossSpec) and spec.combine == "flat":
            return (f"{'_'.join(unit.sources)}_memory",)
        earlier = [name for other in self.crosses[:index] for name in other.sources]
        mixed = isinstance(spec, CrossSpec) and spec.read == "weighted"
        names = [f"{name}_mix" if mixed else name for name in unit.sources]
        return tuple(
            f"{name}_{index + 1}" if source in earlier else name
            for name, source in zip(names, unit.sources, strict=True)
        )

    def cross_branches(self, index: int, layer: LayerSpec, number: int) -> Iterator[Branch | None]:
        """The branches that one cross connection adds to a layer; None for one that is wrong."""
        unit = self.crosses[index]
        if layer.cross_attention is None:
            heads = next(n for n in (8, 4, 3, 2, 1) if self.spec.d_model % n == 0)
            self.placing.problems.add(
                "C104",
                f"'{self.owner}' is to attend, but nothing says its number of heads",
                self.spec.span,
                [Note("the connection is written here", unit.spec.tree.span)],
                f"add cross_attention: {{num_heads: {heads}}}",
            )
            yield None
            return
        combine = unit.spec.combine if isinstance(unit.spec, CrossSpec) else "serial"
        values = [self._memory_value(state) for state in unit.layers[number]]
        if any(value is None for value in values):
            yield None
            return
        if combine == "flat":
            flat = self._flat(index, [v for v in values if v is not None])
            values = [flat]
        elif isinstance(unit.spec, CrossSpec) and unit.spec.read == "weighted":
            self._mixes(index)
        several = sum(len(u.sources) for u in self.crosses) > 1 and combine != "flat"
        bodies = []
        names = self.arguments(index)
        for argument, source, value in zip(names, unit.sources, values, strict=False):
            again = any(source in u.sources and number in u.layers for u in self.crosses[:index])
            of = argument if again else source
            name = f"cross_attention_{of}" if several else "cross_attention"
            bodies.append(self._cross_body(name, argument, value, layer.cross_attention, unit))
        made = [body for body in bodies if body is not None]
        if len(made) < len(bodies):
            yield None
        elif combine in {"serial", "flat"}:
            for body in made:
                yield self.branch(body.node.name, (body,), layer, unit)
        else:
            yield self._merged(made, combine, layer, unit)

    def _memory_value(self, state: State) -> Value | None:
        """What is known of a source; a stack in step that comes later is known by its spec."""
        value = self.placing.value(state)
        spec = self.placing.wires.parts.get(state.part)
        if value is not None or not isinstance(spec, StackSpec):
            return value
        (source,) = self.placing.wires.sources[state.part]["x"]
        read = self.placing.value(source)
        if read is None:
            return None
        return Value((*read.shape[:2], spec.d_model), read.mask, read.sees)

    def _cross_body(
        self, name: str, argument: str, value: Value | None, cross: Written, unit: CrossUnit
    ) -> Body | None:
        assert value is not None
        state = unit.layers[min(unit.layers)][0]
        if state.part in self.placing.ids:
            report_ids(self.owner, state, self.placing)
            return None
        if unit.spec.causal and self._causal_told(value, unit):
            return None
        component = cross.component.model_copy(update={"causal": unit.spec.causal})
        tree, connection = cross.tree, unit.spec.tree
        if isinstance(tree, MappingTree) and isinstance(connection, MappingTree):
            written = connection.entries.get("causal")
            tree = MappingTree({**tree.entries, "causal": written}, tree.span) if written else tree
        shapes = {"x": self.shape, "memory": value.shape}
        node = self.placing.put(
            name,
            Written(component, tree),
            shapes,
            self.owner,
            connection.span,
            {"memory": unit.layers[min(unit.layers)]},
            source=value.shape[1],
            time=self.shape[1],
        )
        return None if node is None else Body(node, (argument,))

    def _causal_told(self, value: Value, unit: CrossUnit) -> bool:
        """Whether the first of stacks in step has told that lengths differ, which is so both ways."""
        names = unit.spec.stacks if isinstance(unit.spec, ParallelSpec) else ()
        differ = len(value.shape) > 1 and value.shape[1] != self.shape[1]
        return (
            differ
            and bool(names)
            and self.placing.wires.order.index(self.owner)
            > min(self.placing.wires.order.index(name) for name in names)
        )

    def _flat(self, index: int, values: list[Value]) -> Value:
        """One memory of several, one after the other; unequal widths are projected."""
        unit = self.crosses[index]
        (argument,) = self.arguments(index)
        unequal = len({value.shape[2] for value in values}) > 1
        projects: list[Node | None] = []
        for source, value in zip(unit.sources, values, strict=True):
            node = None
            if unequal and value.shape[2] != self.spec.d_model:
                node = self.project(f"{source}_project", value.shape, unit.spec.tree.span)
            projects.append(node)
        width = self.spec.d_model if unequal else values[0].shape[2]
        time = values[0].shape[1]
        for value in values[1:]:
            time = time + value.shape[1]
        mask = f"{argument}_mask" if any(value.mask for value in values) else None
        sees: Sees = {}
        for value in values:
            merge_sees(sees, value.sees)
        flat = Value((values[0].shape[0], time, width), mask, sees)
        states = unit.layers[min(unit.layers)]
        self.memories[argument] = Memory(argument, states, None, tuple(projects), flat)
        self.placing.values[State("", item=argument)] = flat
        return flat

    def _mixes(self, index: int) -> None:
        """A learned mix of all states, for each source of a connection."""
        unit = self.crosses[index]
        for argument, source in zip(self.arguments(index), unit.sources, strict=True):
            value = self.placing.value(State(source))
            spec = self.placing.wires.parts[source]
            assert value is not None
            assert isinstance(spec, StackSpec)
            written = Written(Weighted(), unit.spec.tree)
            shapes = (value.shape,) * spec.num_layers
            node = self.placing.put(
                argument, written, {"xs": shapes}, self.owner, unit.spec.tree.span
            )
            states = tuple(State(source, n) for n in range(spec.num_layers))
            self.memories[argument] = Memory(argument, states, node, (), value)

    def _merged(
        self, bodies: list[Body], combine: str, layer: LayerSpec, unit: CrossUnit
    ) -> Branch | None:
        """One branch of several sources: their contexts summed, gated, or attended to."""
        assert isinstance(unit.spec, CrossSpec)
        kind = {"parallel": "sum", "gated": "gated", "hierarchical": "hierarchical"}[combine]
        node = self.combine(f"cross_attention_{combine}", kind, len(bodies), unit.spec.tree.span)
        branch = self.branch("cross_attention", tuple(bodies), layer, unit)
        return (
            None if branch is None or node is None else replace(branch, combine=node, parallel=True)
        )
