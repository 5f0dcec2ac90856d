"""Several cross connections into one stack."""

from __future__ import annotations

import composer

SPEC = """\
composer: 1
name: two
inputs:
  a: {kind: tokens, vocab_size: 50}
  b: {kind: tokens, vocab_size: 50}
encoders:
  encoder: {from: a, d_model: 32, num_layers: 2, attention: {num_heads: 4}}
decoders:
  decoder: {from: b, d_model: 32, num_layers: 2, attention: {num_heads: 4}}
connections:
  - cross: {from: encoder, to: decoder}
  - cross: {from: encoder, to: decoder, layers: [0]}
outputs:
  logits: {from: decoder, head: lm}
"""


def test_a_layer_may_read_one_source_twice():
    first, second = composer.graph(SPEC).parts["decoder"].layers

    assert [b.name for b in first.kind.branches] == [
        "attention",
        "cross_attention_encoder",
        "cross_attention_encoder_2",
        "feed_forward",
    ]
    assert [b.name for b in second.kind.branches] == [
        "attention",
        "cross_attention_encoder",
        "feed_forward",
    ]
