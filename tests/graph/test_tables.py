"""Tables that hold parameters: named and counted once a stack, however many layers read them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import composer
from composer.diagnostics import SpecError
from composer.targets.summary import summarize

SPEC = Path(__file__).parents[1] / "specs/tables.yaml"
TWO = """
composer: 1
name: two
inputs:
  source: {kind: tokens, vocab_size: 11}
  target: {kind: tokens, vocab_size: 11}
defaults: {d_model: 8, num_layers: 2, attention: {num_heads: 2, position: relative_bias}}
encoders:
  encoder: {from: source}
decoders:
  decoder: {from: target}
connections:
  - cross: {from: encoder, to: decoder}
  - shared: [encoder.position_bias, decoder.%s]
outputs:
  logits: {from: decoder, head: lm}
"""


def test_tables_are_named_below_their_stack_and_counted_once():
    graph = composer.graph(SPEC)
    found = {name: shape for name, shape in graph.tensors.items() if "position_bias" in name}

    assert found == {
        "encoder.position_bias.weight": (8, 4),
        "attended_position_bias.weight": (32, 2),
        "decoder.near_position_bias.weight": (8, 4),
        "decoder.far_position_bias.weight": (8, 4),
    }
    assert graph.aliases == {"second.position_bias.weight": "encoder.position_bias.weight"}
    rows = {row.path: row.parameters for row in summarize(graph).rows}
    assert rows["encoder.position_bias"] == 32
    assert rows["second.position_bias"] == 0
    assert rows["attended_position_bias"] == 64


def test_layers_of_a_stack_train_one_table():
    model = composer.build(SPEC, seed=0)

    assert model.second.position_bias is model.encoder.position_bias
    assert not [name for name in model.encoder.layers.state_dict() if "position" in name]


def test_tables_that_compute_otherwise_share_their_parameters():
    model = composer.build(TWO % "position_bias", seed=0)

    assert model.encoder.position_bias is not model.decoder.position_bias
    assert model.encoder.position_bias.weight is model.decoder.position_bias.weight
    outputs = model(torch.arange(6)[None], torch.arange(5)[None])
    outputs.logits.sum().backward()
    assert model.encoder.position_bias.weight.grad is not None


def test_a_table_that_is_not_there_is_told_by_those_that_are():
    with pytest.raises(SpecError, match=r"did you mean .decoder\.position_bias"):
        composer.graph(TWO % "position_biases")
