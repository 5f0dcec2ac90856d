"""Small models that the tests of training train."""

LM = """\
composer: 1
name: lm
inputs: {tokens: {kind: tokens, vocab_size: 256}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 1, attention: {num_heads: 2}}}
outputs: {logits: {from: decoder, head: lm}}
"""
PAIRS = """\
composer: 1
name: pairs
defaults: {d_model: 16, num_layers: 1, attention: {num_heads: 2}}
inputs:
  source: {kind: tokens, vocab_size: 256, padding: mask}
  target: {kind: tokens, vocab_size: 256}
encoders: {encoder: {from: source}}
decoders: {decoder: {from: target}}
connections: [{cross: {from: encoder, to: decoder}}]
outputs: {logits: {from: decoder, head: lm}}
"""
