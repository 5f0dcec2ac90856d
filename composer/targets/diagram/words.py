"""Numbers, shapes and layers in few words."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from composer.components.component import Component
from composer.graph.graph import Graph, Input, State
from composer.shapes import Dim, Quotient, Shape, Size, lengths_in

_GROUPED = 10_000
_FEW = 4
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def number(value: int) -> str:
    """A whole number; from 10 000 on in groups of three digits.

    >>> number(2048), number(37000)
    ('2048', '37 000')
    """
    return f"{value:,}".replace(",", " ") if value >= _GROUPED else str(value)


def count(value: int) -> str:
    """A number to three digits with its unit.

    >>> count(63_082_496), count(999_999), count(512)
    ('63.1 M', '1 M', '512')
    """
    rounded = float(f"{value:.3g}")
    for unit, letter in _UNITS:
        if rounded >= unit:
            return f"{rounded / unit:.3g} {letter}"
    return str(value)


def letters_of(graph: Graph) -> dict[str, str]:
    """A letter of its own for every length: B for the batch, else the first of its name.

    A length whose letters are all taken keeps its name.
    """
    letters = {"batch": "B"}
    for name in dict.fromkeys(_lengths(graph)):
        taken = set(letters.values())
        wanted = [c for c in name.upper() if c in string.ascii_uppercase]
        free = (c for c in [*wanted, *string.ascii_uppercase] if c not in taken)
        letters.setdefault(name, next(free, name))
    return letters


def _lengths(graph: Graph) -> Iterator[str]:
    for part in sorted(graph.parts.values(), key=lambda part: not isinstance(part, Input)):
        for size in part.value.shape:
            yield from lengths_in(size)


def shape(sizes: Shape, letters: Mapping[str, str]) -> str:
    """A shape with a letter for each length: `[B, S, 512]`."""
    return "[" + ", ".join(size_text(size, letters) for size in sizes) + "]"


def size_text(size: Size, letters: Mapping[str, str]) -> str:
    """A size with a letter for each length: `2·S + 1`."""
    if isinstance(size, int):
        return number(size)
    text = " + ".join(_term(atoms, times, letters) for atoms, times in size.terms)
    return text.replace("+ -", "- ")


def _term(atoms: Sequence[str | Quotient], times: int, letters: Mapping[str, str]) -> str:
    factors = [
        letters.get(atom, atom) if isinstance(atom, str) else _quotient(atom, letters)
        for atom in atoms
    ]
    return "·".join([str(times), *factors] if times != 1 or not atoms else factors)


def _quotient(atom: Quotient, letters: Mapping[str, str]) -> str:
    above = size_text(atom.numerator, letters)
    plain = isinstance(atom.numerator, Dim) and len(atom.numerator.terms) == 1
    return f"{above}//{atom.denominator}" if plain else f"({above})//{atom.denominator}"


def layers(numbers: Sequence[int]) -> str:
    """Which layers, by their numbers in rising order.

    >>> layers([3]), layers([0, 4, 8]), layers([0, 1, 2, 3, 4]), layers(range(0, 48, 6))
    ('layer 3', 'layers 0, 4, 8', 'layers 0-4', 'layers 0, 6, … 42')
    """
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    steps = {b - a for a, b in pairwise(numbers)}
    if steps == {1} and len(numbers) > 2:  # noqa: PLR2004 - two layers are no range
        return f"layers {numbers[0]}-{numbers[-1]}"
    if len(numbers) <= _FEW:
        return "layers " + _list(numbers)
    if len(steps) == 1:
        return f"layers {numbers[0]}, {numbers[1]}, … {numbers[-1]}"
    return f"layers {_list(numbers[: _FEW - 1])}, …"


def pairs(found: Sequence[tuple[int, int]]) -> str:
    """From which layer to which, as a rule where they follow one.

    >>> pairs([(0, 5), (1, 4), (2, 3)]), pairs([(0, 0), (1, 1)]), pairs([(2, 4)])
    ('layer i → layer 5 - i', 'layer i → layer i', 'layer 2 → layer 4')
    """
    if len(found) == 1:
        return f"layer {found[0][0]} → layer {found[0][1]}"
    if len({a + b for a, b in found}) == 1:
        return f"layer i → layer {sum(found[0])} - i"
    shifts = {b - a for a, b in found}
    if len(shifts) == 1:
        (shift,) = shifts
        moved = f" {'+' if shift > 0 else '-'} {abs(shift)}" if shift else ""
        return f"layer i → layer i{moved}"
    shown = ", ".join(f"{a} → {b}" for a, b in found[:_FEW])
    return f"layers {shown}{', …' if len(found) > _FEW else ''}"


def widths(shape: tuple[int, ...]) -> str:
    """From which width to which a weight of this shape maps.

    >>> widths((2048, 512))
    '512 → 2048'
    """
    out, width = shape
    return f"{number(width)} → {number(out)}"


def listed(words: Iterable[str]) -> str:
    """Words as a list in prose: `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def ordinal(value: int) -> str:
    """A number's place in a row.

    >>> ordinal(2), ordinal(11), ordinal(23)
    ('2nd', '11th', '23rd')
    """
    endings = {1: "st", 2: "nd", 3: "rd"}
    teens = value % 100 in (11, 12, 13)
    return f"{value}{'th' if teens else endings.get(value % 10, 'th')}"


def after(states: Sequence[State]) -> list[str]:
    """Which layers some states stand after, or whose weights they are; nothing for a result."""
    numbers = [state.layer for state in states if state.layer is not None]
    return [("of " if states[0].item else "after ") + layers(numbers)] if numbers else []


def option(name: str, value: object) -> str:
    """An option in words: its name, and its value as a spec has it.

    >>> option("bias", False), option("dropout", 0.1), option("stages", (1, 2))
    ('bias false', 'dropout 0.1', 'stages [1, 2]')
    """
    return f"{name} {_value(value)}"


def _value(value: object) -> str:
    """The value of an option; of a component its kind, and the options that were chosen."""
    if isinstance(value, Component):
        fields = type(value).model_fields
        given = [(name, getattr(value, name)) for name in fields if name != "kind"]
        chosen = [option(n, v) for n, v in given if v not in (fields[n].default, None)]
        return f"{value.kind} ({', '.join(chosen)})" if chosen else value.kind
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
