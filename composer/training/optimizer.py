"""AdamW with a model's groups, and its averages as tensors by the names of the parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.language.train import TrainFields
from composer.optim import param_groups
from composer.parallel.ranks import alike

from .errors import training_error

_FUSED = {"cpu", "cuda", "mps", "xpu"}


def adamw(model: nn.Module, graph: Graph, settings: TrainFields) -> torch.optim.AdamW:
    """AdamW with the groups of the spec's parametrization, in one kernel where torch has it.

    Raises TrainingError where everything is frozen.
    """
    groups = param_groups(
        model, graph, settings.lr, weight_decay=settings.weight_decay, eps=settings.eps
    )
    if not groups:
        raise training_error("T502", f"every parameter of '{graph.name}' is frozen")
    device = groups[0]["params"][0].device.type
    betas = (settings.betas[0], settings.betas[1])
    return torch.optim.AdamW(alike(groups), betas=betas, fused=device in _FUSED)


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Everything that the optimizer has gathered, as `exp_avg:NAME`."""
    names: dict[Tensor, str] = {one: name for name, one in model.named_parameters()}
    return {
        f"{key}:{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Gives an optimizer of the same parameters what another one has gathered."""
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        key, _, parameter = name.partition(":")
        states.setdefault(parameter, {})[key] = tensor
    names = {parameter: name for name, parameter in model.named_parameters()}
    ordered = [names[one] for group in optimizer.param_groups for one in group["params"]]
    state = {place: states[name] for place, name in enumerate(ordered) if name in states}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
