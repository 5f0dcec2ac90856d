"""Shapes as values: sizes are integers or small polynomials over named lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Union

Size = Union[int, "Dim"]
Shape = tuple[Size, ...]
Atom = Union[str, "Quotient"]
Monomial = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Quotient:
    """`numerator // denominator` where the division is not known to be exact."""

    numerator: Dim
    denominator: int

    def __str__(self) -> str:
        text = str(self.numerator)
        return f"{text if text.isidentifier() else f'({text})'}//{self.denominator}"


@dataclass(frozen=True, slots=True)
class Dim:
    """A size that depends on a length not known yet, e.g. `batch` or `2*source + 1`.

    Arithmetic gives a plain `int` again as soon as no length is left.
    """

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Size) -> Size:
        return _collect([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        return self + (-1) * other

    def __rsub__(self, other: Size) -> Size:
        return other + (-1) * self

    def __mul__(self, other: Size) -> Size:
        return _collect(
            [
                (tuple(sorted(a + b, key=str)), x * y)
                for a, x in self.terms
                for b, y in _terms(other)
            ]
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Size:
        if all(count % other == 0 for _, count in self.terms):
            return _collect([(atoms, count // other) for atoms, count in self.terms])
        inner, rest = self._quotient()
        if inner is not None:  # one floor of both divisions
            return (inner.numerator + rest * inner.denominator) // (inner.denominator * other)
        return Dim((((Quotient(self, other),), 1),))

    def _quotient(self) -> tuple[Quotient | None, int]:
        """Where it is one quotient and a number, these."""
        quotients = [atoms[0] for atoms, count in self.terms if len(atoms) == count == 1]
        numbers = [count for atoms, count in self.terms if not atoms]
        one = quotients[0] if len(quotients) == 1 else None
        whole = len(quotients) + len(numbers) == len(self.terms)
        return (one if whole and isinstance(one, Quotient) else None), sum(numbers)

    def __mod__(self, other: int) -> Size:
        return self - (self // other) * other

    def __str__(self) -> str:
        text = " + ".join(_term_text(atoms, count) for atoms, count in self.terms)
        return text.replace("+ -", "- ")


def symbol(name: str) -> Dim:
    """The length called `name`."""
    return Dim((((name,), 1),))


def divide(size: Size, by: Size) -> Size | None:
    """`size / by` if it is exact for every length, else None."""
    if isinstance(by, int):
        quotient = size // by
        return quotient if quotient * by == size else None
    if len(by.terms) != 1:
        return 1 if size == by else None
    ((atoms, count),) = by.terms
    terms: list[tuple[Monomial, int]] = []
    for monomial, number in _terms(size):
        rest = list(monomial)
        for atom in atoms:
            if atom not in rest:
                return None
            rest.remove(atom)
        if number % count:
            return None
        terms.append((tuple(rest), number // count))
    return _collect(terms)


def evaluate(size: Size, lengths: Mapping[str, int]) -> int:
    """The number that `size` is once every length has one.

    Raises KeyError for a length that has none.
    """
    if isinstance(size, int):
        return size
    return sum(
        count * prod(_atom_value(atom, lengths) for atom in atoms) for atoms, count in size.terms
    )


def lengths_in(size: Size) -> Iterator[str]:
    """Names of the lengths that `size` depends on."""
    for atoms, _ in _terms(size):
        for atom in atoms:
            if isinstance(atom, str):
                yield atom
            else:
                yield from lengths_in(atom.numerator)


def show(shape: Shape) -> str:
    """A shape as people write it: `[batch, source, 512]`."""
    return "[" + ", ".join(str(size) for size in shape) + "]"


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    return size.terms if isinstance(size, Dim) else (((), size),)


def _collect(terms: list[tuple[Monomial, int]]) -> Size:
    total: dict[Monomial, int] = {}
    for atoms, count in terms:
        total[atoms] = total.get(atoms, 0) + count
    left = {atoms: count for atoms, count in total.items() if count}
    if not left:
        return 0
    if list(left) == [()]:
        return left[()]
    return Dim(tuple(sorted(left.items(), key=lambda term: (-len(term[0]), str(term[0])))))


def _term_text(atoms: Monomial, count: int) -> str:
    if not atoms:
        return str(count)
    names = "*".join(str(atom) for atom in atoms)
    return names if count == 1 else f"{count}*{names}"


def _atom_value(atom: Atom, lengths: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        return lengths[atom]
    return evaluate(atom.numerator, lengths) // atom.denominator


class Axes(Mapping[str, Any]):
    """The sizes that a component's named axes and options have in one place, read as attributes."""

    __slots__ = ("_sizes",)

    def __init__(self, sizes: Mapping[str, Size]) -> None:
        self._sizes = dict(sizes)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - an int wherever tensors depend on it
        try:
            return self._sizes[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Size:
        return self._sizes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axes) and self._sizes == other._sizes

    def __hash__(self) -> int:
        return hash(tuple(self._sizes.items()))

    def __reduce__(self) -> tuple[type[Axes], tuple[dict[str, Size]]]:
        return Axes, (self._sizes,)


class ShapeError(Exception):
    """An input that a component cannot take: `port` wants `want` but gets `got`."""

    def __init__(self, port: str, want: str, got: Shape, why: str = "", index: int = 0) -> None:
        super().__init__(f"port '{port}' wants {want} but gets {show(got)}{why and f': {why}'}")
        self.port, self.want, self.got, self.why, self.index = port, want, got, why, index


@dataclass(frozen=True, slots=True)
class Port:
    """A named input or output and its axes."""

    name: str
    axes: tuple[str, ...]

    def __str__(self) -> str:
        return "[" + " ".join(self.axes) + "]"


@dataclass(frozen=True, slots=True)
class Signature:
    """`x[batch time d_model] -> [batch time d_model]`, parsed."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Reads a signature; raises TypeError, since only a component's author can cause it."""
        match = re.fullmatch(r"\s*(.*?)\s*->\s*(.*?)\s*", text)
        if match is None:
            msg = f"signature {text!r} has no '->'"
            raise TypeError(msg)
        return cls(_ports(match[1], text), _ports(match[2], text), text)

    def bind(self, inputs: Mapping[str, Shape]) -> dict[str, Size]:
        """Sizes of the named axes, given the shape at each port.

        Raises ShapeError where an input has another number of axes, or a name two sizes.
        """
        sizes: dict[str, Size] = {}
        for port in self.inputs:
            got = inputs[port.name]
            if len(got) != len(port.axes):
                raise ShapeError(port.name, str(port), got)
            for name, size in zip(port.axes, got, strict=True):
                if name.isdigit() and size != int(name):
                    raise ShapeError(port.name, str(port), got, f"axis '{name}' is {size}")
                if sizes.setdefault(name, size) != size:
                    why = f"'{name}' is {sizes[name]} elsewhere and {size} here"
                    raise ShapeError(port.name, str(port), got, why)
        return sizes


def _ports(text: str, whole: str) -> tuple[Port, ...]:
    ports = tuple(
        Port(name, tuple(axes.split())) for name, axes in re.findall(r"(\w*)\[([^\]]*)\]", text)
    )
    if re.sub(r"\w*\[[^\]]*\]|[,\s]", "", text):
        msg = f"signature {whole!r} is not a list of name[axes]"
        raise TypeError(msg)
    return ports
