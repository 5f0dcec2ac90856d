"""What torch counts of a model that is built."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import composer
from composer.graph.graph import Graph
from composer.targets.module import load_source, model_class
from tests.conformance.models import flat, inputs_of


def device_of(graph: Graph) -> str:
    """Where a model is counted: nowhere, unless what it does depends on values."""
    waits = any(node.component.data_dependent for _, node in graph.nodes())
    return "cpu" if waits else "meta"


def built(graph: Graph) -> nn.Module:
    """The model where it is counted, dropout off."""
    with torch.device(device_of(graph)):
        return build_linked(graph).eval()


def build_linked(graph: Graph) -> nn.Module:
    """The model of a graph from its source that imports torch halves, whose writing takes no time."""
    text = composer.source(graph, mode="linked")
    made = load_source(text, graph.name)
    model = getattr(made, model_class(text))()
    assert isinstance(model, nn.Module)
    return model


def flops(graph: Graph, model: nn.Module, lengths: dict[str, int]) -> tuple[int, int]:
    """Operations of a forward and a backward pass, by torch's own counter.

    On real devices torch 2.13 counts fused attention as nothing, so attention runs unfused.
    """
    device = device_of(graph)
    inputs = {n: t.to(device) for n, t in inputs_of(graph, lengths=lengths).items()}
    with torch.device(device), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            outputs = flat(model(**inputs))
        with FlopCounterMode(display=False) as backward:
            torch.autograd.backward([out.sum() for out in _trained(outputs)])
    return forward.get_total_flops(), backward.get_total_flops()


def _trained(outputs: list[Tensor]) -> list[Tensor]:
    return [out for out in outputs if out.requires_grad]
