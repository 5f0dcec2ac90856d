"""A built model as a model of `transformers`: saved, loaded, trained and generating as theirs.

    from composer.integrations.huggingface import wrap
    model = wrap(composer.build(spec), spec)
    model.save_pretrained("folder")

The config holds the whole spec as text, so `from_pretrained("folder")` builds the model again;
nothing is pickled, and no code comes from the folder. After this module is imported,
`AutoModelForCausalLM`, `AutoModelForSeq2SeqLM`, `AutoModelForSequenceClassification` and `pipeline`
know such folders too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from composer.compiler import Source
from composer.compiler import graph as graph_of
from composer.compiler import load as load_spec
from composer.graph.decoding import decoding_of
from composer.graph.graph import Graph
from composer.language.spec import ModelSpec

from .causal import ComposerForCausalLM, next_token
from .classification import ComposerForSequenceClassification, text_to_classes
from .config import ComposerConfig
from .past import Past
from .sequences import ComposerForConditionalGeneration, from_source

__all__ = [
    "ComposerConfig",
    "ComposerForCausalLM",
    "ComposerForConditionalGeneration",
    "ComposerForSequenceClassification",
    "Past",
    "load",
    "wrap",
]

Wrapped: TypeAlias = (
    ComposerForCausalLM | ComposerForConditionalGeneration | ComposerForSequenceClassification
)


def wrap(
    model: nn.Module, spec: Source | ModelSpec, *, size: str | None = None,
    overrides: Iterable[str] = (), **more: Any,  # noqa: ANN401 - keys of any config
) -> Wrapped:  # fmt: skip
    """A model that was built from `spec`, as one of `transformers`; the parameters are the same.

    One that reads tokens and scores the next is for causal language modeling, one that also reads a
    source of tokens for conditional generation, one that scores classes for sequence classification.
    `more` goes to the config, such as `eos_token_id`, `decoder_start_token_id` and `id2label`.
    Raises SpecError, and ValueError for a spec that is none of them.
    """
    made = spec if isinstance(spec, ModelSpec) else load_spec(spec, size=size, overrides=overrides)
    graph = graph_of(made)
    cls = _class_of(graph)
    found = text_to_classes(graph)
    if found is not None and cls is ComposerForSequenceClassification and "id2label" not in more:
        more["num_labels"] = found[2]
    return cls(ComposerConfig.of(made, **more), model)


def load(folder: str | Path) -> Wrapped:
    """The model that `save_pretrained` has written to a folder."""
    config = ComposerConfig.from_pretrained(folder)
    return _class_of(graph_of(config.spec)).from_pretrained(folder)


def _class_of(graph: Graph) -> type[Wrapped]:
    """The class that a graph fits. Raises ValueError where there is none."""
    try:
        decoding = decoding_of(graph)
    except ValueError:
        if text_to_classes(graph) is None:
            raise
        return ComposerForSequenceClassification
    if len(decoding.graph.inputs) == 1:
        next_token(graph)
        return ComposerForCausalLM
    from_source(graph)
    return ComposerForConditionalGeneration


AutoConfig.register("composer", ComposerConfig, exist_ok=True)
AutoModelForCausalLM.register(ComposerConfig, ComposerForCausalLM, exist_ok=True)
AutoModelForSeq2SeqLM.register(ComposerConfig, ComposerForConditionalGeneration, exist_ok=True)
AutoModelForSequenceClassification.register(
    ComposerConfig, ComposerForSequenceClassification, exist_ok=True
)
