"""Whatever mistake is made, it is told at its place, or the spec still means something."""

from __future__ import annotations

import random

import composer
from composer.diagnostics import SpecError
from composer.language.document import to_yaml
from tests.errors.mutants import good_specs, mutant

COUNT = 300
EMITTED = 30  # one of so many that are accepted; emitting takes longer than all the checks


def test_a_mutant_is_a_graph_or_is_refused_at_a_place():
    chance = random.Random(7)
    specs = good_specs()
    names = sorted(specs)
    refused = accepted = 0
    for _ in range(COUNT):
        name = chance.choice(names)
        text = to_yaml(mutant(specs[name], chance))
        try:
            graph = composer.graph(text)
        except SpecError as error:
            refused += 1
            assert all(problem.span for problem in error.problems), f"{name}:\n{error}\n{text}"
        except Exception as error:
            raise AssertionError(f"a mutant of {name} ends in {error!r}:\n{text}") from error
        else:
            accepted += 1
            if accepted % EMITTED == 0:
                compile(composer.source(graph), name, "exec")

    assert refused > COUNT / 2
    assert accepted > COUNT / 20


def test_every_spec_that_is_mutated_is_right_before():
    for name, spec in good_specs().items():
        assert composer.graph(to_yaml(spec)).parts, name
