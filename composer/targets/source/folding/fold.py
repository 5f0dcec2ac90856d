"""Folding: a definition loses every branch and argument that its uses in one model do not need.

Works on text by the places that the syntax tree gives, so that comments and layout stay. One
simplification is made at a time until none is left; each is valid by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from .edits import (
    empty_init,
    expression_edits,
    inline_aliases,
    statement_edits,
    unused_attributes,
)
from .facts import Knowledge, Uses, known_attributes
from .signatures import fold_signatures
from .text import Edit, Text, functions, parameters_of
from .tidying import tidy

MOST_EDITS = 500


def fold(source: str, uses: Uses) -> str:
    """`source`, one class or function, for these uses only."""
    for _ in range(MOST_EDITS):
        edit = next(_edits(source, uses), None)
        if edit is None:
            return tidy(fold_signatures(source, uses))
        start, end, text = edit
        source = source[:start] + text + source[end:]
    msg = "folding does not end"
    raise AssertionError(msg)


def _edits(source: str, uses: Uses) -> Iterator[Edit]:
    text = Text(source)
    attributes = known_attributes(text, uses)
    for function in functions(text.tree):
        facts = dict(uses.facts.get(function.name, {}))
        parameters = {arg.arg for arg in parameters_of(function)}
        facts = {name: fact for name, fact in facts.items() if name in parameters}
        knows = Knowledge(text, facts, attributes)
        yield from statement_edits(text, function, knows)
        yield from expression_edits(text, function, knows)
        yield from inline_aliases(text, function)
    yield from unused_attributes(text)
    yield from empty_init(text)
