"""What can be wrong with the YAML of a spec, and how much it may hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from composer.diagnostics import Note, Problem, Span, SpecError


class Fault(Enum):
    """What can be wrong with the YAML of a spec: codes, whose meanings never change."""

    UNREADABLE = ("Y100", "The file cannot be opened or read.")
    SYNTAX = ("Y101", "The text is not YAML.")
    ENCODING = ("Y102", "The bytes are not UTF-8.")
    CHARACTER = ("Y103", "A control character or one that changes the direction of the text.")
    DUPLICATE_KEY = ("Y104", "A mapping has the same key twice.")
    EMPTY = ("Y105", "There is nothing to read.")
    MERGE_KEY = ("Y106", "The merge key `<<`, which YAML 1.2 does not have.")
    LIMIT = ("Y107", "Larger, deeper or more repeated than a spec may be.")
    TAG = ("Y108", "A tag (`!name`, `!!name`) other than `!!str`.")
    ALIAS_CYCLE = ("Y109", "An alias stands inside what it repeats.")
    LEADING_ZERO = (
        "Y110",
        "A number with a leading zero, which YAML 1.1 and 1.2 read differently.",
    )
    RANGE = ("Y111", "A number that is too large or too small to be read exactly enough.")
    KEY = ("Y112", "A key that is not plainly text: a list, a mapping, null, an alias, an anchor.")
    DIRECTIVE = ("Y113", "A directive other than `%YAML 1.2`.")
    DOCUMENTS = ("Y114", "More than one document in the file.")
    ROOT = ("Y115", "The file holds a list or a single value, not a mapping.")
    ALIAS = ("Y116", "An alias of an anchor that is not there, or an anchor that is there twice.")

    @property
    def code(self) -> str:
        """The code that is shown."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """What the code means, as one sentence."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a spec may hold; a spec cannot raise them, only its reader can."""

    spec_bytes: int = 1024 * 1024
    nesting: int = 32
    nodes: int = 50_000  # every key, value, list and mapping that is written
    expanded_nodes: int = 20_000  # those that aliases repeat
    aliases: int = 256
    integer_digits: int = 18
    scalar_bytes: int = 64 * 1024


DEFAULT_LIMITS = Limits()

LONGEST_SHOWN = 40
"""The most characters of a text that a message repeats."""


def refusal(
    fault: Fault, message: str, span: Span | None, fix: str, notes: tuple[Note, ...] = ()
) -> SpecError:
    """One fault as the error that ends the reading."""
    return SpecError([Problem(fault.code, message, span, notes, fix)])
