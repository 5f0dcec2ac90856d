"""What all models of ours in `transformers` are: a built module, and a config that is its spec."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from composer.compiler import build
from composer.graph.graph import Graph

from .config import ComposerConfig


class Built(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A model whose `model` is the built module.

    `names` says what inputs of the spec are called in `transformers`, `output` is the name of the
    spec's output that is returned as logits.
    """

    config_class = ComposerConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    names: dict[str, str]
    output: str

    def hold(self, graph: Graph, model: nn.Module | None) -> None:
        """Takes a model that was built from a graph, or builds it; what it ties is tied."""
        self.model = build(graph) if model is None else model
        self._tied_weights_keys = {
            f"model.{name}": f"model.{first}" for name, first in graph.aliases.items()
        }
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Does nothing: a built model has its first values."""
