"""Deep and long specs become graphs in moderate time."""

from __future__ import annotations

import time

import composer

DEEP = """\
composer: 1
name: deep
inputs:
  source: {kind: tokens, vocab_size: 100, length: steps, padding: mask}
  target: {kind: tokens, vocab_size: 100, length: steps, padding: mask}
defaults: {d_model: 32, num_layers: 1_000, attention: {num_heads: 4}}
encoders:
  encoder: {from: source}
decoders:
  decoder: {from: target, layer_types: [near, far], types: {near: {attention: {window: 4}}, far: {}}}
connections:
  - cross: {from: encoder, to: decoder, layers: aligned}
  - skip: {from: encoder, to: decoder, pairs: mirror}
  - shared: [encoder.embed.tokens, decoder.embed.tokens, logits.head]
  - shared: {within: encoder.layers.*.attention, every: 2}
  - shared: [encoder.layers.*.feed_forward, decoder.layers.*.feed_forward]
outputs:
  logits: {from: decoder, head: lm}
  weights: {from: decoder.layers.*.attention.weights}
"""


def test_a_thousand_layers_take_less_than_three_seconds():
    start = time.process_time()
    graph = composer.graph(DEEP)
    seconds = time.process_time() - start

    assert [len(stack.kinds) for stack in graph.stacks] == [1, 2]
    assert seconds < 3


def test_a_thousand_mistakes_take_less_than_three_seconds():
    lines = "".join(f"  m{n}: {{kind: add, from: [x{n}, frames]}}\n" for n in range(1000))
    text = f"composer: 1\nname: wrong\ninputs: {{frames: {{kind: features, width: 8}}}}\nmodules:\n{lines}outputs: {{}}\n"
    start = time.process_time()
    try:
        composer.graph(text)
    except composer.SpecError as error:
        problems = error.problems
    seconds = time.process_time() - start

    assert len(problems) == 1001
    assert seconds < 3
