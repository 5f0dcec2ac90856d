"""The specs that are measured."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TRANSFORMER = ROOT / "specs" / "transformer.yaml"

LLAMA = """\
composer: 1
name: llama-like
inputs:
  tokens: {kind: tokens, vocab_size: 8_000}
decoders:
  decoder:
    from: tokens
    d_model: 256
    num_layers: 4
    norm: rmsnorm
    attention: {num_heads: 8, num_kv_heads: 2, bias: false, position: rope}
    feed_forward: {kind: glu, activation: silu, d_ff: 704, bias: false}
outputs:
  logits: {from: decoder, head: lm}
"""

LLAMA_405B = (
    "tokens.vocab_size=128256",
    "decoder.num_layers=126",
    "decoder.d_model=16384",
    "decoder.attention.num_heads=128",
    "decoder.attention.num_kv_heads=8",
    "decoder.feed_forward.d_ff=53248",
)
"""Overrides that give `LLAMA` the shape of Llama 3.1 405B (arXiv:2407.21783)."""

_DECODER_ONLY = """\
composer: 1
name: decoder-only
inputs:
  tokens: {kind: tokens, vocab_size: 32_000}
decoders:
  decoder: {from: tokens, d_model: 256, num_layers: 4, attention: {num_heads: 4, position: rope}}
outputs:
  logits: {from: decoder, head: lm}
"""

_ENCODER_DECODER = """\
composer: 1
name: encoder-decoder
defaults: {d_model: 256, attention: {num_heads: 4}, dropout: 0.1}
inputs:
  source: {kind: tokens, vocab_size: 32_000, padding: mask}
  target: {kind: tokens, vocab_size: 32_000, padding: mask}
encoders:
  encoder: {from: source, num_layers: 4, embed: {position: sinusoidal}}
decoders:
  decoder: {from: target, num_layers: 4, embed: {position: sinusoidal}}
connections:
  - cross: {from: encoder, to: decoder}
  - shared: [encoder.embed.tokens, decoder.embed.tokens, logits.head]
outputs:
  logits: {from: decoder, head: lm}
"""

_VARIED = """\
composer: 1
name: varied
inputs:
  source: {kind: tokens, vocab_size: 32_000}
  target: {kind: tokens, vocab_size: 32_000}
defaults: {d_model: 256, attention: {num_heads: 4, position: rope}}
encoders:
  encoder: {from: source, num_layers: 4}
decoders:
  decoder:
    from: target
    num_layers: 4
    layer_types: [sliding, sliding, full]
    types:
      sliding: {attention: {window: 128}}
      full: {feed_forward: {kind: glu, activation: silu}}
connections:
  - cross: {from: encoder, to: decoder, layers: every 4}
outputs:
  logits: {from: decoder, head: lm}
"""

_WIRED = """\
composer: 1
name: wired
defaults: {d_model: 256, attention: {num_heads: 4, position: rope}}
inputs:
  source: {kind: tokens, vocab_size: 32_000, length: time}
  target: {kind: tokens, vocab_size: 32_000, length: time}
encoders:
  encoder: {from: source, num_layers: 4}
decoders:
  decoder: {from: target, num_layers: 4}
connections:
  - cross: {from: encoder, to: decoder, layers: aligned, causal: true}
  - skip: {from: encoder, to: decoder, pairs: mirror, combine: add}
  - shared: [encoder.layers.*.attention, decoder.layers.*.attention]
outputs:
  logits: {from: decoder, head: lm}
"""

DEEP = {
    "decoder-only": (_DECODER_ONLY, ("decoder",)),
    "encoder-decoder": (_ENCODER_DECODER, ("encoder", "decoder")),
    "varied layers": (_VARIED, ("decoder",)),
    "wired one by one": (_WIRED, ("encoder", "decoder")),
}
"""Specs that are made deeper and deeper, and their stacks that grow."""


def deep(name: str, num_layers: int) -> tuple[str, list[str]]:
    """A spec of `DEEP` and the overrides that give it `num_layers` in each growing stack."""
    text, stacks = DEEP[name]
    return text, [f"{stack}.num_layers={num_layers}" for stack in stacks]
