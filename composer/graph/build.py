"""From spec to graph: resolve, infer, share, adapt, compress, freeze, parametrize, in this order.

Each stage reports all it finds. What is learned from a teacher is checked last: it is no part of
the graph.
"""

from __future__ import annotations

from dataclasses import replace

from composer.components.placed import place
from composer.diagnostics import Problems
from composer.language.spec import ModelSpec

from .adapting import adapt
from .compressing import compress
from .cuts import check_cuts
from .distilling import Pairing, pair
from .freezing import freeze
from .graph import Graph
from .infer import infer
from .parametrize import parametrized
from .resolve import resolve
from .selecting import check_weights
from .sharing import share


def build_graph(spec: ModelSpec) -> Graph:
    """The graph of a checked spec.

    Raises SpecError with every problem of the first stage that has any.
    """
    made = _graph(spec)
    if spec.distill is not None:
        pair(spec, made, _graph)
    return made


def build_pairing(spec: ModelSpec) -> Pairing:
    """The student of a checked spec that has a teacher, and what it learns of it.

    Raises SpecError likewise.
    """
    return pair(spec, _graph(spec), _graph)


def _graph(spec: ModelSpec) -> Graph:
    problems = Problems()
    wires = resolve(spec, problems)
    problems.raise_if_any()
    assert wires is not None
    placing = infer(wires, problems)
    problems.raise_if_any()
    shared = share(spec, placing.parts, problems)
    problems.raise_if_any()
    made = Graph(
        spec.name,
        spec.title,
        spec.description,
        spec.cite,
        shared.parts,
        placing.values,
        shared.shares,
        shared.aliases,
        place(spec.initialization.component, {}),
        spec.tree.span.file,
    )
    made = adapt(spec, made, problems)
    problems.raise_if_any()
    made = compress(spec, made, problems)
    frozen = freeze(spec, made, problems)
    check_weights(spec, made, problems)
    check_cuts(spec, made, problems)
    problems.raise_if_any()
    made = replace(made, frozen=frozen)
    if spec.parametrization is None:
        return made
    return parametrized(made, _graph(spec.parametrization.base), spec.parametrization)
