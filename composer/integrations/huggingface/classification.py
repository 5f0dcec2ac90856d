"""Models that give a text a class."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from composer.compiler import graph as graph_of
from composer.components.inputs import Tokens
from composer.graph.graph import Graph, Input

from .built import Built
from .config import ComposerConfig
from .embeddings import embedding
from .masks import check_starts, mask_of


class ComposerForSequenceClassification(Built):  # type: ignore[no-untyped-call]
    """A classifier of texts that was built from a spec; `model` is the built module.

    With `labels` it returns their loss as models of `transformers` do: cross entropy for one class
    of each text, binary cross entropy for several, a square for one number.
    """

    def __init__(self, config: ComposerConfig, model: nn.Module | None = None) -> None:
        graph = graph_of(config.spec)
        found = text_to_classes(graph)
        if found is None:
            raise ValueError("a classifier reads one input of tokens and scores classes once")
        item, self.output, classes = found
        if config.num_labels != classes:
            why = f"there are {config.num_labels} labels, but '{self.output}' scores {classes}"
            raise ValueError(why)
        super().__init__(config)
        self.read = item
        self.graph = graph
        self.names = {item.name: "input_ids", f"{item.name}_mask": "attention_mask"}
        self.hold(graph, model)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the stack that reads the tokens."""
        return embedding(self.model, self.graph, self.read.name)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **more: Any,  # noqa: ANN401 - of the loss, and what other models read
    ) -> SequenceClassifierOutput:
        """input_ids (batch, time) -> logits (batch, classes).

        attention_mask (batch, time): 1 for real tokens, 0 for padding.

        Raises ValueError for padding that the spec does not say or that would move positions.
        """
        check_starts(self.graph, attention_mask)
        mask = mask_of(self.read, input_ids, attention_mask)
        logits = getattr(self.model(**{self.read.name: input_ids}, **mask), self.output)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                labels=labels, pooled_logits=logits, config=self.config, **more
            )
        return SequenceClassifierOutput(loss=loss, logits=logits)


def text_to_classes(graph: Graph) -> tuple[Input, str, int] | None:
    """The only input of a graph, its only output of classes, and how many these are.

    None where it reads more than tokens, or no head or several score classes.
    """
    item = graph.inputs[0]
    shapes = [(one.name, one.value.shape) for one in graph.outputs if one.head is not None]
    scored = [(name, shape[1]) for name, shape in shapes if len(shape) == 2]  # noqa: PLR2004 - batch and classes
    if len(graph.inputs) > 1 or not isinstance(item.node.component, Tokens) or len(scored) != 1:
        return None
    name, classes = scored[0]
    return (item, name, classes) if isinstance(classes, int) else None
