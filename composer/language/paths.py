"""Paths of tensors: names of parts and of what is inside them, several at a time.

A path names everything at or below it: `encoder`, `decoder.embed`, `decoder.layers.3.attention`.
`*` is any text between two dots, and `(q|k)` one of several words: `decoder.layers.*.cross_*`,
`encoder.layers.(0|1)`. Numbers are layers, counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from composer.diagnostics import Problems, Span

from .document import Scalar, Sequence, Tree
from .validate import describe

_PATH = re.compile(r"(?:\w|[*.]|\(\w+(?:\|\w+)*\))+")

MAX_STARS = 2  # between two dots


@dataclass(frozen=True)
class TensorPath:
    """A path, and where it was written."""

    text: str
    span: Span = field(compare=False)

    def names(self, tensor: str) -> bool:
        """Whether a tensor lies at or below the path."""
        return self._regex.match(tensor) is not None

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        pieces = re.split(r"(\*|[(|)])", self.text)
        known = {"*": r"[^.]*", "(": "(?:", "|": "|", ")": ")"}
        inner = "".join(known.get(piece, re.escape(piece)) for piece in pieces)
        return re.compile(rf"{inner}(?:\.|$)")


@dataclass(frozen=True)
class Chosen:
    """What a change is for: paths, and roles among what they name; no path is everything."""

    paths: tuple[TensorPath, ...]
    roles: tuple[str, ...] = ()


def selected(paths: tuple[TensorPath, ...], names: Mapping[str, str]) -> dict[str, str]:
    """Of several names, each with the first name of its tensor, those that one of `paths` names."""
    return {name: first for name, first in names.items() if any(p.names(name) for p in paths)}


def paths_in(tree: Tree, where: str, problems: Problems) -> tuple[TensorPath, ...]:
    """The paths that a text or a list of texts is; what is wrong is added to the problems."""
    items = tree.items if isinstance(tree, Sequence) else (tree,)
    if not items:
        problems.add("C105", f"{where} names nothing", tree.span, fix="remove it")
    return tuple(_paths(items, where, problems))


def _is_path(text: str) -> bool:
    """Whether a text is a path; a word with many stars would take long to match."""
    words = text.split(".")
    return (
        bool(_PATH.fullmatch(text)) and all(words) and max(w.count("*") for w in words) <= MAX_STARS
    )


def _paths(items: tuple[Tree, ...], where: str, problems: Problems) -> Iterator[TensorPath]:
    for item in items:
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            why = f"{where} wants a path or a list of paths, not {describe(item)}"
            problems.add("C105", why, item.span, fix=f"{where}: [encoder, decoder.embed]")
        elif not _is_path(item.value):
            why = f"'{item.value}' is not a path, such as decoder.layers.*.attention"
            problems.add("C105", why, item.span)
        else:
            yield TensorPath(item.value, item.span)
