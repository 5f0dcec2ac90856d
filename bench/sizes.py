"""The sizes at which models are compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransformerSize:
    """An encoder-decoder and its batch; a `padded` batch says which tokens are real."""

    d_model: int
    num_heads: int
    num_layers: int
    batch: int
    time: int
    padded: bool = False
    vocab_size: int = 8_000

    @property
    def d_ff(self) -> int:
        """Width within the feed-forward."""
        return 4 * self.d_model

    def text(self) -> str:
        """The size in words."""
        layers = f"{self.num_layers} + {self.num_layers} layers"
        return f"d_model {self.d_model}, {layers}, {self.batch} × {self.time} tokens"


@dataclass(frozen=True)
class LlamaSize:
    """A decoder-only model and its batch."""

    d_model: int
    num_heads: int
    num_kv_heads: int
    d_ff: int
    num_layers: int
    batch: int
    time: int
    vocab_size: int = 8_000

    def text(self) -> str:
        """The size in words."""
        layers = f"{self.num_layers} layers"
        return f"d_model {self.d_model}, {layers}, {self.batch} × {self.time} tokens"


Size = TransformerSize | LlamaSize
