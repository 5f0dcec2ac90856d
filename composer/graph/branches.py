"""Branches of a layer: components in their places, with norms, gates and what merges them."""

from __future__ import annotations

from dataclasses import replace

from composer.components.modules import Project
from composer.diagnostics import Span
from composer.language.document import Mapping as MappingTree
from composer.language.spec import (
    BranchSpec,
    CrossSpec,
    LayerSpec,
    StackSpec,
    Wiring,
    Written,
)
from composer.shapes import Shape

from .graph import Body, Branch, Node
from .placing import Placing, placed_norm
from .wires import CrossUnit


class Branches:
    """Puts branches together for the layers of one stack."""

    def __init__(self, spec: StackSpec, shape: Shape, placing: Placing) -> None:
        self.spec, self.shape, self.placing = spec, shape, placing
        self.owner = spec.name

    def plain(self, spec: BranchSpec, layer: LayerSpec) -> Branch | None:
        """The branch of one component."""
        body = self.body(spec)
        if body is None:
            return None
        return self.wired(spec.name, (body,), spec.wiring, layer.dropout, spec.span)

    def body(self, spec: BranchSpec) -> Body | None:
        """A component in its place, with nothing around it."""
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

    def parallel(self, spec: BranchSpec, layer: LayerSpec) -> Branch | None:
        """The branch of several components side by side."""
        bodies = []
        for inner in spec.branches:
            body = self.body(inner)
            if body is not None and spec.norms == "each" and inner.wiring.norm is not None:
                norm = placed_norm(
                    inner.wiring.norm, f"{inner.name}_norm", self.shape, self.owner, self.placing
                )
                body = replace(body, norm=norm)
            bodies.append(body)
        assert spec.combine is not None
        shapes = (self.shape,) * len(bodies)
        node = self.put_combine(
            f"{spec.name}_{spec.combine.component.kind}", spec.combine, shapes, spec.span
        )
        made = [body for body in bodies if body is not None]
        if node is None or len(made) < len(bodies):
            return None
        wiring = spec.wiring
        if spec.norms == "each" and wiring.placement == "pre":
            wiring = replace(wiring, norm=None)
        branch = self.wired(spec.name, tuple(made), wiring, layer.dropout, spec.span)
        return replace(branch, combine=node, parallel=True)

    def branch(
        self, name: str, bodies: tuple[Body, ...], layer: LayerSpec, unit: CrossUnit
    ) -> Branch | None:
        """A branch that attends, wired as the layer says."""
        listed = [b for b in layer.branches if b.name == "cross_attention"]
        wiring = listed[0].wiring if listed else layer.cross_wiring
        gate = unit.spec.gate if isinstance(unit.spec, CrossSpec) else None
        wiring = wiring if gate is None else replace(wiring, gate=gate)
        return self.wired(name, bodies, wiring, layer.dropout, unit.spec.tree.span)

    def wired(
        self, name: str, bodies: tuple[Body, ...], wiring: Wiring, dropout: float, span: Span
    ) -> Branch:
        """A branch of some components with its norms and its gate."""
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

    def project(self, name: str, shape: Shape, span: Span) -> Node | None:
        """A linear map to the width of the stack."""
        written = Written(Project(d_model=self.spec.d_model), MappingTree({}, span))
        return self.placing.put(name, written, {"x": shape}, self.owner, span)

    def combine(self, name: str, kind: str, count: int, span: Span) -> Node | None:
        """What makes one sequence of `count`, by its kind."""
        from composer.components.component import component_class

        cls = component_class(kind)
        assert cls is not None
        written = Written(cls.model_validate({}), MappingTree({}, span))
        return self.put_combine(name, written, (self.shape,) * count, span)

    def put_combine(
        self, name: str, written: Written, shapes: tuple[Shape, ...], span: Span
    ) -> Node | None:
        """What makes one sequence of several, in its place."""
        inputs: dict[str, Shape | tuple[Shape, ...]] = {"query": self.shape, "xs": shapes}
        return self.placing.put(name, written, inputs, self.owner, span, d_model=self.spec.d_model)
