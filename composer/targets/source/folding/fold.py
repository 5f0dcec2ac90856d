"""Folding: a definition loses every branch and argument that its uses in one model do not need.

Works on text by the places that the syntax tree gives, so that comments and layout stay. One
simplification is made at a time until none is left; each is valid by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from .edits import (
    empty_init,
    expression_edits,
    inline_aliases,
    statement_edits,
    unused_attributes,
)
from .facts import Facts, Knowledge, Uses, known_attributes, still_known
from .signatures import fold_signatures
from .text import Edit, Text, functions, parameters_of
from .tidying import tidy

MOST_EDITS = 500


def fold(source: str, uses: Uses) -> str:
    """`source`, one class or function, for these uses only.

    A parameter that is assigned anew where the uses lead is not what its callers give, so that
    nothing is folded by it.
    """
    decided = _edited(source, uses, _decisions)
    known = still_known(Text(decided), uses)
    if known != uses:
        return fold(source, known)
    return tidy(fold_signatures(_edited(decided, uses, _edits), uses))


def _edited(source: str, uses: Uses, edits: Callable[[str, Uses], Iterator[Edit]]) -> str:
    for _ in range(MOST_EDITS):
        edit = next(edits(source, uses), None)
        if edit is None:
            return source
        start, end, text = edit
        source = source[:start] + text + source[end:]
    msg = "folding does not end"
    raise AssertionError(msg)


def _decisions(source: str, uses: Uses) -> Iterator[Edit]:
    """Branches that the uses decide; what is left is what they lead to."""
    text = Text(source)
    attributes = known_attributes(text, uses)
    for function in functions(text.tree):
        yield from statement_edits(text, function, _knowledge(text, function, uses, attributes))


def _knowledge(text: Text, function: ast.FunctionDef, uses: Uses, attributes: Facts) -> Knowledge:
    facts = uses.facts.get(function.name, {})
    parameters = {arg.arg for arg in parameters_of(function)}
    known = {name: fact for name, fact in facts.items() if name in parameters}
    return Knowledge(text, known, attributes)


def _edits(source: str, uses: Uses) -> Iterator[Edit]:
    text = Text(source)
    attributes = known_attributes(text, uses)
    for function in functions(text.tree):
        knows = _knowledge(text, function, uses, attributes)
        yield from statement_edits(text, function, knows)
        yield from expression_edits(text, function, knows)
        yield from inline_aliases(text, function)
    yield from unused_attributes(text)
    yield from empty_init(text)
