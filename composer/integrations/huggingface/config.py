"""The config of a built model: the text of its spec."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers.configuration_utils import PreTrainedConfig

from composer.compiler import graph as graph_of
from composer.language.spec import ModelSpec
from composer.targets.expand import expand


class ComposerConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """A config that is a spec: `spec` is its YAML text, with nothing left to defaults.

    The other numbers are read off it, for what asks a config for them.
    """

    model_type = "composer"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]  # Trainer adds a list
    spec: str = ""
    vocab_size: int = 0
    hidden_size: int = 0
    num_hidden_layers: int = 0
    tie_word_embeddings: bool = True  # where the spec ties nothing, nothing is tied

    @classmethod
    def of(cls, spec: ModelSpec, **more: Any) -> ComposerConfig:  # noqa: ANN401 - keys of any config
        """The config of a spec; `more` are further keys, such as `eos_token_id`."""
        graph = graph_of(spec)
        sizes = [getattr(item.node.component, "vocab_size", 0) for item in graph.inputs]
        return cls(
            spec=expand(spec, graph),
            vocab_size=sizes[-1],
            hidden_size=graph.stacks[-1].width if graph.stacks else 0,
            num_hidden_layers=sum(len(stack.layers) for stack in graph.stacks),
            **more,
        )
