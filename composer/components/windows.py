"""Attention within windows of a grid of patches, and merging of neighbouring patches."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, Size

from .component import Component, Inputs, Label, LinearMap, Mask, OptionError, Role, Tensors
from .costs import Kept, Product, Working
from .norms import LayerNorm
from .options import Natural, Positive, PositiveNumber, Probability
from .placed import Placed, place


class _Grid(Component):
    """What reads a sequence as a grid of patches, row by row."""

    rows: Positive | None = Field(
        default=None, description="Rows of the grid. Default: those of a square."
    )
    columns: Positive | None = Field(
        default=None, description="Columns of the grid. Default: as the rows leave."
    )

    def on_grid(self, time: Size) -> Self:
        """This with both sides of the grid that has `time` patches."""
        if not isinstance(time, int):
            message = f"a grid needs a known number of patches, and '{time}' is not a number"
            raise OptionError("rows", message, "read an image, or features of a length")
        side = isqrt(time)
        if self.rows is None and self.columns is None and side * side != time:
            message = f"{time} patches are no square: one side of their grid must be given"
            raise OptionError("rows", message, f"rows: {_nearest_side(time, side)}")
        rows = self.rows or (time // self.columns if self.columns else side)
        columns = self.columns or time // rows
        if rows * columns != time:
            option = "columns" if self.columns else "rows"
            message = f"{time} patches are not a grid of {rows} × {columns}"
            near = _nearest_side(time, rows)
            raise OptionError(option, message, f"rows: {near}, columns: {time // near}")
        return self.model_copy(update={"rows": rows, "columns": columns})


class WindowAttention(_Grid):
    """Self-attention within square windows of a grid, by learned biases of relative positions.

    As in Swin (Liu et al., 2021, arXiv:2103.14030). With a `shift` the grid is moved before it is
    cut, and what was not side by side before does not attend to each other. A grid that is no
    multiple of the window is filled up with zeros, which take part as keys, as they were published.
    """

    kind: Literal["window_attention"] = "window_attention"
    role: ClassVar[Role] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4, "window": 2},
        {"num_heads": 4, "window": 3, "shift": 1, "head_dim": 6, "bias": False},
        {"num_heads": 2, "window": 2, "shift": 1, "rows": 3, "dropout": 0.1},
    )
    example_inputs = {"x": (2, 36, 32)}

    num_heads: Positive = Field(description="Number of heads.")
    head_dim: Positive | None = Field(
        default=None, description="Width of a head. Default: d_model / num_heads."
    )
    window: Positive = Field(description="Side of a window, in patches.")
    shift: Natural = Field(
        default=0, description="How far the windows are moved down and right; half a window."
    )
    bias: bool = Field(default=True, description="Whether the four projections have a bias.")
    dropout: Probability = Field(default=0.0, description="Dropout on the attention weights.")

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place).on_grid(place["time"])
        assert made.rows is not None
        assert made.columns is not None
        least = min(made.rows, made.columns)
        if made.window > least:
            message = (
                f"a window of {made.window} is larger than a grid of {made.rows} × {made.columns}"
            )
            raise OptionError("window", message, f"window: {least}")
        if made.shift >= made.window or (made.shift and made.window == made.rows == made.columns):
            message = f"a shift of {made.shift} says nothing with windows of {made.window} "
            message += f"on a grid of {made.rows} × {made.columns}"
            fix = "leave out shift" if made.window == least else f"shift: {made.window // 2}"
            raise OptionError("shift", message, fix)
        width = place["d_model"]
        if made.head_dim is None:
            if width % made.num_heads:
                message = f"d_model {width} is not a multiple of num_heads {made.num_heads}"
                raise OptionError("num_heads", message, "give head_dim")
            made = made.model_copy(update={"head_dim": width // made.num_heads})
        return made

    def tensors(self, axes: Axes) -> Tensors:
        inner = axes.num_heads * axes.head_dim
        shapes = {"q": (inner, axes.d_model), "k": (inner, axes.d_model)}
        shapes |= {"v": (inner, axes.d_model), "o": (axes.d_model, inner)}
        tensors: Tensors = {"position_bias": ((2 * self.window - 1) ** 2, axes.num_heads)}
        for name, shape in shapes.items():
            tensors[f"{name}.weight"] = shape
            if self.bias:
                tensors[f"{name}.bias"] = shape[:1]
        return tensors

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows, columns = (side + -side % self.window for side in (axes.rows, axes.columns))
        names: tuple[Literal["q", "k", "v", "o"], ...] = ("q", "k", "v", "o")
        return {name: LinearMap(name, axes.batch * rows * columns) for name in names}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "rows": self.rows,
            "columns": self.columns,
            "window": self.window,
            "more_rows": -axes.rows % self.window,
            "more_columns": -axes.columns % self.window,
            "shift": self.shift,
            "bias": self.bias,
            "dropout": self.dropout,
        }

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(over="padding")}

    def _patches(self, axes: Axes) -> Size:
        """Patches of the grids, each filled up to whole windows."""
        rows, columns = (side + -side % self.window for side in (axes.rows, axes.columns))
        return axes.batch * rows * columns

    def products(self, axes: Axes) -> tuple[Product, ...]:
        inner = axes.num_heads * axes.head_dim
        linear: Size = 2 * self._patches(axes) * axes.d_model * inner
        scores: Size = 2 * self._patches(axes) * self.window**2 * inner
        weights = ("x", "q", "k", "position_bias")
        return (
            *(Product(linear, ("x",), (f"{name}.weight",)) for name in ("q", "k", "v")),
            Product(scores, ("x", "q"), ("x", "k")),
            Product(scores, weights, ("x", "v")),
            Product(linear, (*weights, "v"), ("o.weight",)),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """The grid as it is cut instead of the sequence, heads, scores, and the distances."""
        patches, area = self._patches(axes), self.window**2
        assert isinstance(patches, int), "axes are numbers"
        numbers = patches * (axes.d_model + 4 * axes.num_heads * axes.head_dim)
        numbers += patches * axes.num_heads * area * (3 if self.dropout else 1)
        apart = patches // axes.batch * area if self.shift else 0
        return Kept((), numbers, 8 * area**2 + apart + (patches if masked else 0))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """With windows of their own distances, scores are made in several steps."""
        patches, inner = self._patches(axes), axes.num_heads * axes.head_dim
        assert isinstance(patches, int), "axes are numbers"
        plain = 4 * patches * inner
        if not (self.shift or self.dropout):
            return Working(0, 0, plain)
        scores = 2 * patches * axes.num_heads * self.window**2
        return Working(0, 0, plain + patches * (axes.d_model + inner) + scores)

    def label(self, axes: Axes) -> Label:
        shift = f", shifted by {self.shift}" if self.shift else ""
        heads = f"{self.num_heads} heads × {self.head_dim}"
        return Label("Window Self-Attention", f"{heads}, window {self.window}{shift}")


class PatchMerge(_Grid):
    """Each square of four patches made one: side by side, normed, and mapped (Swin)."""

    kind: Literal["patch_merge"] = "patch_merge"
    role: ClassVar[Role] = "resample"
    mixes_time: ClassVar[bool] = True
    signature: ClassVar[str] = "x[batch time width] -> [batch merged d_model]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"rows": 3, "d_model": 8, "eps": 1e-6},
    )
    example_inputs = {"x": (2, 36, 12)}

    d_model: Positive | None = Field(
        default=None, description="Width after the map. Default: twice the width before."
    )
    eps: PositiveNumber = Field(default=1e-5, description="Of the norm.")

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        axes = self.parsed.bind(inputs)  # type: ignore[arg-type]  # one port
        made = self.on_grid(axes["time"])
        assert made.rows is not None
        assert made.columns is not None
        merged = -(-made.rows // 2) * -(-made.columns // 2)
        width = 2 * axes["width"] if self.d_model is None else self.d_model
        sizes = {**axes, "merged": merged, "d_model": width}
        known = Axes({**sizes, "rows": made.rows, "columns": made.columns})
        return made, known, {"": (axes["batch"], merged, width)}

    def tensors(self, axes: Axes) -> Tensors:
        return {"linear.weight": (axes.d_model, 4 * axes.width)}

    def parts(self, axes: Axes) -> dict[str, Placed]:
        shape = (axes.batch, axes.merged, 4 * axes.width)
        return {"norm": place(LayerNorm(eps=self.eps), {"x": shape})}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return {"linear": LinearMap("project", axes.batch * axes.merged)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "width": axes.width,
            "d_model": axes.d_model,
            "rows": self.rows,
            "columns": self.columns,
            "more_rows": axes.rows % 2,
            "more_columns": axes.columns % 2,
        }

    def products(self, axes: Axes) -> tuple[Product, ...]:
        flops: Size = 8 * axes.batch * axes.merged * axes.width * axes.d_model
        return (Product(flops, ("x", "norm"), ("linear.weight",)),)

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """The grid with its patches side by side instead of the sequence."""
        norm = self.parts(axes)["norm"]
        return Kept((), norm.size + norm.inside())

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(0, 1, self.parts(axes)["norm"].size)

    def label(self, axes: Axes) -> Label:
        grid = f"{axes.rows} × {axes.columns} → {-(-axes.rows // 2)} × {-(-axes.columns // 2)}"
        return Label("Patch Merging", f"{grid}, {axes.width} → {axes.d_model}")


def _nearest_side(time: int, wanted: int) -> int:
    """The side nearest to the wanted one of a grid with `time` patches."""
    return min((n for n in range(1, time + 1) if time % n == 0), key=lambda n: abs(n - wanted))
