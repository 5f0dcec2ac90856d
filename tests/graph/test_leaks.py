"""A causal stack is never shown what it must not see."""

from __future__ import annotations

import pytest

import composer
from composer.diagnostics import SpecError

HEAD = """\
composer: 1
name: tiny
inputs:
  tokens: {kind: tokens, vocab_size: 100}
defaults: {d_model: 32, num_layers: 2, attention: {num_heads: 4}}
"""
OUTPUTS = "outputs: {x: {from: one}, y: {from: two}}\n"


def leaks(text: str) -> bool:
    """Whether the spec is refused for that reason and no other."""
    try:
        composer.graph(HEAD + text)
    except SpecError as error:
        assert {problem.code for problem in error.problems} == {"G208"}
        return True
    return False


STACKS = {
    "decoders": "decoders:\n  one: {from: tokens}\n  two: {from: tokens}\n",
    "encoder first": "encoders:\n  one: {from: tokens}\ndecoders:\n  two: {from: tokens}\n",
    "decoder first": "decoders:\n  two: {from: tokens}\nencoders:\n  one: {from: tokens}\n",
    "encoders": "encoders:\n  one: {from: tokens}\n  two: {from: tokens}\n",
    "causal encoder": "encoders:\n  one: {from: tokens, attention: {causal: true}}\ndecoders:\n  two: {from: tokens}\n",
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("stacks", STACKS)
def test_a_cross_over_one_input(stacks, causal):
    text = f"connections:\n  - cross: {{from: one, to: two, causal: {str(causal).lower()}}}\n"
    fine = stacks == "encoders" or (causal and stacks in {"decoders", "causal encoder"})

    assert leaks(STACKS[stacks] + text + OUTPUTS) is not fine


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("stacks", STACKS)
def test_an_exchange_over_one_input(stacks, causal):
    text = f"connections:\n  - parallel: {{stacks: [one, two], exchange: cross, causal: {str(causal).lower()}}}\n"
    fine = stacks == "encoders" or (causal and stacks in {"decoders", "causal encoder"})

    assert leaks(STACKS[stacks] + text + OUTPUTS) is not fine


@pytest.mark.parametrize("stacks", STACKS)
def test_a_skip_over_one_input(stacks):
    text = "connections:\n  - skip: {from: one, to: two, pairs: aligned}\n"
    fine = stacks in {"encoders", "decoders", "causal encoder"}

    assert leaks(STACKS[stacks] + text + OUTPUTS) is not fine


def test_another_input_hides_nothing():
    text = (
        "encoders:\n  one: {from: frames}\ndecoders:\n  two: {from: tokens}\n"
        "connections:\n  - cross: {from: one, to: two}\n"
    )
    inputs = HEAD.replace("inputs:\n", "inputs:\n  frames: {kind: features, width: 32}\n")

    assert composer.graph(inputs + text + OUTPUTS).stacks
