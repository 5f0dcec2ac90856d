"""Layers of a stack: equal ones become one kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from composer.components.combine import Concat
from composer.language.defaults import own
from composer.language.document import key_span
from composer.language.spec import (
    BranchSpec,
    CrossSpec,
    ParallelSpec,
    SkipSpec,
    StackSpec,
)
from composer.language.validate import guess
from composer.shapes import Shape

from .crosses import Crosses
from .graph import Branch, Layer, LayerKind, Skip, State, Value
from .placing import Placing
from .wires import SkipUnit

Connection = CrossSpec | ParallelSpec | SkipSpec


class LayerBuilder(Crosses):
    """Puts together the layers of one stack; equal layers become one kind."""

    def __init__(self, spec: StackSpec, shape: Shape, placing: Placing) -> None:
        super().__init__(spec, shape, placing)
        self.skips = placing.wires.skips.get(spec.name, [])
        self.kinds: dict[object, LayerKind | None] = {}
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
            for argument, state in zip(self.arguments(index), unit.layers[number], strict=False):
                local = argument in self.memories
                reads[argument] = State("", item=argument) if local else state
        for index, _ in skips:
            reads[self._skip_name(index)] = self.skips[index].layers[number]
        return reads

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
                    branches += self.cross_branches(index, layer, number)
            elif spec.branches:
                branches.append(self.parallel(spec, layer))
            else:
                branches.append(self.plain(spec, layer))
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

    def _skip_name(self, index: int) -> str:
        return "skip" if len(self.skips) == 1 else f"skip_{index + 1}"

    def _padded(self, value: Value | None) -> bool:
        """Whether a state or the stack's own sequence has padding."""
        (source,) = self.placing.wires.sources[self.spec.name]["x"]
        own = self.placing.value(source)
        return any(known is not None and known.mask is not None for known in (value, own))

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
        if resample and self._padded(value):
            self.placing.problems.add(
                "G209",
                f"a skip from '{state.part}' stretches {shape[1]} steps to {self.shape[1]}, "
                "and padded steps would reach real ones",
                span,
                fix="give both inputs one length: length: steps",
            )
            return None
        shape = (*self.shape[:2], shape[2])
        written = unit.spec.combine
        project = None
        if shape[2] != self.spec.d_model and not isinstance(written.component, Concat):
            project = self.project(f"{name}_project", shape, span)
            shape = self.shape
        shapes = (self.shape, shape)
        combine = self.put_combine(name, written, shapes, span)
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
