"""Models from one sequence to another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache as TheirCache
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from composer.compiler import graph as graph_of
from composer.components.inputs import Tokens
from composer.graph.decoding import Decoding, decoding_of
from composer.graph.graph import Graph

from .built import Built
from .config import ComposerConfig
from .embeddings import embedding
from .masks import mask_of
from .past import Past, Pasts

_IGNORED = -100


class ComposerForConditionalGeneration(Built, GenerationMixin):  # type: ignore[no-untyped-call]
    """An encoder-decoder that was built from a spec; `model` is the built module.

    With `labels`, token ids of which -100 is left out, it returns their loss; the decoder then
    reads `decoder_start_token_id` and all labels but the last.
    """

    _is_stateful = True  # what a cache has left behind does not come back

    def __init__(self, config: ComposerConfig, model: nn.Module | None = None) -> None:
        config.is_encoder_decoder = True
        super().__init__(config)
        graph = graph_of(config.spec)
        self.decoding, self.source = from_source(graph)
        self.output = self.decoding.output
        target = self.decoding.tokens
        self.names = {
            self.source: "input_ids",
            f"{self.source}_mask": "attention_mask",
            target: "decoder_input_ids",
            f"{target}_mask": "decoder_attention_mask",
        }
        self._inputs = {item.name: item for item in graph.inputs}
        self._pasts = Pasts(self.decoding)
        self.hold(graph, model)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the stack that reads the source."""
        return embedding(self.model, self.decoding.graph, self.source)

    def get_encoder(self, *_: object, **__: object) -> nn.Module:
        """What `generate` calls before its first step."""
        return _Handed()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        past_key_values: TheirCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **more: Any,  # noqa: ANN401 - of the loss, and what other models read
    ) -> Seq2SeqLMOutput:
        """input_ids (batch, source), decoder_input_ids (batch, time) -> logits (batch, time, vocab).

        attention_mask and decoder_attention_mask: 1 for real tokens, 0 for padding.

        Raises ValueError for padding that the spec does not say, and where the decoder has nothing
        to read.
        """
        if decoder_input_ids is None:
            decoder_input_ids = self._shifted(labels)
        tokens = input_ids if encoder_outputs is None else encoder_outputs.last_hidden_state
        held = past_key_values if isinstance(past_key_values, Past) else None
        if held is None:
            assert tokens is not None, "either tokens or what generate has handed on is given"
            source = {
                self.source: tokens,
                **mask_of(self._inputs[self.source], tokens, attention_mask),
            }
            if use_cache and not torch.is_grad_enabled():
                held = self._pasts.empty(self.model, source)
        grown = self._inputs[self.decoding.tokens]
        mask = mask_of(grown, decoder_input_ids, decoder_attention_mask)
        if held is not None:
            logits = held.steps(decoder_input_ids, **mask)
        else:
            given = {**source, self.decoding.tokens: decoder_input_ids, **mask}
            logits = getattr(self.model(**given), self.output)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=None, shift_labels=labels, vocab_size=logits.shape[-1], **more
            )
        return Seq2SeqLMOutput(loss=loss, logits=logits, past_key_values=held)  # type: ignore[arg-type]  # a cache of ours

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What collators of `transformers` ask a model for."""
        return self._shifted(labels)

    def _shifted(self, labels: Tensor | None) -> Tensor:
        """Labels one step later, after the token that starts a text."""
        start = self.config.decoder_start_token_id
        if labels is None:
            raise ValueError("the decoder has nothing to read: give decoder_input_ids or labels")
        if start is None:
            raise ValueError("labels need a first token: wrap(..., decoder_start_token_id=...)")
        pad = self.config.pad_token_id or 0
        shifted = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == _IGNORED, pad)


class _Handed(nn.Module):
    """Hands the source on to the first step, which runs all of the model that reads it alone."""

    def forward(self, input_ids: Tensor, **_: object) -> BaseModelOutput:
        """input_ids (batch, source) -> the same, as what `generate` repeats for each beam."""
        return BaseModelOutput(last_hidden_state=input_ids)


def from_source(graph: Graph) -> tuple[Decoding, str]:
    """How a graph scores the next token of one input, and its only other input.

    Raises ValueError where there is no other input of tokens, or more than one.
    """
    decoding = decoding_of(graph)
    others = [item for item in decoding.graph.inputs if item.name != decoding.tokens]
    if len(others) != 1 or not isinstance(others[0].node.component, Tokens):
        names = ", ".join(f"'{item.name}'" for item in others) or "nothing"
        raise ValueError(f"a model from tokens to tokens reads one source, this one {names}")
    return decoding, others[0].name
