"""Ways to make one sequence of several: sum, mean, concat, gated, weighted, hierarchical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, ShapeError, Size, show

from .component import Component, Inputs, Label, LinearMap, Role, Tensors
from .costs import Kept, Product, Working
from .options import Positive

Shapes = tuple[Shape, ...]
Made = TypeVar("Made")


class Combine(Component):
    """The base of those whose inputs `xs` have one shape and make one of the same shape."""

    kind: str
    role: ClassVar[Role] = "combine"
    slots: ClassVar[tuple[str, ...]] = ("combine", "module")
    signature: ClassVar[str] = "xs[batch time d_model] -> [batch time d_model]"
    many: ClassVar[bool] = True
    example_inputs = {"xs": ((2, 6, 32), (2, 6, 32), (2, 6, 32))}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        shapes: Shapes = inputs["xs"]  # type: ignore[assignment]  # many: a tuple of shapes
        for index, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise ShapeError("xs", show(shapes[0]), shape, index=index)
        sizes: dict[str, Size] = {"count": len(shapes), "d_model": shapes[0][-1]}
        return self, Axes(sizes), {"": shapes[0]}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept()

    def label(self, axes: Axes) -> Label:
        return Label(self.kind)


class Add(Combine):
    """The sum."""

    kind: Literal["add"] = "add"

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        return " + ".join(inputs["xs"])

    def label(self, axes: Axes) -> Label:
        return Label("+")


class Sum(Add):
    """The sum, by the name it has among branches."""

    kind: Literal["sum"] = "sum"  # type: ignore[assignment]  # a kind of its own

    def label(self, axes: Axes) -> Label:
        return Label("∑")


class Mean(Combine):
    """The mean."""

    kind: Literal["mean"] = "mean"

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        return f"({' + '.join(inputs['xs'])}) / {axes.count}"


class Concat(Combine):
    """One after the other along the width, or along time.

    Where one width must come out (a skip, branches of a layer), a linear map follows.
    """

    kind: Literal["concat"] = "concat"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"d_model": 16}, {"axis": "time"})

    axis: Literal["width", "time"] = Field(default="width", description="What grows.")
    d_model: Positive | None = Field(
        default=None, description="Width after a linear map. Default: no map, the widths add up."
    )

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        shapes: Shapes = inputs["xs"]  # type: ignore[assignment]  # many: a tuple of shapes
        made = self.complete(place)
        at = len(shapes[0]) - 1 if self.axis == "width" else 1
        total: Size = 0
        for index, shape in enumerate(shapes):
            rest, want = shape[:at] + shape[at + 1 :], shapes[0][:at] + shapes[0][at + 1 :]
            if rest != want or len(shape) != len(shapes[0]):
                text = show((*shapes[0][:at], "any", *shapes[0][at + 1 :]))  # type: ignore[arg-type]
                raise ShapeError("xs", text, shape, index=index)
            total = total + shape[at]
        joined = (*shapes[0][:at], total, *shapes[0][at + 1 :])
        width = joined[-1] if made.d_model is None else made.d_model
        rows: Size = 1
        for size in joined[:-1]:
            rows = rows * size
        sizes: dict[str, Size] = {"width": joined[-1], "d_model": width, "rows": rows, "at": at}
        return made, Axes({**sizes, "rank": len(joined)}), {"": (*joined[:-1], width)}

    def tensors(self, axes: Axes) -> Tensors:
        if self.d_model is None:
            return {}
        return {"linear.weight": (axes.d_model, axes.width), "linear.bias": (axes.d_model,)}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return {} if self.d_model is None else {"linear": LinearMap("mix", axes.rows)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"width": axes.width, "d_model": axes.d_model, "dim": self._dim(axes)}

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        if self.d_model is not None:
            return None
        return f"torch.cat([{', '.join(inputs['xs'])}], dim={self._dim(axes)})"

    def mask_after(self, masks: list[str], inputs: list[str]) -> tuple[str, list[str]] | None:
        if self.axis == "width":
            return None
        return "concat_masks", [f"[{', '.join(masks)}]", f"[{', '.join(inputs)}]"]

    def flops(self, axes: Axes) -> Size:
        return 0 if self.d_model is None else 2 * axes.rows * axes.width * axes.d_model

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(numbers=0 if self.d_model is None else axes.rows * axes.width)

    def label(self, axes: Axes) -> Label:
        return Label("cat")

    def _dim(self, axes: Axes) -> int:
        return -1 if self.axis == "width" else 1


class Gated(Combine):
    """A learned gate for each number: softmax over the inputs of a linear map of all of them."""

    kind: Literal["gated"] = "gated"

    def tensors(self, axes: Axes) -> Tensors:
        width = axes.count * axes.d_model
        return {"gate.weight": (width, width), "gate.bias": (width,)}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return {"gate": LinearMap("mix", axes.rows)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"d_model": axes.d_model, "count": axes.count}

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        return _with_rows(*super().infer(inputs, place))

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.rows * (axes.count * axes.d_model) ** 2

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(numbers=3 * axes.rows * axes.count * axes.d_model)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(2, 0)

    def label(self, axes: Axes) -> Label:
        return Label("gate")


class Weighted(Combine):
    """A learned weight for each input, softmax over them (Peters et al., 2018)."""

    kind: Literal["weighted"] = "weighted"
    slots: ClassVar[tuple[str, ...]] = ("combine", "module", "read")

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.count,)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"count": axes.count}

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        return _with_rows(*super().infer(inputs, place))

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(numbers=axes.rows * axes.count * axes.d_model + axes.count)

    def label(self, axes: Axes) -> Label:
        return Label("mix")


class Hierarchical(Combine):
    """Attention over the inputs, asked by `query` (Libovický and Helcl, 2017, arXiv:1704.06567)."""

    kind: Literal["hierarchical"] = "hierarchical"
    slots: ClassVar[tuple[str, ...]] = ("combine",)
    signature: ClassVar[str] = (
        "query[batch time d_model], xs[batch time d_model] -> [batch time d_model]"
    )
    example_inputs = {"query": (2, 6, 32), "xs": ((2, 6, 32), (2, 6, 32))}

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {}
        for name in ("q", "k", "v"):
            tensors[f"{name}.weight"] = (axes.d_model, axes.d_model)
            tensors[f"{name}.bias"] = (axes.d_model,)
        return tensors

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        made, axes, outputs = super().infer(inputs, place)
        batch, time, _ = outputs[""]
        return made, Axes({**axes, "batch": batch, "time": time}), outputs

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows = axes.batch * axes.time
        return {
            "q": LinearMap("q", rows),
            "k": LinearMap("k", rows * axes.count),
            "v": LinearMap("v", rows * axes.count),
        }

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"d_model": axes.d_model}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        rows = axes.batch * axes.time
        query: Size = 2 * rows * axes.d_model**2
        scores: Size = 2 * rows * axes.count * axes.d_model  # the mix is no matrix product
        return (
            Product(query, ("query",), ("q.weight",)),
            Product(axes.count * query, ("xs",), ("k.weight",)),
            Product(axes.count * query, ("xs",), ("v.weight",)),
            Product(scores, ("xs", "k"), ("query", "q")),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        rows = axes.batch * axes.time
        within = axes.d_model + 3 * axes.count * axes.d_model + 2 * axes.count
        return Kept(("query",), rows * within)

    def label(self, axes: Axes) -> Label:
        return Label("attend")


def _with_rows(
    made: Made, axes: Axes, outputs: dict[str, Shape]
) -> tuple[Made, Axes, dict[str, Shape]]:
    """The axes with the number of steps of all examples, `rows`."""
    rows: Size = 1
    for size in outputs[""][:-1]:
        rows = rows * size
    return made, Axes({**axes, "rows": rows}), outputs
