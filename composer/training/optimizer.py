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


def adamw(
    model: nn.Module, graph: Graph, settings: TrainFields, beside: nn.Module
) -> torch.optim.AdamW:
    """AdamW with the groups of the spec's parametrization, in one kernel where torch has it.

    What is trained beside the model is one more group, with the rate and the decay of `settings`.

    Raises TrainingError where everything is frozen.
    """
    groups = param_groups(
        model, graph, settings.lr, weight_decay=settings.weight_decay, eps=settings.eps
    )
    if not groups:
        raise training_error("T502", f"every parameter of '{graph.name}' is frozen")
    if extra := list(beside.parameters()):
        plain = {"lr": settings.lr, "weight_decay": settings.weight_decay, "eps": settings.eps}
        groups.append({"params": extra, "name": "beside", **plain})
    device = groups[0]["params"][0].device.type
    betas = (settings.betas[0], settings.betas[1])
    return torch.optim.AdamW(alike(groups), betas=betas, fused=device in _FUSED)


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module, beside: nn.Module
) -> dict[str, Tensor]:
    """Everything that the optimizer has gathered, as `exp_avg:NAME`."""
    names: dict[Tensor, str] = {
        one: name for name, one in parameters_by_name(model, beside).items()
    }
    return {
        f"{key}:{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:  # fmt: skip
    """Gives an optimizer of the same parameters, by their names, what another one has gathered."""
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        key, _, parameter = name.partition(":")
        states.setdefault(parameter, {})[key] = tensor
    names = {one: name for name, one in parameters.items()}
    ordered = [names[one] for group in optimizer.param_groups for one in group["params"]]
    state = {place: states[name] for place, name in enumerate(ordered) if name in states}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def parameters_by_name(model: nn.Module, beside: nn.Module) -> dict[str, nn.Parameter]:
    """All that is trained; what is beside the model has names that nothing in a model has."""
    return {
        **dict(model.named_parameters()),
        **{f"beside/{name}": one for name, one in beside.named_parameters()},
    }
