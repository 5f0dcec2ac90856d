"""What the comparisons with other implementations share.

A file of comparisons has `FAMILIES`, each with the name of its `spec` and a `str` of its own, and
`differences(family, dtype)`: the largest difference of what both compute, unpadded and padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

import composer
from composer.weights import apply, export, plan
from composer.weights.names import Targets

SPECS = Path(__file__).parents[2] / "specs"
UNIT = ("norm", "ln_", "layer_norm", "layernorm")
"""Words in the names of weights that are around one."""


def randomise(model: nn.Module, *, around_one: bool = True) -> None:
    """Draws every parameter anew with a deviation of 0.15; the weights of norms around one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.15)
            if around_one and parameter.dim() == 1 and any(w in name.lower() for w in UNIT):
                parameter.add_(1.0)


def with_weights(
    spec: str, source: Mapping[str, Tensor], overrides: list[str], size: str | None = None
) -> nn.Module:
    """The model of a spec with the other's weights, which survive the way there and back."""
    made = composer.load(SPECS / f"{spec}.yaml", size=size, overrides=overrides)
    graph = composer.graph(made)
    shapes = {name: tuple(tensor.shape) for name, tensor in source.items()}
    planned = plan(graph, made.weights["huggingface"], shapes)
    tensors = apply(planned, source.__getitem__)
    for name, tensor in export(planned, tensors.__getitem__).items():
        assert torch.equal(tensor, source[name]), name
    model = composer.build(graph).eval()
    missing = model.load_state_dict(tensors, strict=False)
    owner = Targets(graph).owner
    assert all(owner(name) != name for name in missing.missing_keys)
    assert not missing.unexpected_keys
    return model


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Makes new tensors of a type, e.g. both models in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def gradient_difference(
    spec: str, model: nn.Module, other: nn.Module, overrides: list[str], size: str | None = None
) -> float:
    """The largest difference of two models' gradients, through the spec's map.

    Each is relative to the largest gradient of its parameter, or to 1e-3 if that is smaller.
    Both models have run backward from the same scalar.
    """
    made = composer.load(SPECS / f"{spec}.yaml", size=size, overrides=overrides)
    graph = composer.graph(made)
    theirs = {name: torch.zeros_like(tensor) for name, tensor in other.state_dict().items()}
    for name, parameter in other.named_parameters(remove_duplicate=False):
        if name in theirs and parameter.grad is not None:
            theirs[name] = parameter.grad
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.items()}
    wanted = apply(plan(graph, made.weights["huggingface"], shapes), theirs.__getitem__)
    largest = 0.0
    for name, parameter in model.named_parameters():
        if name not in wanted:
            continue
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        scale = max(float(wanted[name].abs().max()), 1e-3)
        largest = max(largest, float((grad - wanted[name]).abs().max()) / scale)
    return largest
