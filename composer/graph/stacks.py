"""Stacks: their layers are put together from types, cross connections and skips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from composer.components.combine import Concat, Weighted
from composer.components.component import Component
from composer.components.embedding import SequenceEmbedding, TokenEmbedding
from composer.components.inputs import Tokens
from composer.components.modules import Project
from composer.diagnostics import Note, Span
from composer.language.defaults import own
from composer.language.document import Mapping as MappingTree
from composer.language.document import Tree, key_span, value_span
from composer.language.spec import (
    BranchSpec,
    CrossSpec,
    LayerSpec,
    ParallelSpec,
    SkipSpec,
    StackSpec,
    Wiring,
    Written,
)
from composer.language.validate import guess
from composer.shapes import Shape, show

from .graph import Body, Branch, Input, Layer, LayerKind, Memory, Node, Skip, Stack, State, Value
from .infer import How, Placing, Sees, merge_sees, placed_norm, report_ids, said, see_all
from .wires import CrossUnit, SkipUnit

Connection = CrossSpec | ParallelSpec | SkipSpec


def stack_of(spec: StackSpec, placing: Placing) -> Stack | None:
    """The stack with all of its layers, or None with the reasons as problems."""
    (source,) = placing.wires.sources[spec.name]["x"]
    value = placing.value(source)
    if value is None:
        return None
    before = len(placing.problems)
    if len(value.shape) > 1:  # what comes out, should something be wrong inside
        assumed = Value((*value.shape[:2], spec.d_model), value.mask)
        placing.values[State(spec.name)] = assumed
    embed, shape = _embedded(spec, source, value, placing)
    if shape is None:
        return None
    builder = _Builder(spec, shape, placing)
    layers = builder.layers()
    final = None
    result_read = spec.name not in placing.wires.used_layers
    if spec.final_norm is not None and result_read:
        final = placed_norm(spec.final_norm, "norm", shape, spec.name, placing)
    if len(placing.problems) > before or len(layers) < spec.num_layers:
        return None  # in the second case, what they read is wrong
    kinds = {id(layer.kind): layer.kind for layer in layers}.values()
    inside = [body.node.component for kind in kinds for b in kind.branches for body in b.bodies]
    causal = not any(component.sees_future for component in inside)
    guarded = causal and (spec.role == "decoder" or any(part.mixes_time for part in inside))
    sees = _sees(spec, value, builder, causal=causal, guarded=guarded)
    _weights_values(spec.name, layers, placing)
    return Stack(
        spec.name,
        spec.role,
        source,
        spec.d_model,
        causal,
        embed,
        layers,
        final,
        tuple(builder.memories.values()),
        tuple(range(len(layers))),
        Value(shape, value.mask, sees),
        spec.span,
        placing.wires.lockstep.get(spec.name, ()),
        spec.layer_types,
        result_read,
    )


def _embedded(
    spec: StackSpec, source: State, value: Value, placing: Placing
) -> tuple[Node | None, Shape | None]:
    """The embedding, if there is one, and the shape of the states."""
    part = placing.parts.get(source.part)
    tokens = part.node.component if isinstance(part, Input) else None
    states = None if len(value.shape) < 2 else (*value.shape[:2], spec.d_model)  # noqa: PLR2004
    if isinstance(tokens, Tokens):
        node = _token_embedding(spec, source, value, tokens, placing)
        return node, states
    if source.part in placing.ids:
        report_ids(spec.name, source, placing)
        return None, states
    if len(value.shape) != 3 or value.shape[2] != spec.d_model:  # noqa: PLR2004 - batch, time, width
        _report_width(spec, source, value, placing)
        return None, states
    if spec.embed is None:
        return None, states
    if isinstance(spec.embed.component, TokenEmbedding):
        placing.problems.add(
            "C115",
            f"'{spec.name}' embeds tokens, but '{said(source)}' is vectors already",
            spec.embed.tree.span,
            fix="leave out vocab_size, d_model and scale",
        )
        return None, states
    given = {"d_model": spec.d_model, "dropout": spec.dropout}
    node = placing.put(
        "embed", spec.embed, {"x": value.shape}, spec.name, spec.embed.tree.span, **given
    )
    return node, states


def _token_embedding(
    spec: StackSpec, source: State, value: Value, tokens: Tokens, placing: Placing
) -> Node | None:
    """One vector a token, as wide as the stack and for at least as many tokens as come in."""
    component: Component = TokenEmbedding()
    tree: Tree = MappingTree({}, spec.span)
    if spec.embed is not None:
        component, tree = spec.embed.component, spec.embed.tree
        if isinstance(component, SequenceEmbedding):
            component = TokenEmbedding(
                position=component.position, norm=component.norm, dropout=component.dropout
            )
    assert isinstance(component, TokenEmbedding)
    if component.d_model not in {None, spec.d_model}:
        placing.problems.add(
            "C115",
            f"'{spec.name}' has d_model {spec.d_model}, but its embed has {component.d_model}",
            value_span(tree, ("d_model",)),
            fix="leave out the d_model of embed",
        )
        return None
    if component.vocab_size is not None and component.vocab_size < tokens.vocab_size:
        placing.problems.add(
            "C115",
            f"'{source.part}' has {tokens.vocab_size} different tokens, "
            f"but the embed of '{spec.name}' has {component.vocab_size}",
            value_span(tree, ("vocab_size",)),
            fix="leave out the vocab_size of embed",
        )
        return None
    return placing.put(
        "embed",
        Written(component, tree),
        {"tokens": value.shape},
        spec.name,
        tree.span,
        {"tokens": (source,)},
        d_model=spec.d_model,
        dropout=spec.dropout,
        vocab_size=tokens.vocab_size,
    )


def _report_width(spec: StackSpec, source: State, value: Value, placing: Placing) -> None:
    wanted = f"[batch time {spec.d_model}]"
    fix = f"read something that makes {wanted}"
    if len(value.shape) == 3:  # noqa: PLR2004 - batch, time, width
        fix = f"put a module between: {{kind: project, from: {said(source)}, d_model: {spec.d_model}}}"
    placing.problems.add(
        "S201",
        f"'{spec.name}' wants {wanted}, but '{said(source)}' is {show(value.shape)}",
        value_span(spec.tree, ("from",)),
        [Note(f"'{said(source)}' makes {show(value.shape)}", placing.wires.span_of(source.part))],
        fix,
    )


def _sees(spec: StackSpec, value: Value, builder: _Builder, *, causal: bool, guarded: bool) -> Sees:
    """What the states depend on; a `guarded` stack must not be shown what its input hides."""
    sees: Sees = {}
    merge_sees(sees, value.sees if causal else see_all(value.sees))
    past = [name for name, how in sees.items() if how == "past"]
    for connection, state, aligned in builder.outside():
        read = _seen(state, builder)
        more = read if aligned and causal else see_all(read)
        for name in past:
            if guarded and more.get(name) == "all":
                hidden = read.get(name) == "past"
                _report_leak(spec, connection, state, name, builder.placing, hidden=hidden)
        merge_sees(sees, more)
    return sees


def _seen(state: State, builder: _Builder) -> Mapping[str, How]:
    """What a state depends on; of a stack in step that is not built yet, by its spec."""
    placing = builder.placing
    value = placing.value(state)
    if value is not None:
        return value.sees
    spec = placing.wires.parts[state.part]
    if state.part == builder.spec.name or not isinstance(spec, StackSpec):
        return {}
    (source,) = placing.wires.sources[state.part]["x"]
    read = placing.value(source)
    if read is None:
        return {}
    return see_all(read.sees) if _sees_future(spec) else read.sees


def _sees_future(spec: StackSpec) -> bool:
    """Whether a stack's own layers let a step see later ones."""
    for layer in spec.types.values():
        for branch in layer.branches:
            for body in branch.branches or (branch,):
                component = None if body.made is None else body.made.component
                causal = getattr(component, "causal", None)
                causal = spec.role == "decoder" if causal is None else causal
                if component is not None and component.mixes_time and not causal:
                    return True
    return False


def _report_leak(
    spec: StackSpec,
    connection: Connection,
    state: State,
    name: str,
    placing: Placing,
    *,
    hidden: bool,
) -> None:
    """A causal stack that is shown what it must not see; `hidden` if what it reads does not see it."""
    part = state.part
    own_role = (
        f"make '{spec.name}' an encoder" if spec.role == "decoder" else "leave out its causal"
    )
    fixes = ["let them read different inputs", own_role]
    causal = not isinstance(connection, SkipSpec)
    if hidden and causal:
        fixes.insert(0, "add causal: true")
    elif getattr(placing.wires.parts[part], "role", "") == "encoder":
        fixes.insert(1, f"make '{part}' a decoder" + (", read with causal: true" if causal else ""))
    span = placing.wires.places.get((spec.name, part), connection.tree.span)
    placing.problems.add(
        "G208",
        f"'{spec.name}' is causal over '{name}' but reads '{part}', which shows it all of '{name}'",
        span,
        [Note(f"'{part}' is written here", placing.wires.span_of(part))],
        ", or ".join(fixes),
    )


def _weights_values(name: str, layers: tuple[Layer, ...], placing: Placing) -> None:
    """Shapes of the attention weights that are read from outside."""
    for number, branch in placing.wires.weights.get(name, []):
        assert number is not None
        for found in layers[number].kind.branches:
            for body in found.bodies:
                if body.node.name == branch:
                    shape = body.node.placed.outputs["weights"]
                    placing.values[State(name, number, "weights", branch)] = Value(shape)


class _Builder:
    """Puts together the layers of one stack; equal layers become one kind."""

    def __init__(self, spec: StackSpec, shape: Shape, placing: Placing) -> None:
        self.spec, self.shape, self.placing = spec, shape, placing
        self.crosses = placing.wires.crosses.get(spec.name, [])
        self.skips = placing.wires.skips.get(spec.name, [])
        self.memories: dict[str, Memory] = {}
        self.kinds: dict[object, LayerKind | None] = {}
        self.owner = spec.name
        self._check_cross_used()

    def layers(self) -> tuple[Layer, ...]:
        """All layers, in order."""
        made = []
        wanted: dict[int | None, list[str]] = {}
        for number, branch in self.placing.wires.weights.get(self.spec.name, []):
            wanted.setdefault(number, []).append(branch)
        for number in range(self.spec.num_layers):
            type_ = self.spec.layer_types[number % len(self.spec.layer_types)]
            crosses = tuple(i for i, unit in enumerate(self.crosses) if number in unit.layers)
            skips = tuple(
                (i, unit.layers[number].part)
                for i, unit in enumerate(self.skips)
                if number in unit.layers
            )
            weights = tuple(sorted(set(wanted.get(number, []))))
            key = (type_, crosses, skips, weights)
            if key not in self.kinds:
                self.kinds[key] = self._kind(type_, crosses, skips, weights, number)
            kind = self.kinds[key]
            if kind is not None:
                made.append(Layer(kind, self._reads(crosses, skips, number)))
        return tuple(made)

    def outside(self) -> Iterator[tuple[Connection, State, bool]]:
        """What the layers read from elsewhere: by which connection, what, and if step by step."""
        for unit in self.crosses:
            for state in next(iter(unit.layers.values())):
                yield unit.spec, state, unit.spec.causal
        for skip in self.skips:
            for state in {s.part: s for s in skip.layers.values()}.values():
                if state.part != self.spec.name:
                    value = self.placing.value(state)
                    same = value is not None and value.shape[1] == self.shape[1]
                    yield skip.spec, state, same

    def _check_cross_used(self) -> None:
        """A cross-attention that is written for the stack itself must read something."""
        span = None
        for layer in self.spec.types.values():
            for branch in layer.branches:
                if branch.made is None and not branch.branches:
                    span = branch.span
        if span is None and own(self.spec.tree, "cross_attention", self.placing.wires.spec.tree):
            span = key_span(self.spec.tree, ("cross_attention",))
        if span is not None and not self.crosses:
            self.placing.problems.add(
                "G204",
                f"'{self.owner}' has a cross_attention, but no connection says what it reads",
                span,
                fix=f"connections: [{{cross: {{from: ..., to: {self.owner}}}}}]",
            )

    def _reads(
        self, crosses: tuple[int, ...], skips: tuple[tuple[int, str], ...], number: int
    ) -> dict[str, State]:
        reads: dict[str, State] = {}
        for index in crosses:
            unit = self.crosses[index]
            for argument, state in zip(self._arguments(index), unit.layers[number], strict=False):
                local = argument in self.memories
                reads[argument] = State("", item=argument) if local else state
        for index, _ in skips:
            reads[self._skip_name(index)] = self.skips[index].layers[number]
        return reads

    # Cross connections

    def _arguments(self, index: int) -> tuple[str, ...]:
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

    def _cross_branches(self, index: int, layer: LayerSpec, number: int) -> Iterator[Branch | None]:
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
        names = self._arguments(index)
        for argument, source, value in zip(names, unit.sources, values, strict=False):
            name = f"cross_attention_{source}" if several else "cross_attention"
            bodies.append(self._cross_body(name, argument, value, layer.cross_attention, unit))
        made = [body for body in bodies if body is not None]
        if len(made) < len(bodies):
            yield None
        elif combine in {"serial", "flat"}:
            for body in made:
                yield self._branch(body.node.name, (body,), layer, unit)
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
        (argument,) = self._arguments(index)
        unequal = len({value.shape[2] for value in values}) > 1
        projects: list[Node | None] = []
        for source, value in zip(unit.sources, values, strict=True):
            node = None
            if unequal and value.shape[2] != self.spec.d_model:
                node = self._project(f"{source}_project", value.shape, unit.spec.tree.span)
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
        for argument, source in zip(self._arguments(index), unit.sources, strict=True):
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

    def _project(self, name: str, shape: Shape, span: Span) -> Node | None:
        written = Written(Project(d_model=self.spec.d_model), MappingTree({}, span))
        return self.placing.put(name, written, {"x": shape}, self.owner, span)

    def _merged(
        self, bodies: list[Body], combine: str, layer: LayerSpec, unit: CrossUnit
    ) -> Branch | None:
        """One branch of several sources: their contexts summed, gated, or attended to."""
        assert isinstance(unit.spec, CrossSpec)
        kind = {"parallel": "sum", "gated": "gated", "hierarchical": "hierarchical"}[combine]
        node = self._combine(f"cross_attention_{combine}", kind, len(bodies), unit.spec.tree.span)
        branch = self._branch("cross_attention", tuple(bodies), layer, unit)
        return (
            None if branch is None or node is None else replace(branch, combine=node, parallel=True)
        )

    def _combine(self, name: str, kind: str, count: int, span: Span) -> Node | None:
        from composer.components.component import component_class

        cls = component_class(kind)
        assert cls is not None
        written = Written(cls.model_validate({}), MappingTree({}, span))
        return self._put_combine(name, written, (self.shape,) * count, span)

    def _put_combine(
        self, name: str, written: Written, shapes: tuple[Shape, ...], span: Span
    ) -> Node | None:
        inputs: dict[str, Shape | tuple[Shape, ...]] = {"query": self.shape, "xs": shapes}
        return self.placing.put(name, written, inputs, self.owner, span, d_model=self.spec.d_model)

    # Branches

    def _kind(
        self,
        type_: str,
        crosses: tuple[int, ...],
        skips: tuple[tuple[int, str], ...],
        weights: tuple[str, ...],
        number: int,
    ) -> LayerKind | None:
        layer = self.spec.types[type_]
        made_skips = [self._skip(index, number) for index, _ in skips]
        branches: list[Branch | None] = []
        for spec in _with_cross(layer.branches, bool(crosses)):
            if spec is None:
                for index in crosses:
                    branches += self._cross_branches(index, layer, number)
            elif spec.branches:
                branches.append(self._parallel(spec, layer))
            else:
                branches.append(self._plain(spec, layer))
        if None in made_skips or None in branches:
            return None
        done = [b for b in branches if b is not None]
        done = [_returning(branch, weights) for branch in done]
        found = {body.node.name for b in done for body in b.bodies if body.returns_weights}
        for name in weights:
            if name not in found:
                self._no_weights(name, done)
        kind = LayerKind(type_, tuple(s for s in made_skips if s is not None), tuple(done))
        return kind if self._check_names(kind) else None

    def _check_names(self, kind: LayerKind) -> bool:
        """Whether everything inside a layer has a name of its own."""
        seen = {"dropout": "the dropout of a layer"}
        for branch in kind.branches:
            for node in branch.nodes():
                if node.name in seen:
                    self.placing.problems.add(
                        "C108",
                        f"'{node.name}' names two things in a layer of '{self.owner}': {seen[node.name]} "
                        f"and a part of '{branch.name}'",
                        branch.bodies[0].node.span,
                        fix="choose another name",
                    )
                    return False
                seen[node.name] = f"a part of '{branch.name}'"
        return True

    def _no_weights(self, name: str, branches: list[Branch]) -> None:
        names = [
            body.node.name
            for branch in branches
            for body in branch.bodies
            if "weights" in body.node.placed.outputs
        ]
        place = self.placing.wires.weight_places.get((self.owner, name), self.spec.span)
        self.placing.problems.add(
            "G201",
            f"the layers of '{self.owner}' have no attention '{name}'",
            place,
            fix=guess(name, names) or (f"attentions: {', '.join(names)}" if names else None),
        )

    def _plain(self, spec: BranchSpec, layer: LayerSpec) -> Branch | None:
        body = self._body(spec)
        if body is None:
            return None
        return self._wired(spec.name, (body,), spec.wiring, layer.dropout, spec.span)

    def _body(self, spec: BranchSpec) -> Body | None:
        assert spec.made is not None
        node = self.placing.put(
            spec.name,
            spec.made,
            {"x": self.shape},
            self.owner,
            spec.span,
            causal=self.spec.role == "decoder",
        )
        return None if node is None else Body(node)

    def _parallel(self, spec: BranchSpec, layer: LayerSpec) -> Branch | None:
        bodies = []
        for inner in spec.branches:
            body = self._body(inner)
            if body is not None and spec.norms == "each" and inner.wiring.norm is not None:
                norm = placed_norm(
                    inner.wiring.norm, f"{inner.name}_norm", self.shape, self.owner, self.placing
                )
                body = replace(body, norm=norm)
            bodies.append(body)
        assert spec.combine is not None
        shapes = (self.shape,) * len(bodies)
        node = self._put_combine(
            f"{spec.name}_{spec.combine.component.kind}", spec.combine, shapes, spec.span
        )
        made = [body for body in bodies if body is not None]
        if node is None or len(made) < len(bodies):
            return None
        wiring = spec.wiring
        if spec.norms == "each" and wiring.placement == "pre":
            wiring = replace(wiring, norm=None)
        branch = self._wired(spec.name, tuple(made), wiring, layer.dropout, spec.span)
        return replace(branch, combine=node, parallel=True)

    def _branch(
        self, name: str, bodies: tuple[Body, ...], layer: LayerSpec, unit: CrossUnit
    ) -> Branch | None:
        listed = [b for b in layer.branches if b.name == "cross_attention"]
        wiring = listed[0].wiring if listed else layer.cross_wiring
        gate = unit.spec.gate if isinstance(unit.spec, CrossSpec) else None
        wiring = wiring if gate is None else replace(wiring, gate=gate)
        return self._wired(name, bodies, wiring, layer.dropout, unit.spec.tree.span)

    def _wired(
        self, name: str, bodies: tuple[Body, ...], wiring: Wiring, dropout: float, span: Span
    ) -> Branch:
        norm = post = gate = None
        if wiring.norm is not None:
            norm = placed_norm(wiring.norm, f"{name}_norm", self.shape, self.owner, self.placing)
            if wiring.placement == "sandwich":
                post = placed_norm(
                    wiring.norm, f"{name}_post_norm", self.shape, self.owner, self.placing
                )
        if wiring.gate is not None:
            gate = self.placing.put(
                f"{name}_gate", wiring.gate, {"x": self.shape}, self.owner, span
            )
        return Branch(
            name,
            bodies,
            wiring.placement,
            norm,
            post,
            None,
            wiring.scale,
            gate,
            dropout,
            wiring.residual,
        )

    # Skips

    def _skip_name(self, index: int) -> str:
        return "skip" if len(self.skips) == 1 else f"skip_{index + 1}"

    def _skip(self, index: int, number: int) -> Skip | None:
        unit: SkipUnit = self.skips[index]
        state = unit.layers[number]
        name, span = self._skip_name(index), unit.spec.tree.span
        value = self.placing.value(state)
        shape = (
            self.shape if state.part == self.spec.name else None if value is None else value.shape
        )
        if shape is None:
            return None
        resample = shape[1] != self.shape[1]
        written = unit.spec.combine
        project = None
        if shape[2] != self.spec.d_model and not isinstance(written.component, Concat):
            project = self._project(f"{name}_project", shape, span)
            shape = (*shape[:2], self.spec.d_model)
        shapes = (self.shape, (self.shape[0], self.shape[1], shape[2]))
        combine = self._put_combine(name, written, shapes, span)
        return None if combine is None else Skip(name, combine, project, resample)


def _with_cross(branches: tuple[BranchSpec, ...], crosses: bool) -> list[BranchSpec | None]:
    """The branches with None where cross-attention stands: as listed, or after self-attention."""
    placed: list[BranchSpec | None] = [
        None if spec.made is None and not spec.branches else spec for spec in branches
    ]
    if None in placed or not crosses:
        return [spec for spec in placed if spec is not None or crosses]
    names = [spec.name if spec is not None else "" for spec in placed]
    at = names.index("attention") + 1 if "attention" in names else 0
    if "parallel" in names and at == 0:
        at = names.index("parallel") + 1
    return [*placed[:at], None, *placed[at:]]


def _returning(branch: Branch, weights: tuple[str, ...]) -> Branch:
    bodies = tuple(
        replace(body, returns_weights=True)
        if body.node.name in weights and "weights" in body.node.placed.outputs
        else body
        for body in branch.bodies
    )
    return replace(branch, bodies=bodies)
