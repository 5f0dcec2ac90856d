"""From text to events, and what people are told when the parser finds none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import yaml  # type: ignore[import-untyped, unused-ignore]

from composer.diagnostics import Note, SpecError

from .yaml_faults import Fault, refusal
from .yaml_places import BREAK, Mark, Place, Point, point_at


class _Loader(Protocol):
    """What is used of PyYAML's loaders."""

    def get_event(self) -> yaml.Event: ...
    def dispose(self) -> None: ...


LoaderClass: TypeAlias = Callable[[str], _Loader]


# What PyYAML's parsers are known to raise on bad input besides their own errors.
_LEAKS = (
    yaml.YAMLError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def events_in(text: str, place: Place, loader_class: LoaderClass) -> Iterator[yaml.Event]:
    """The events of `text`, one at a time, so that a limit stops the scanner where it is."""
    loader = loader_class(text)
    last: Mark = Point(0, 0)
    try:
        while not isinstance(event := _next_event(loader, text, place, last), yaml.StreamEndEvent):
            _, last = marks(event)
            yield event
    finally:
        loader.dispose()


def _next_event(loader: _Loader, text: str, place: Place, last: Mark) -> yaml.Event:
    try:
        return loader.get_event()
    except _LEAKS as error:
        point: Mark = getattr(loader, "get_mark", lambda: last)()
        raise _syntax_error(error, point, text, place) from error


def marks(event: yaml.Event) -> tuple[Mark, Mark]:
    """Where the event starts and ends."""
    start, end = event.start_mark, event.end_mark
    assert start, "PyYAML marks where every event starts"
    assert end, "PyYAML marks where every event ends"
    return start, end


@dataclass(frozen=True, slots=True)
class _Clue:
    """What to say when PyYAML's words and the character it stopped at match `pattern`."""

    pattern: str
    message: str
    fix: str
    fault: Fault = Fault.SYNTAX
    start: str = ""  # what a note calls the place where PyYAML's context began
    at_start: bool = False  # the fault is that place, not the one where PyYAML gave up


_ESCAPE_FIX = r"write \\ for a backslash, or use single quotes"


_INDENT_FIX = "indent it like its neighbours, delete it, or put the whole text in quotes"


# The first that fits counts. PyYAML's two parsers word things differently; both must match.
_CLUES = (
    _Clue(r"a tab character|start any token.* at '\\t'", "a tab cannot stand here", "write spaces"),
    _Clue("start any token", "text cannot start with '{char}'", "put the text in quotes"),
    _Clue(
        "scanning an (alias|anchor)",
        "'*' and '&' are for names of letters and digits",
        "put the text in quotes",
        at_start=True,
    ),
    _Clue(
        "quoted scalar found unexpected",
        "this quote is never closed",
        "close the text with the same quote",
        at_start=True,
    ),
    _Clue(" tag", "this tag cannot be read", "delete it, or put the text in quotes", Fault.TAG),
    _Clue(r"escape|hex|chr\(\)", "this escape does not exist", _ESCAPE_FIX),
    _Clue(
        "a flow sequence",
        "a ',' or ']' is missing before this",
        "close the list with ']', and put text that holds ',', ':', '[' or ']' in quotes",
        start="the list starts here",
    ),
    _Clue(
        "a flow mapping",
        "a ',' or '}' is missing before this",
        "close the mapping with '}', and put text that holds ',', ':', '{' or '}' in quotes",
        start="the mapping starts here",
    ),
    _Clue(
        "mapping values are not allowed",
        "a ':' cannot stand here",
        "line the key up with its neighbours, or put text that holds ': ' in quotes",
    ),
    _Clue(
        "sequence entries are not allowed",
        "a list cannot start here",
        "start it on a line of its own, or put text that starts with '- ' in quotes",
    ),
    _Clue("simple key", "a ':' is missing after this", "write 'key: value'", at_start=True),
    _Clue(
        "<document start>",
        "the document has ended before this",
        "line it up with the rest, or delete it",
        Fault.DOCUMENTS,
    ),
    _Clue(
        "a block collection",
        "this does not belong to the list above it",
        _INDENT_FIX,
        start="the list starts here",
    ),
    _Clue(
        "a block mapping",
        "this does not belong to the keys above it",
        _INDENT_FIX,
        start="the keys start here",
    ),
    _Clue("unexpected ':'", "a space is missing after this ':'", "write 'key: value'"),
    _Clue(
        "block scalar",
        "nothing may follow '|' or '>' on its line",
        "write the text on the lines below, or put it in quotes",
    ),
    _Clue("node content", "a value is missing here", "write it, or put the text in quotes"),
    _Clue("", "this is not YAML", "check quotes, brackets and indentation here"),
)


def _syntax_error(error: Exception, point: Mark, text: str, place: Place) -> SpecError:
    """What PyYAML found, in our words and at the place that has to change."""
    context: Mark | None = getattr(error, "context_mark", None)
    found: Mark = getattr(error, "problem_mark", None) or context or point
    lines = BREAK.split(text)
    char = lines[found.line][found.column : found.column + 1] if found.line < len(lines) else ""
    said = f"{getattr(error, 'context', '')} {getattr(error, 'problem', error)} at {char!r}"
    clue = next(clue for clue in _CLUES if re.search(clue.pattern, said))
    at_end = (found.line, found.column) >= point_at(text, len(text.rstrip()))
    notes: tuple[Note, ...] = ()
    message = clue.message.replace("{char}", char)
    if context and clue.at_start:
        found = context
    elif context and "flow" in clue.pattern and at_end:
        found, message = context, "this is never closed"
    elif context and clue.start:
        notes = (Note(clue.start, place(context, context)),)
    return refusal(clue.fault, message, place(found, found), clue.fix, notes)
