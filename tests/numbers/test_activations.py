"""What a training step keeps is never more than is said, and at most 15 % less."""

from __future__ import annotations

import pytest

import composer
from composer.targets.numbers.count import count
from composer.targets.numbers.setting import length_names, setting
from tests.conformance.models import CASES, ROOT, graph_of, inputs_of, lengths_of, model_of
from tests.numbers.generated import spec
from tests.numbers.saved import saved_bytes
from tests.parity.test_zoo_decoders import FAMILIES

KINDS = [case for case in CASES if case.path.stem in {"disentangled", "windows", "tables"}]
CHOSEN = [*[case for case in CASES if case.path.parent.name == "patterns"][::2], *KINDS]
SEEDS = (*range(3), 18)


def check(graph, model, lengths):
    given = {name: size for name, size in lengths.items() if name in length_names(graph)}
    said = count(graph, setting(graph, given)).whole.cost.activations
    kept = saved_bytes(model.train(), inputs_of(graph, lengths=lengths, padded=False))

    assert kept <= said <= 1.15 * kept


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_a_spec_keeps_what_is_said(case):
    graph = graph_of(case)
    check(graph, model_of(case), lengths_of(graph))


@pytest.mark.parametrize("family", FAMILIES[::6], ids=str)
def test_a_published_model_made_small_keeps_what_is_said(family):
    path = ROOT / f"specs/{family.spec}.yaml"
    graph = composer.graph(path, size=family.size, overrides=family.overrides())
    check(graph, composer.build(graph, seed=0), {"batch": 3, "tokens": 40})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generated_model_keeps_what_is_said(seed):
    graph = composer.graph(spec(seed))
    check(graph, composer.build(graph, seed=0), lengths_of(graph))


def test_inference_keeps_nothing():
    graph = composer.graph(ROOT / "specs/gpt2.yaml")

    assert count(graph, setting(graph, {}, mode="inference")).whole.cost.activations == 0
