"""Tensor and sequence parallelism on modules: parameters become DTensors, hooks turn what is read.

Between modules states are plain tensors, equal on every device. Where they are split by steps, they
are DTensors along the axis of time from a stack's embedding to its end, so that a shape is always
that of the whole. What reads them is put together once for all linear maps of a component.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor

from composer.components.splits import AXIS, Style

TIME, LAST = 1, -1
"""The axis of steps (or of heads, once they are told apart), and the last one."""

Turn = Callable[[Tensor], Tensor]


def spread_parameters(module: nn.Module, mesh: DeviceMesh, axis: int | None, rows: bool) -> None:
    """Makes DTensors of a module's own parameters; along no axis each device has all of them."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        whole = axis is None or (rows and name == "bias")
        place: Placement = Replicate() if whole or axis is None else Shard(axis)
        spread = distribute_tensor(parameter.data, mesh, [place])
        made = nn.Parameter(spread, requires_grad=parameter.requires_grad)
        module.register_parameter(name, made)


def apply_style(module: nn.Module, style: Style, mesh: DeviceMesh, *, steps: bool) -> None:
    """Splits one module; with `steps`, what `rows` makes stays split by steps."""
    spread_parameters(module, mesh, AXIS[style], style == "rows")
    if style == "rows":
        turn_inputs(module, lambda x: as_dtensor(x, mesh, Shard(LAST)))
        turn_result(module, lambda x: by_steps(x, mesh) if steps else whole(x))
    elif style == "heads":
        turn_inputs(module, lambda x: as_dtensor(x, mesh, Shard(TIME)))
        turn_result(module, local)
    else:
        turn_inputs(module, lambda x: as_dtensor(x, mesh, Replicate()))
        turn_result(module, local if style == "columns" else whole)


def as_dtensor(x: Tensor, mesh: DeviceMesh, place: Placement) -> Tensor:
    """A tensor that each device has a part of, or all of; one that is spread already is turned."""
    if isinstance(x, DTensor):
        return x.redistribute(placements=[place])
    return DTensor.from_local(x, mesh, [place], run_check=False)


def by_steps(x: Tensor, mesh: DeviceMesh) -> Tensor:
    """A state as a DTensor along time."""
    spread = as_dtensor(x, mesh, Replicate()) if not isinstance(x, DTensor) else x
    assert isinstance(spread, DTensor)
    return spread.redistribute(placements=[Shard(TIME)])


def whole(x: Tensor) -> Tensor:
    """A plain tensor, the same on every device."""
    return x.redistribute(placements=[Replicate()]).to_local() if isinstance(x, DTensor) else x


def local(x: Tensor) -> Tensor:
    """The part that this device has."""
    return x.to_local() if isinstance(x, DTensor) else x


def turn_inputs(module: nn.Module, turn: Turn, ports: Collection[str] | None = None) -> None:
    """Turns what a module reads: its first argument, or those that have the names of ports."""
    names = list(inspect.signature(module.forward).parameters)

    def hook(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def turned(name: str, value: object) -> object:
            chosen = name == names[0] if ports is None else name in ports
            return turn(value) if chosen and isinstance(value, Tensor) else value

        made = tuple(turned(name, value) for name, value in zip(names, args, strict=False))
        return made, {name: turned(name, value) for name, value in kwargs.items()}

    module.register_forward_pre_hook(hook, with_kwargs=True)


def turn_result(module: nn.Module, turn: Turn) -> None:
    """Turns what a module makes; of several results the first."""

    def hook(_module: nn.Module, _args: object, result: Any) -> Any:  # noqa: ANN401
        if isinstance(result, tuple):
            return (turn(result[0]), *result[1:])
        return turn(result)

    module.register_forward_hook(hook)
