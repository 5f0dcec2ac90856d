"""A built model as a model of `transformers`: saved, loaded, trained and generating as theirs.

    from composer.integrations.huggingface import wrap
    model = wrap(composer.build(spec), spec)
    model.save_pretrained("folder")

The config holds the whole spec as text, so `ComposerForCausalLM.from_pretrained("folder")` builds
the model again; nothing is pickled, and no code comes from the folder. After this module is
imported, `AutoModelForCausalLM` and `pipeline` know such folders too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache as TheirCache
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutputWithPast

from composer.compiler import Source, build, load
from composer.compiler import graph as graph_of
from composer.generation.binding import BindingError, decoding_form
from composer.generation.steps import CachedSteps
from composer.graph.decoding import Decoding, decoding_of
from composer.graph.graph import Graph, Stack
from composer.language.spec import ModelSpec
from composer.targets.expand import expand


class ComposerConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """A config that is a spec: `spec` is its YAML text, with nothing left to defaults.

    The other numbers are read off it, for what asks a config for them.
    """

    model_type = "composer"
    keys_to_ignore_at_inference = ("past_key_values",)
    spec: str = ""
    vocab_size: int = 0
    hidden_size: int = 0
    num_hidden_layers: int = 0
    tie_word_embeddings: bool = True  # where the spec ties nothing, nothing is tied

    @classmethod
    def of(cls, spec: ModelSpec, **more: Any) -> ComposerConfig:  # noqa: ANN401 - keys of any config
        """The config of a spec.

        Raises ValueError for a spec that predicts no next token of its only input.
        """
        graph = graph_of(spec)
        decoding = _decoding(graph)
        (head,) = (out.head for out in decoding.graph.outputs)
        assert head is not None, "what scores tokens is a head"
        stacks = [part for part in decoding.graph.parts.values() if isinstance(part, Stack)]
        return cls(
            spec=expand(spec, graph),
            vocab_size=head.component.vocab_size,  # type: ignore[attr-defined]  # a head of tokens
            hidden_size=stacks[-1].width,
            num_hidden_layers=sum(len(stack.layers) for stack in stacks),
            **more,
        )


class ComposerForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """A causal language model that was built from a spec; `model` is the built module.

    With `labels`, token ids of which -100 is left out, it returns their loss, shifted by one.
    """

    config_class = ComposerConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _is_stateful = True  # what a cache has left behind does not come back

    def __init__(self, config: ComposerConfig, model: nn.Module | None = None) -> None:
        super().__init__(config)
        graph = graph_of(config.spec)
        self.decoding = _decoding(graph)
        self.model = build(graph) if model is None else model
        self._tied_weights_keys = {
            f"model.{name}": f"model.{first}" for name, first in graph.aliases.items()
        }
        self._form: list[nn.Module] = []  # in a list, so that it is no part of this module
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Does nothing: a built model has its first values."""

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the stack that reads the tokens."""
        for part in self.decoding.graph.parts.values():
            if isinstance(part, Stack) and part.source.part == self.decoding.tokens:
                embedding: nn.Module = self.model.get_submodule(f"{part.name}.embed.tokens")
                return embedding
        raise NotImplementedError("no stack embeds the tokens")

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
        mask = self._mask(attention_mask)
        if held is None and use_cache and not torch.is_grad_enabled():
            held = self._past()
        if held is not None:
            logits = held.steps(input_ids, **mask)
        else:
            given = {self.decoding.tokens: input_ids, **mask}
            logits = getattr(self.model(**given), self.decoding.output)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=logits.shape[-1], **more
            )
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=held)

    def _past(self) -> Past | None:
        """An empty cache; None where the graph, or what became of the model, allows none."""
        if self.decoding.obstacle or self.training:
            return None
        if not self._form:
            self._form.append(decoding_form(self.decoding))
        try:
            return Past(CachedSteps(self._form[0], self.model, {}))
        except BindingError:
            return None

    def _mask(self, attention_mask: Tensor | None) -> dict[str, Tensor]:
        """The mask of the input that grows, where some tokens are no real ones."""
        if attention_mask is None or bool(attention_mask.all()):
            return {}
        (item,) = self.decoding.graph.inputs
        if item.padding != "mask":
            raise ValueError(f"some tokens are padding: write `padding: mask` at '{item.name}'")
        if not bool(attention_mask[:, 0].all()) and _counts_from_the_start(self.decoding.graph):
            raise ValueError(
                "padding before a text would move its positions, which are counted from the start: "
                "give texts of one length, or use composer.generate"
            )
        return {f"{item.name}_mask": attention_mask.bool()}


class Past(TheirCache):
    """What was kept of earlier steps, as `generate` of `transformers` hands it on."""

    def __init__(self, steps: CachedSteps) -> None:
        super().__init__(layers=[])
        self.steps = steps

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - all hold as many
        """Number of steps that are held."""
        return self.steps.cache.start

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Goes on with these rows of the batch."""
        self.steps.select(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Goes on with these rows of the batch."""
        self.steps.select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Goes on with each row so many times."""
        self.steps.repeat(repeats)


def wrap(
    model: nn.Module, spec: Source | ModelSpec, *, size: str | None = None,
    overrides: Iterable[str] = (), **more: Any,  # noqa: ANN401 - keys of any config
) -> ComposerForCausalLM:  # fmt: skip
    """A model that was built from `spec`, as one of `transformers`; the parameters are the same.

    `more` goes to the config, such as `eos_token_id`. Raises SpecError, and ValueError for a spec
    that predicts no next token of its only input.
    """
    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    return ComposerForCausalLM(ComposerConfig.of(made, **more), model)


def _decoding(graph: Graph) -> Decoding:
    decoding = decoding_of(graph)
    others = [item.name for item in decoding.graph.inputs if item.name != decoding.tokens]
    if others:
        raise ValueError(f"a causal language model reads tokens only, this one '{others[0]}' too")
    return decoding


def _counts_from_the_start(graph: Graph) -> bool:
    """Whether embeddings of positions are added to those of tokens."""
    placed = [part.embed.placed for part in graph.stacks if part.embed is not None]
    return any("position" in each.parts for each in placed)


AutoConfig.register("composer", ComposerConfig, exist_ok=True)
AutoModelForCausalLM.register(ComposerConfig, ComposerForCausalLM, exist_ok=True)
