"""Where a model embeds the tokens of an input."""

from __future__ import annotations

from torch import nn

from composer.graph.graph import Graph


def embedding(model: nn.Module, graph: Graph, tokens: str) -> nn.Module:
    """The embedding of the stack that reads an input.

    Raises NotImplementedError, as models of `transformers` do, where no stack does.
    """
    for stack in graph.stacks:
        if stack.source.part == tokens:
            found: nn.Module = model.get_submodule(f"{stack.name}.embed.tokens")
            return found
    raise NotImplementedError(f"no stack embeds '{tokens}'")
