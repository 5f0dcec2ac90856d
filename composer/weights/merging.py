"""Adapters and the weights that they change: started, merged into them, and switched."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from composer.components.ia3 import Ia3
from composer.components.lora import Lora
from composer.components.placed import Adapter
from composer.graph.graph import Graph

from .errors import weight_error

if TYPE_CHECKING:
    from torch import Tensor, nn


def adapted_maps(graph: Graph) -> Iterator[tuple[str, Adapter]]:
    """Each adapter of a linear map with the map's path; what is shared once."""
    for path, node in graph.nodes():
        for adapter in node.placed.adapters:
            if f"{path}.{adapter.path}.{_first(adapter)}" not in graph.aliases:
                yield f"{path}.{adapter.linear}".rstrip("."), adapter


def merge_tensors(
    graph: Graph, tensors: Mapping[str, Tensor], adapters: Collection[str] | None = None
) -> dict[str, Tensor]:
    """The tensors of the model without adapters, what they do being in its weights.

    `tensors` are those of `graph` by first names; `adapters` names those that are merged, all by
    default, and what the others do is lost. Raises WeightError for a name that no adapter has, and
    where one cannot be merged.
    """
    check_names(graph, adapters or ())
    if missing := [name for name in graph.added if name not in tensors]:
        raise weight_error("W402", f"there is nothing for '{min(missing)}' to merge")
    made = {name: tensor for name, tensor in tensors.items() if name not in graph.added}
    for path, adapter in adapted_maps(graph):
        if adapters is None or adapter.name in adapters:
            prefix = f"{path}.{adapter.name}"
            own = {name: tensors[f"{prefix}.{name}"] for name in adapter.placed.tensors}
            component = adapter.placed.component
            if isinstance(component, Lora):
                weight = made[f"{path}.weight"]
                change = _update(component, tensors[f"{path}.weight"], own)
                made[f"{path}.weight"] = weight + change.to(weight.dtype)
            elif isinstance(component, Ia3):
                made.update(_rescaled(component, path, dict(made), own["scale"]))
            else:
                why = f"'{prefix}' is not linear, so it cannot be merged into a weight"
                raise weight_error("W408", why, "name those that are merged")
    return made


def start_lengths(graph: Graph, model: nn.Module, new: Collection[str]) -> None:
    """Sets the lengths that are new to those of the rows of their weights, which were loaded."""
    import torch

    state = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for path, adapter in adapted_maps(graph):
            name = f"{path}.{adapter.name}.magnitude"
            if name in new:
                state[name].copy_(state[f"{path}.weight"].norm(dim=1))


def use_adapters(model: nn.Module, *names: str) -> None:
    """Lets only these adapters take part in what a model computes; none: it is as without them.

    Raises WeightError for a name that no adapter has.
    """
    holders = [module for module in model.modules() if _holds(module)]
    known = {name for module in holders for name, _ in module.named_children()}
    for name in names:
        if name not in known:
            raise weight_error("W404", f"no adapter is called '{name}'", f"names: {_listed(known)}")
    for module in holders:
        own = [name for name, _ in module.named_children()]
        setattr(module, "active", tuple(name for name in own if name in names))  # noqa: B010


def check_names(graph: Graph, names: Collection[str]) -> None:
    """Raises WeightError for a name that no adapter of a graph has."""
    known = {adapter.name for _, adapter in adapted_maps(graph)}
    for name in names:
        if name not in known:
            raise weight_error("W404", f"no adapter is called '{name}'", f"names: {_listed(known)}")


def _holds(module: nn.Module) -> bool:
    return isinstance(getattr(module, "active", None), tuple)


def _update(component: Lora, weight: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """What is added to a weight, of the widest type among them and at least float32."""
    import torch

    kind = torch.promote_types(weight.dtype, torch.float32)
    whole = weight.to(kind)
    low: Tensor = component.scale * own["b"].to(kind) @ own["a"].to(kind)
    if not component.dora:
        return low
    rows = whole + low
    change: Tensor = (own["magnitude"].to(kind) / rows.norm(dim=1))[:, None] * rows - whole
    return change


def _rescaled(
    component: Ia3, path: str, tensors: Mapping[str, Tensor], scale: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """The weight of a map times factors, and where these are of its results, its bias too."""
    weight, bias = tensors[f"{path}.weight"], tensors.get(f"{path}.bias")
    factors = scale.to(weight.dtype)
    yield f"{path}.weight", weight * (factors if component.of == "input" else factors[:, None])
    if bias is not None and component.of == "result":
        yield f"{path}.bias", bias * factors.to(bias.dtype)


def _first(adapter: Adapter) -> str:
    return next(iter(adapter.placed.tensors))


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "there are none"
