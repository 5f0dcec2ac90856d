"""Models that the tests of compression make smaller."""

SEQ2SEQ = """
composer: 1
name: pair
defaults: {d_model: 16, num_layers: LAYERS, attention: {num_heads: HEADS}, feed_forward: {d_ff: 24}}
inputs:
  source: {kind: tokens, vocab_size: 20}
  target: {kind: tokens, vocab_size: 20}
encoders:
  encoder: {from: source}
decoders:
  decoder: {from: target}
connections:
  - cross: {from: encoder, to: decoder}
  - shared: [encoder.embed.tokens, decoder.embed.tokens, logits.head]
outputs:
  logits: {from: decoder, head: lm}
"""


def seq2seq(num_layers, num_heads):
    """An encoder and a decoder with one table of tokens."""
    return SEQ2SEQ.replace("LAYERS", str(num_layers)).replace("HEADS", str(num_heads))
