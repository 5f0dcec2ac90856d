"""Causal language models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache as TheirCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from composer.compiler import graph as graph_of
from composer.graph.decoding import Decoding, decoding_of
from composer.graph.graph import Graph

from .built import Built
from .config import ComposerConfig
from .embeddings import embedding
from .masks import check_starts, mask_of
from .past import Past, Pasts


class ComposerForCausalLM(Built, GenerationMixin):  # type: ignore[no-untyped-call]
    """A causal language model that was built from a spec; `model` is the built module.

    With `labels`, token ids of which -100 is left out, it returns their loss, shifted by one.
    """

    _is_stateful = True  # what a cache has left behind does not come back

    def __init__(self, config: ComposerConfig, model: nn.Module | None = None) -> None:
        super().__init__(config)
        graph = graph_of(config.spec)
        self.decoding = next_token(graph)
        self.output = self.decoding.output
        self.names = {
            self.decoding.tokens: "input_ids",
            f"{self.decoding.tokens}_mask": "attention_mask",
        }
        self._pasts = Pasts(self.decoding)
        self.hold(graph, model)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the stack that reads the tokens."""
        return embedding(self.model, self.decoding.graph, self.decoding.tokens)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: TheirCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **more: Any,  # noqa: ANN401 - of the loss, and what other models read
    ) -> CausalLMOutputWithPast:
        """input_ids (batch, time) -> logits (batch, time, vocab_size) of these steps.

        attention_mask (batch, held and new steps): 1 for real tokens, 0 for padding.

        Raises ValueError for padding that the spec does not say or that would move positions.
        """
        held = past_key_values if isinstance(past_key_values, Past) else None
        check_starts(self.decoding.graph, attention_mask)
        (item,) = self.decoding.graph.inputs
        mask = mask_of(item, input_ids, attention_mask)
        if held is None and use_cache and not torch.is_grad_enabled():
            held = self._pasts.empty(self.model, {})
        if held is not None:
            logits = held.steps(input_ids, **mask)
        else:
            given = {self.decoding.tokens: input_ids, **mask}
            logits = getattr(self.model(**given), self.output)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=logits.shape[-1], **more
            )
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=held)


def next_token(graph: Graph) -> Decoding:
    """How a graph that reads tokens only scores the next one.

    Raises ValueError where it does not.
    """
    decoding = decoding_of(graph)
    others = [item.name for item in decoding.graph.inputs if item.name != decoding.tokens]
    if others:
        raise ValueError(f"a causal language model reads tokens only, this one '{others[0]}' too")
    return decoding
