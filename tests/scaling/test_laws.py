"""Laws say what their papers say, and only of models that they were measured on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import composer
from composer.scaling import LAWS
from composer.scaling.laws import why_not

BUDGET = 5.76e23
"""Training FLOPs of Gopher and Chinchilla."""


def test_chinchilla_is_the_best_for_its_budget():
    law = LAWS["chinchilla20"]

    assert law.parameters(BUDGET) == pytest.approx(70e9, rel=0.02)
    assert law.tokens(70e9) == 1.4e12


def test_the_refit_agrees_with_chinchilla():
    law = LAWS["hoffmann-refit"]
    count = law.parameters(BUDGET)

    assert count == pytest.approx(72e9, rel=0.02)
    assert law.tokens(count) / count == pytest.approx(18.4, rel=0.02)


def test_kaplan_wants_larger_models_on_fewer_tokens():
    law, other = LAWS["kaplan"], LAWS["chinchilla20"]

    assert law.parameters(1e23) > 5 * other.parameters(1e23)
    assert law.tokens(law.parameters(1e23)) < other.tokens(other.parameters(1e23))


@pytest.mark.parametrize("name", LAWS)
def test_tokens_belong_to_the_best_parameters(name):
    law = LAWS[name]
    for budget in (1e18, 1e21, 1e24):
        count = law.parameters(budget)
        assert 6 * count * law.tokens(count) == pytest.approx(budget, rel=1e-6)


def test_the_refit_is_at_its_optimum():
    law, budget = LAWS["hoffmann-refit"], 1e21
    best = law.parameters(budget)
    losses = [law.loss(best * f, budget / (6 * best * f)) for f in (0.9, 1.0, 1.1)]

    assert min(losses) == losses[1]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("specs/mixtral.yaml", "experts"),
        ("specs/transformer.yaml", "'encoder' is no causal decoder"),
        ("specs/patterns/universal.yaml", "'encoder' is no causal decoder"),
        ("specs/patterns/gated_cross.yaml", "causal|one stack"),
    ],
)
def test_laws_speak_of_dense_causal_language_models(spec, why):
    assert re.search(why, why_not(composer.graph(spec)) or "")


def test_layers_applied_again_cost_more_than_their_parameters():
    text = "connections: [{shared: {within: decoder.layers, every: all}}]"
    tiny = Path("specs/patterns/tiny_lm.yaml").read_text(encoding="utf-8")

    assert why_not(composer.graph("specs/patterns/tiny_lm.yaml")) is None
    assert "applied several times" in str(why_not(composer.graph(f"{tiny}\n{text}\n")))
