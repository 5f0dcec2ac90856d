"""A small spec, and its weights as another implementation would have them."""

import torch

SPEC = """
composer: 1
name: tiny
inputs: {tokens: {kind: tokens, vocab_size: 11}}
decoders:
  decoder:
    from: tokens
    d_model: 8
    num_layers: 3
    attention: {num_heads: 4, num_kv_heads: 2, head_dim: 3}
    feed_forward: {kind: glu, d_ff: 12, bias: false}
outputs: {logits: {from: decoder, head: lm}}
"""

TIED = SPEC + "connections: [{shared: [decoder.embed.tokens, logits.head]}]\n"

SAME = [
    "wte.weight -> decoder.embed.tokens.weight",
    "h.{i}.attn.(wq|wk|wv|wo).{p} -> decoder.layers.{i}.attention.(q|k|v|o).{p}",
    "h.{i}.norm(1|2).{p} -> decoder.layers.{i}.(attention|feed_forward)_norm.{p}",
    "h.{i}.mlp.{part}.weight -> decoder.layers.{i}.feed_forward.{part}.weight",
    "norm.{p} -> decoder.norm.{p}",
    "head.weight -> logits.head.weight",
]


def random_tensors(graph):
    generator = torch.Generator().manual_seed(0)
    return {n: torch.randn(shape, generator=generator) for n, shape in graph.tensors.items()}
