"""Places: from the marks of a parser to spans of the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from composer.diagnostics import Span


class Mark(Protocol):
    """A point of the text, 0-based, as PyYAML gives it."""

    @property
    def line(self) -> int:
        """The line, from 0."""
        ...

    @property
    def column(self) -> int:
        """The column, from 0."""
        ...


class Point(NamedTuple):
    """A point of the text, 0-based."""

    line: int
    column: int


Place: TypeAlias = Callable[[Mark, Mark], Span]


BREAK = re.compile(r"\r\n|\r|\n")


def places_in(text: str, file: str) -> Place:
    """What turns two marks of `text` into a span, which ends with the line that it starts on."""
    lines = BREAK.split(text)

    def place(start: Mark, end: Mark) -> Span:
        line = lines[start.line] if start.line < len(lines) else ""
        last = end.column if end.line == start.line else len(line.rstrip())
        return Span(file, start.line + 1, start.column + 1, max(last, start.column + 1) + 1, line)

    return place


def point_at(text: str, offset: int) -> Point:
    """The point at an offset of a text."""
    before = BREAK.split(text[:offset])
    return Point(len(before) - 1, len(before[-1]))


def place_of(text: str, offset: int, place: Place) -> Span:
    """The span of one character at an offset of a text."""
    point = point_at(text, offset)
    return place(point, point)
