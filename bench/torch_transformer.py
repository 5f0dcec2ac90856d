"""The Transformer on top of `torch.nn.Transformer`, as its users write it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.handwritten import sinusoids
from bench.sizes import TransformerSize


class TorchTransformer(nn.Module):
    """`torch.nn.Transformer` between one embedding table and a head that is tied to it."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.scale = size.d_model**0.5
        self.embed = nn.Embedding(size.vocab_size, size.d_model)
        positions = sinusoids(size.time, size.d_model)
        self.register_buffer("positions", positions, persistent=False)
        causal = torch.ones(size.time, size.time, dtype=torch.bool).triu(1)
        self.register_buffer("causal", causal, persistent=False)
        self.transformer = _without_final_norms(size)
        self.head = nn.Linear(size.d_model, size.vocab_size, bias=False)
        self.head.weight = self.embed.weight

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        source_mask: Tensor | None = None,
        target_mask: Tensor | None = None,
    ) -> Tensor:
        """source (batch, source), target (batch, time) -> logits (batch, time, vocab_size).

        Masks are of the same shapes, True for real tokens.
        """
        time = target.shape[1]
        padding = None if source_mask is None else ~source_mask
        x = self.transformer(
            self.embed(source) * self.scale + self.positions[: source.shape[1]],
            self.embed(target) * self.scale + self.positions[:time],
            tgt_mask=self.causal[:time, :time],
            src_key_padding_mask=padding,
            tgt_key_padding_mask=None if target_mask is None else ~target_mask,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return self.head(x)


def _without_final_norms(size: TransformerSize) -> nn.Transformer:
    """torch's model as it is in the paper; its own default norms the result once more."""
    options = {"dim_feedforward": size.d_ff, "dropout": 0.0, "batch_first": True}
    encoder_layer = nn.TransformerEncoderLayer(size.d_model, size.num_heads, **options)
    decoder_layer = nn.TransformerDecoderLayer(size.d_model, size.num_heads, **options)
    return nn.Transformer(
        size.d_model,
        size.num_heads,
        custom_encoder=nn.TransformerEncoder(
            encoder_layer, size.num_layers, enable_nested_tensor=False
        ),
        custom_decoder=nn.TransformerDecoder(decoder_layer, size.num_layers),
        batch_first=True,
    )
