"""The most memory of a step is never under what is measured, and at most 15 % over."""

from __future__ import annotations

import pytest

import composer
from composer.targets.numbers.count import count, row_of, rows_of
from composer.targets.numbers.setting import Mode, length_names, setting
from composer.targets.summary import summarize
from tests.conformance.models import CASES, ROOT, graph_of, inputs_of, lengths_of
from tests.numbers.generated import spec
from tests.numbers.peak import forward_bytes, peak_bytes

SEEDS = (2, 7, 11, 13, 27)
CHOSEN = [c for c in CASES if c.name in {"tests/specs/frozen", "tests/specs/adapted-groups"}]


def _said(graph, lengths, mode: Mode = "train"):
    given = {name: size for name, size in lengths.items() if name in length_names(graph)}
    return count(graph, setting(graph, given, mode=mode)).whole


def _longer(graph):
    return {name: 4 * size for name, size in lengths_of(graph).items()} | {"batch": 8}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generated_model_takes_what_is_said(seed):
    graph = composer.graph(spec(seed))
    lengths = _longer(graph)
    inputs, model = inputs_of(graph, lengths=lengths, padded=False), composer.build(graph, seed=0)
    peak = peak_bytes(model.train(), inputs)

    assert peak <= _said(graph, lengths).memory <= 1.15 * peak


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_what_is_frozen_needs_less(case):
    graph = graph_of(case)
    lengths = _longer(graph)
    inputs, model = inputs_of(graph, lengths=lengths, padded=False), composer.build(graph, seed=0)
    peak = peak_bytes(model.train(), inputs)

    assert peak <= _said(graph, lengths).memory <= 1.15 * peak


@pytest.mark.parametrize("seed", [2, 7, 12, 17])
def test_a_forward_pass_takes_what_is_said(seed):
    graph = composer.graph(spec(seed))
    lengths = _longer(graph)
    inputs, model = inputs_of(graph, lengths=lengths, padded=False), composer.build(graph, seed=0)
    said, peak = _said(graph, lengths, "inference"), forward_bytes(model.eval(), inputs)

    assert peak <= said.memory - said.cost.cache <= 1.15 * peak


def test_a_path_outside_all_rows_is_none():
    rows = rows_of(summarize(composer.graph(ROOT / "specs/gpt2.yaml")))

    assert row_of("decoder.layers.3.attention", rows) == "decoder.layers.0-11.attention"
    with pytest.raises(KeyError, match="elsewhere"):
        row_of("elsewhere.attention", rows)
