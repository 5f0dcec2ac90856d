"""The einops operations as themselves: shapes are inferred from the pattern (Rogozhnikov, 2022)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Dim, Shape, ShapeError, Size, divide

from .component import Component, Inputs, Label, OptionError, Role
from .costs import Kept, Product

Group = tuple[str, ...]


class _Pattern(Component):
    """What the four operations share: a pattern, and sizes for axes it names."""

    role: ClassVar[Role] = "operator"
    needs: ClassVar[tuple[str, ...]] = ("from einops import {kind}",)
    mixes_time: ClassVar[bool] = True
    signature: ClassVar[str] = "x[any] -> [any]"
    model_config = {**Component.model_config, "extra": "allow"}

    pattern: str = Field(
        description="What becomes of the axes, e.g. '(b n) c -> b n c'.", max_length=200
    )

    def sizes(self) -> dict[str, int]:
        """Sizes given for axes of the pattern.

        Raises OptionError for one that the pattern does not name, or that is not a size.
        """
        named = set(re.findall(r"[A-Za-z_]\w*", self.pattern))
        for name, value in (self.model_extra or {}).items():
            if name not in named:
                raise OptionError(
                    name, f"unknown key '{name}': the pattern has no axis of that name"
                )
            if type(value) is not int or value < 1:
                raise OptionError(name, f"axis '{name}' needs a whole number of at least 1")
        return dict(self.model_extra or {})

    def sides(self) -> tuple[list[list[Group]], list[Group]]:
        """The groups of each input, and those of the output."""
        left, arrow, right = self.pattern.partition("->")
        if not arrow or "->" in right:
            raise OptionError(
                "pattern", f"'{self.pattern}' has no single '->'", 'pattern: "a b -> b a"'
            )
        return [self._groups(side) for side in left.split(",")], self._groups(right)

    def _groups(self, side: str) -> list[Group]:
        text = side.strip()
        if not re.fullmatch(r"(?:\([\w\s]*\)|[A-Za-z_]\w*|\d+|\s)*", text):
            raise OptionError(
                "pattern",
                f"'{text}' is not a list of axes",
                "use names, numbers and one level of brackets",
            )
        return [
            tuple(g[1:-1].split()) if g[0] == "(" else (g,)
            for g in re.findall(r"\([^)]*\)|\S+", text)
        ]

    def measure(
        self, groups: list[Group], shape: Shape, port: str, index: int = 0
    ) -> dict[str, Size]:
        """The size of each axis on one side of the pattern."""
        if len(groups) != len(shape):
            want = (
                "["
                + " ".join("(" + " ".join(g) + ")" if len(g) != 1 else g[0] for g in groups)
                + "]"
            )
            raise ShapeError(port, want, shape, index=index)
        known: dict[str, Size] = dict(self.sizes())
        found: dict[str, Size] = {}
        for group, size in zip(groups, shape, strict=True):
            found |= self._split(group, size, {**known, **found})
        return found

    def _split(self, group: Group, size: Size, known: Mapping[str, Size]) -> dict[str, Size]:
        rest, free = size, []
        for axis in group:
            value = int(axis) if axis.isdigit() else known.get(axis)
            if value is None:
                free.append(axis)
                continue
            exact = divide(rest, value)
            if exact is None and isinstance(rest, Dim) and isinstance(value, int):
                exact = rest // value  # a length only known later: einops checks it then
            if exact is None:
                raise OptionError(
                    "pattern",
                    f"'{' '.join(group)}' cannot be {size}: it is not a multiple of {axis} = {value}",
                )
            rest = exact
        if len(free) > 1:
            raise OptionError(
                "pattern",
                f"only one of {', '.join(free)} can be worked out from {size}",
                f"give {free[0]}: SIZE",
            )
        if not free and rest != 1:
            raise OptionError("pattern", f"'{' '.join(group)}' has another size than {size}")
        sizes = {axis: known[axis] for axis in group if axis in known}
        return {**sizes, **({free[0]: rest} if free else {})}

    def build(self, groups: list[Group], sizes: Mapping[str, Size]) -> Shape:
        """The shape that one side of the pattern has."""
        shape: list[Size] = []
        for group in groups:
            product: Size = 1
            for axis in group:
                if not axis.isdigit() and axis not in sizes:
                    raise OptionError("pattern", f"axis '{axis}' of the result comes from nowhere")
                product = product * (int(axis) if axis.isdigit() else sizes[axis])
            shape.append(product)
        return tuple(shape)

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        (shape,) = inputs.values()
        sides, right = self.sides()
        if len(sides) != 1:
            raise OptionError(
                "pattern", f"{self.kind} takes one tensor, the pattern has {len(sides)}"
            )
        sizes = self.measure(sides[0], shape, "x")  # type: ignore[arg-type]
        self.compare(sizes, right)
        return self, Axes({}), {"": self.build(right, {**self.sizes(), **sizes})}

    def compare(self, sizes: Mapping[str, Size], right: list[Group]) -> None:
        """Raises OptionError where the two sides may not differ as they do."""

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        sizes = "".join(f", {name}={size}" for name, size in self.sizes().items())
        return f'{self.kind}({inputs["x"]}, "{self.pattern}"{sizes})'

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept()

    def label(self, axes: Axes) -> Label:
        return Label(self.kind, self.pattern)


class Rearrange(_Pattern):
    """Axes in another order, split or merged: nothing is computed."""

    kind: Literal["rearrange"] = "rearrange"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"pattern": "b t (h d) -> b h t d", "h": 4},
        {"pattern": "b t c -> (b t) c"},
    )

    def compare(self, sizes: Mapping[str, Size], right: list[Group]) -> None:
        after = {axis for group in right for axis in group if not axis.isdigit()}
        if lost := sorted(set(sizes) - after):
            raise OptionError(
                "pattern", f"axis '{lost[0]}' disappears", "use reduce to sum or average it"
            )


class Reduce(_Pattern):
    """Axes that the result has not are summed, averaged, or their extremum taken."""

    kind: Literal["reduce"] = "reduce"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"pattern": "b t c -> b c", "by": "mean"},
        {"pattern": "b (t two) c -> b t c", "by": "max", "two": 2},
    )

    by: Literal["mean", "sum", "max", "min", "prod"] = Field(description="What is done.")

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        sizes = "".join(f", {name}={size}" for name, size in self.sizes().items())
        return f'reduce({inputs["x"]}, "{self.pattern}", "{self.by}"{sizes})'

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept() if self.by in {"mean", "sum"} else Kept(("x",), result=True)

    def label(self, axes: Axes) -> Label:
        return Label(self.by, self.pattern)


class Repeat(_Pattern):
    """New axes, along which the values are repeated."""

    kind: Literal["repeat"] = "repeat"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"pattern": "b t c -> b (t r) c", "r": 2},)


class Einsum(_Pattern):
    """Products of several tensors, summed over the axes that the result has not."""

    kind: Literal["einsum"] = "einsum"
    signature: ClassVar[str] = "xs[any] -> [any]"
    many: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"pattern": "b t d, b s d -> b t s"},)
    example_inputs = {"xs": ((2, 6, 32), (2, 5, 32))}

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        shapes: tuple[Shape, ...] = inputs["xs"]  # type: ignore[assignment]
        sides, right = self.sides()
        if len(sides) != len(shapes):
            raise OptionError(
                "pattern", f"the pattern has {len(sides)} tensors, 'from' names {len(shapes)}"
            )
        sizes: dict[str, Size] = {}
        for index, (groups, shape) in enumerate(zip(sides, shapes, strict=True)):
            for axis, size in self.measure(groups, shape, "xs", index).items():
                if sizes.setdefault(axis, size) != size:
                    raise ShapeError(
                        "xs", f"'{axis}' of {sizes[axis]}", shape, f"'{axis}' is {size} here", index
                    )
        return self, Axes({"terms": len(shapes), **sizes}), {"": self.build(right, sizes)}

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        return f'einsum({", ".join(inputs["xs"])}, "{self.pattern}")'

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("xs",))

    def products(self, axes: Axes) -> tuple[Product, ...]:
        if axes.terms != 2:  # noqa: PLR2004 - torch counts one product of two
            return ()
        total: Size = 2
        for name, size in axes.items():
            if name != "terms":
                total = total * size
        return (Product(total, ("xs.0",), ("xs.1",)),)
