"""Freezing: which parameters training leaves as they are."""

from __future__ import annotations

from collections.abc import Mapping

from composer.diagnostics import Problems, Span
from composer.language.paths import selected
from composer.language.spec import ModelSpec

from .graph import Graph
from .selecting import select
from .tensors import first_names


def freeze(spec: ModelSpec, graph: Graph, problems: Problems) -> frozenset[str]:
    """First names of the parameters that a spec freezes.

    A shared parameter must be frozen under all of its names, or under none. What adapters add is
    trained always; a spec that has some, and does not say what is frozen, freezes all else.
    """
    own = graph.tensors.keys() - graph.added
    if spec.freeze is None:
        return frozenset(own) if spec.adapt else frozenset()
    names = {n: first for n, first in first_names(graph).items() if first in own}
    chosen = select(spec.freeze.parts, names, graph, problems)
    less = select(spec.freeze.unless, names, graph, problems)
    for path in spec.freeze.unless:
        if chosen and selected((path,), names) and not selected((path,), chosen):
            why = f"'{path.text}' is not among what is frozen"
            problems.add("G210", why, path.span, fix="remove it, or add it to parts")
    chosen = {name: first for name, first in chosen.items() if name not in less}
    if not chosen and not problems:
        problems.add("G210", "nothing is left to freeze", spec.freeze.span, fix="remove it")
    _check_shared(chosen, names, spec.freeze.span, problems)
    return frozenset(chosen.values())


def _check_shared(
    chosen: Mapping[str, str], names: Mapping[str, str], span: Span, problems: Problems
) -> None:
    """Adds a problem for each two parts that share parameters of which one is frozen only."""
    frozen: dict[str, str] = {}
    for name, first in chosen.items():
        frozen.setdefault(first, name)
    told: set[tuple[str, str]] = set()
    for name, first in names.items():
        if name in chosen or first not in frozen:
            continue
        pair = (name.split(".")[0], frozen[first].split(".")[0])
        if pair not in told:
            why = f"'{frozen[first]}' is frozen, but it is also '{name}', which is not"
            fix = f"freeze '{name}' too, or except '{frozen[first]}'"
            problems.add("G211", why, span, fix=fix)
        told.add(pair)
