"""What a rule may do to tensors.

Every operation knows its shapes before a tensor is read, and its inverse.

An operation takes a list of tensors and gives a list. Those that cut give the pieces of the first
tensor, then of the second; those that join take them in the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from composer.components.component import OptionError
from composer.components.einops import Rearrange as RearrangeRule
from composer.shapes import ShapeError, show

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]


class OperationError(Exception):
    """Shapes that an operation cannot take; the text says why."""


class Operation(ABC):
    """One step between the tensors of a source and those of a spec."""

    @abstractmethod
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        """The shapes of what it makes; raises OperationError."""

    @abstractmethod
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        """What it makes."""

    @abstractmethod
    def inverse(self) -> Operation:
        """The operation that undoes it."""


@dataclass(frozen=True)
class Transpose(Operation):
    """Swaps the last two axes; a vector stays as it is."""

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        return [(*s[:-2], s[-1], s[-2]) if len(s) > 1 else s for s in given]

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        return [t.transpose(-1, -2) if t.dim() > 1 else t for t in given]

    @override
    def inverse(self) -> Operation:
        return self


@dataclass(frozen=True)
class Rearrange(Operation):
    """The operation of einops: axes in another order, split or merged."""

    pattern: str
    sizes: Mapping[str, int] = field(hash=False)

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        return [self._shape(shape) for shape in given]

    def _shape(self, shape: Shape) -> Shape:
        try:
            rule = RearrangeRule(pattern=self.pattern, **self.sizes)  # type: ignore[arg-type]
            made = rule.infer({"x": shape}, {})[2][""]
        except (OptionError, ShapeError) as error:
            raise OperationError(f"{show(shape)} is not '{self.pattern}': {error}") from None
        return tuple(size for size in made if isinstance(size, int))

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        from einops import rearrange

        return [rearrange(tensor, self.pattern, **self.sizes) for tensor in given]

    @override
    def inverse(self) -> Operation:
        left, _, right = self.pattern.partition("->")
        return Rearrange(f"{right.strip()} -> {left.strip()}", self.sizes)


@dataclass(frozen=True)
class Split(Operation):
    """Cuts an axis that holds `groups` times the parts, one after the other, into the parts."""

    axis: int
    groups: int
    parts: tuple[int, ...]

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        whole = self.groups * sum(self.parts)
        for shape in given:
            if _size(shape, self.axis) != whole:
                parts = " + ".join(map(str, self.parts))
                raise OperationError(
                    f"axis {self.axis} of {show(shape)} is not {self.groups} * ({parts}) = {whole}"
                )
        return [
            _with(shape, self.axis, self.groups * part) for shape in given for part in self.parts
        ]

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        import torch

        return [
            piece.flatten(self.axis, self.axis + 1)
            for tensor in given
            for piece in torch.split(
                _grouped(tensor, self.axis, self.groups), list(self.parts), dim=self.axis + 1
            )
        ]

    @override
    def inverse(self) -> Operation:
        return Join(self.axis, self.groups, self.parts)


@dataclass(frozen=True)
class Join(Operation):
    """Joins as many tensors as there are parts: the inverse of `Split`."""

    axis: int
    groups: int
    parts: tuple[int, ...]

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        made = []
        for several in _batches(given, len(self.parts)):
            whole = [_with(shape, self.axis, 0) for shape in several]
            wanted = [self.groups * part for part in self.parts]
            sizes = [_size(shape, self.axis) for shape in several]
            if len(set(whole)) > 1 or sizes != wanted:
                shapes = ", ".join(map(show, several))
                raise OperationError(f"{shapes} do not join along axis {self.axis} as {wanted}")
            made.append(_with(several[0], self.axis, sum(sizes)))
        return made

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        import torch

        return [
            torch.cat(
                [_grouped(t, self.axis, self.groups) for t in several], dim=self.axis + 1
            ).flatten(self.axis, self.axis + 1)
            for several in _batches(given, len(self.parts))
        ]

    @override
    def inverse(self) -> Operation:
        return Split(self.axis, self.groups, self.parts)


@dataclass(frozen=True)
class Stack(Operation):
    """Stacks `count` rows of tensors along a new axis."""

    axis: int
    count: int

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        made = []
        for column in self._columns(given):
            if len(set(column)) > 1:
                other = next(shape for shape in column if shape != column[0])
                raise OperationError(f"{show(column[0])} and {show(other)} do not stack")
            if self.axis > len(column[0]):
                raise OperationError(f"{show(column[0])} does not stack along axis {self.axis}")
            made.append((*column[0][: self.axis], self.count, *column[0][self.axis :]))
        return made

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        import torch

        return [torch.stack(column, dim=self.axis) for column in self._columns(given)]

    @override
    def inverse(self) -> Operation:
        return Unstack(self.axis, self.count)

    def _columns(self, given: Sequence[Any]) -> list[list[Any]]:
        width = len(given) // self.count
        return [list(given[column::width]) for column in range(width)]


@dataclass(frozen=True)
class Unstack(Operation):
    """Takes tensors apart along an axis of `count`: the inverse of `Stack`."""

    axis: int
    count: int

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        for shape in given:
            if _size(shape, self.axis) != self.count:
                raise OperationError(f"axis {self.axis} of {show(shape)} is not {self.count}")
        return [
            (*shape[: self.axis], *shape[self.axis + 1 :])
            for _ in range(self.count)
            for shape in given
        ]

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.select(self.axis, row) for row in range(self.count) for tensor in given]

    @override
    def inverse(self) -> Operation:
        return Stack(self.axis, self.count)


@dataclass(frozen=True)
class Slice(Operation):
    """Keeps `start` to `stop` of an axis of `whole`; the rest is lost."""

    axis: int
    start: int
    stop: int
    whole: int

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        for shape in given:
            if not 0 <= self.start < self.stop <= _size(shape, self.axis):
                raise OperationError(
                    f"axis {self.axis} of {show(shape)} has no {self.start} to {self.stop}"
                )
        return [_with(shape, self.axis, self.stop - self.start) for shape in given]

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        return [t.narrow(self.axis, self.start, self.stop - self.start) for t in given]

    @override
    def inverse(self) -> Operation:
        return Pad(self.axis, self.start, self.stop, self.whole)


@dataclass(frozen=True)
class Pad(Operation):
    """Puts zeros where `Slice` cut."""

    axis: int
    start: int
    stop: int
    whole: int

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        for shape in given:
            if _size(shape, self.axis) != self.stop - self.start:
                raise OperationError(
                    f"axis {self.axis} of {show(shape)} is not {self.stop - self.start}"
                )
        return [_with(shape, self.axis, self.whole) for shape in given]

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        made = []
        for tensor in given:
            whole = tensor.new_zeros(_with(tuple(tensor.shape), self.axis, self.whole))
            whole.narrow(self.axis, self.start, self.stop - self.start).copy_(tensor)
            made.append(whole)
        return made

    @override
    def inverse(self) -> Operation:
        return Slice(self.axis, self.start, self.stop, self.whole)


@dataclass(frozen=True)
class Fill(Operation):
    """Makes a tensor of one number out of nothing; undone, it checks that nothing else is there."""

    value: float
    shape: Shape

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        assert not given, "a tensor that is filled is made of nothing"
        return [self.shape]

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        import torch

        return [torch.full(self.shape, self.value)]

    @override
    def inverse(self) -> Operation:
        return Drop(self.value, self.shape)


@dataclass(frozen=True)
class Drop(Operation):
    """Leaves out a tensor of one number: the inverse of `Fill`."""

    value: float
    shape: Shape

    @override
    def shapes(self, given: Sequence[Shape]) -> list[Shape]:
        return []

    @override
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        if any(bool((tensor != self.value).any()) for tensor in given):
            raise OperationError(f"it must be {self.value:g} everywhere to be left out")
        return []

    @override
    def inverse(self) -> Operation:
        return Fill(self.value, self.shape)


def _grouped(tensor: Tensor, axis: int, groups: int) -> Tensor:
    """The tensor with one axis as two, of which the first counts the groups."""
    shape = tensor.shape
    return tensor.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def _size(shape: Shape, axis: int) -> int:
    if not 0 <= axis < len(shape):
        raise OperationError(f"{show(shape)} has no axis {axis}")
    return shape[axis]


def _with(shape: Shape, axis: int, size: int) -> Shape:
    _size(shape, axis)
    return (*shape[:axis], size, *shape[axis + 1 :])


def _batches(given: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [given[start : start + size] for start in range(0, len(given), size)]
