"""Problems: what is wrong with a spec, where, and how it is shown.

A stage collects its problems in `Problems` and raises them together as one `SpecError`. The letter
of a code is its layer and a code never changes its meaning: Y1xx YAML, C1xx schema, G2xx graph,
S2xx shape, D3xx drawing, W4xx weights, T5xx training, P6xx several devices, E6xx export, Q7xx
compression, I9xx internal.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

_WINDOW = 120  # the most characters of a line that are shown
_LEAD = 40  # of these, how many stand before the caret when the line is cut
_GUTTER = 5
_TAB = "    "
_LONGEST_GUESS = 100  # no name is this long, and difflib takes quadratic time
_CLOSE = 0.6  # of difflib's ratio: `fnn` is close to `ffn`, `head` to `num_heads`

_RED = "\x1b[31m"
_BOLD_RED = "\x1b[1;31m"
_CYAN = "\x1b[36m"
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Span:
    """A place within one line: 1-based, columns count characters, `end_column` is exclusive.

    `text` is the line itself; without it the place is named but no snippet is shown.
    """

    file: str
    line: int
    column: int
    end_column: int
    text: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that belongs to a problem: most often the other end of a conflict."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: its code, what was found and wanted, where, and what to write instead."""

    code: str
    message: str
    span: Span | None
    notes: tuple[Note, ...] = ()
    fix: str | None = None


class SpecError(Exception):
    """The problems of one stage, in file order and without repeats; `str()` shows them."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Sort `problems` by place and keep the first of those that say the same."""
        kept: dict[tuple[str, Span | None, str], Problem] = {}
        for problem in sorted(problems, key=_place):
            kept.setdefault((problem.code, problem.span, problem.message), problem)
        self.problems = tuple(kept.values())
        assert self.problems, "a SpecError needs at least one problem"
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Show the problems as plain text."""
        return render(self.problems)


class Problems:
    """The problems that one stage has found so far."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: list[Problem] = []

    def add(
        self,
        code: str,
        message: str,
        span: Span | None,
        notes: Iterable[Note] = (),
        fix: str | None = None,
    ) -> None:
        """Remember one problem."""
        self._found.append(Problem(code, message, span, tuple(notes), fix))

    def raise_if_any(self) -> None:
        """Raise everything found as one `SpecError`; do nothing if there is nothing."""
        if self._found:
            raise SpecError(self._found)

    def __len__(self) -> int:
        """Count the problems found, so that an empty collector is false."""
        return len(self._found)


def render(problems: Iterable[Problem], *, color: bool = False, limit: int = 20) -> str:
    """The problems as people read them: place, line, caret, notes, fix; at most `limit` of them."""
    every = tuple(problems)
    blocks = ["\n".join(_block(problem, color=color)) for problem in every[:limit]]
    if len(every) > limit:
        blocks.append(f"and {len(every) - limit} more")
    return "\n\n".join(blocks)


def to_json(problems: Iterable[Problem]) -> str:
    """The problems as a JSON list for editors; what has no place has null for its place."""
    return json.dumps([_record(problem) for problem in problems], indent=2)


def nearest(word: str, choices: Iterable[str], n: int = 1) -> list[str]:
    """The up to `n` choices spelled most like `word`, best first; empty if none is close."""
    if len(word) > _LONGEST_GUESS:
        return []
    folded = _fold(word)
    scores = {
        choice: difflib.SequenceMatcher(None, _fold(choice), folded).ratio()
        for choice in set(choices)
    }
    close = [choice for choice, score in scores.items() if score >= _CLOSE]
    return sorted(close, key=lambda choice: (-scores[choice], choice))[:n]


def escape(text: str) -> str:
    r"""`text` on one line, where every character that is hidden or moves others is spelled out.

    >>> escape("a\tb\x1b")
    'a\\tb\\x1b'
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _place(problem: Problem) -> tuple[str, int, int]:
    span = problem.span
    return (span.file, span.line, span.column) if span else ("", 0, 0)


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")


def _block(problem: Problem, *, color: bool) -> list[str]:
    span = problem.span
    width = max(_GUTTER, len(str(span.line))) if span else _GUTTER
    label = _paint(f"error[{escape(problem.code)}]", _BOLD_RED, color=color)
    lines = [f"{_where(span)}{label}: {escape(problem.message)}"]
    if span and span.text:
        lines += _snippet(span, width, color=color)
    margin = " " * width + " = "
    lines += [f"{margin}{_where(note.span)}{escape(note.message)}" for note in problem.notes]
    if problem.fix is not None:
        lines.append(f"{margin}{_paint('fix:', _CYAN, color=color)} {escape(problem.fix)}")
    return lines


def _where(span: Span | None) -> str:
    return f"{escape(span.file)}:{span.line}:{span.column}: " if span else ""


def _snippet(span: Span, width: int, *, color: bool) -> list[str]:
    """The line and, below it, the carets."""
    text = span.text
    start = span.column - 1
    first = max(0, min(start - _LEAD, len(text) - _WINDOW))
    last = first + _WINDOW
    cells = [_TAB if char == "\t" else _visible(char) for char in text[first:last]]
    head = "..." if first else ""
    tail = "..." if last < len(text) else ""
    before = head + "".join(cells[: start - first])
    marked = "".join(cells[start - first : max(span.end_column - 1 - first, 0)])
    carets = _paint("^" * max(1, _columns(marked)), _RED, color=color)
    return [
        f"{span.line:>{width}} | {head}{''.join(cells)}{tail}".rstrip(),
        f"{'':>{width}} | {' ' * _columns(before)}{carets}",
    ]


def _columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":  # a byte that is not UTF-8, kept by `surrogateescape`
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def _paint(text: str, style: str, *, color: bool) -> str:
    return f"{style}{text}{_RESET}" if color else text


def _record(problem: Problem) -> dict[str, object]:
    return {
        **_position(problem.span),
        "code": problem.code,
        "severity": "error",
        "message": problem.message,
        "fix": problem.fix,
        "notes": [{**_position(note.span), "message": note.message} for note in problem.notes],
    }


def _position(span: Span | None) -> dict[str, object]:
    names = ("file", "line", "column", "end_column")
    return {name: getattr(span, name) if span else None for name in names}
