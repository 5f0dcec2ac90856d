"""Generation from stored weights and plain lists of ids, as the command line has them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from composer.graph.graph import Graph
from composer.targets.module import build_module
from composer.weights import load_into

from .generator import Generated, Generator


def generate_stored(
    graph: Graph, weights: Mapping[str, Tensor], prompts: Sequence[Sequence[int]],
    inputs: Mapping[str, Sequence[int]], settings: Mapping[str, Any],
) -> Generated:  # fmt: skip
    """Continues prompts with the model of `graph` whose tensors are `weights`.

    `inputs` are token ids of other inputs, the same for every prompt; `settings` are those of
    `Generator.generate`. Raises ValueError for what the model cannot generate.
    """
    model = build_module(graph)
    load_into(model, weights)
    given: dict[str, Any] = {
        name: torch.tensor([list(ids)] * len(prompts)) for name, ids in inputs.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result says whether there was a cache
        generator = Generator(model, graph)
    return generator.generate(prompts, **settings, **given)
