"""Patterns of tensor names: what a rule of a weight map matches, and what it writes.

`{i}` with one letter is a number, `{p}` is `weight` or `bias`, and a longer word is a piece between
dots. `(q|k|v)` is one of several words; the other side of the rule has its words in the same order.
`*` is any text, and stands in `ignore` only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

Binding = dict[str, str]
"""What the captures of a pattern stand for; of the n-th bracket, `#n`, the place of the word."""

_TOKEN = re.compile(r"\{(\w+)\}|\(([^(){}*]*)\)|(\*)|([^(){}*]+)")


class PatternError(Exception):
    """A pattern that cannot be read; the text says why, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A piece of a name that both sides of a rule have."""

    name: str

    @property
    def expression(self) -> str:
        """The regular expression of what it may stand for."""
        if self.name == "p":
            return "weight|bias"
        return r"0|[1-9]\d*" if len(self.name) == 1 else r"[^.]+"


@dataclass(frozen=True, slots=True)
class Words:
    """One of several words; `name` is `#` and the bracket's place in the pattern."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """A pattern, read."""

    text: str
    pieces: tuple[str | Capture | Words, ...]

    @classmethod
    def parse(cls, text: str, parameters: Mapping[str, str | int] | None = None) -> Pattern:
        """Reads a pattern, in which each of `parameters` stands for its text.

        Raises PatternError.
        """
        for name, value in (parameters or {}).items():
            text = text.replace(f"{{{name}}}", str(value))
        pieces: list[str | Capture | Words] = []
        end = 0
        for token in _TOKEN.finditer(text):
            if token.start() != end:
                break
            end = token.end()
            pieces.append(_piece(token, pieces))
        if end != len(text) or not text or " " in text:
            raise PatternError(
                f"'{text}' is not a pattern of names, such as layers.{{i}}.(q|k).{{p}}"
            )
        return cls(text, tuple(pieces))

    @cached_property
    def captures(self) -> frozenset[str]:
        """Names of its captures."""
        return frozenset(piece.name for piece in self.pieces if isinstance(piece, Capture))

    @cached_property
    def words(self) -> tuple[Words, ...]:
        """Its brackets, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Words))

    def match(self, name: str) -> Binding | None:
        """What its captures stand for in `name`, or None if it does not match."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        binding = {capture: found[capture] for capture in self.captures}
        for group in self.words:
            binding[group.name] = str(group.words.index(found[f"words_{group.name[1:]}"]))
        return binding

    def write(self, binding: Mapping[str, str]) -> str:
        """The name that it stands for."""
        return "".join(
            piece if isinstance(piece, str)
            else piece.words[int(binding[piece.name])] if isinstance(piece, Words)
            else binding[piece.name]
            for piece in self.pieces
        )  # fmt: skip

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        seen: set[str] = set()
        return re.compile("".join(_expression(piece, seen) for piece in self.pieces))


ANYTHING = "*"


def _piece(token: re.Match[str], before: list[str | Capture | Words]) -> str | Capture | Words:
    capture, words, star, text = token.groups()
    if capture is not None:
        return Capture(capture)
    if words is None:
        return star or text
    names = tuple(words.split("|"))
    if len(set(names)) != len(names):
        raise PatternError(f"'({words})' has a word twice")
    return Words(f"#{sum(isinstance(piece, Words) for piece in before)}", names)


def _expression(piece: str | Capture | Words, seen: set[str]) -> str:
    if piece == ANYTHING:
        return ".*"
    if isinstance(piece, str):
        return re.escape(piece)
    if isinstance(piece, Words):
        longest_first = sorted(piece.words, key=len, reverse=True)
        return f"(?P<words_{piece.name[1:]}>{'|'.join(map(re.escape, longest_first))})"
    if piece.name in seen:
        return f"(?P={piece.name})"
    seen.add(piece.name)
    return f"(?P<{piece.name}>{piece.expression})"
