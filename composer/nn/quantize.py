"""Weights of linear maps as whole numbers times a scale, r = S (q - Z) (Jacob et al., 2018).

They become tensors of torchao, which the maps compute with as before. Every function changes maps
in place; one that comes several times is changed once, and a weight of several maps stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def change_weights(linears: Iterable[nn.Linear], config: Callable[[nn.Linear], Any]) -> None:
    """Gives each weight the form that a configuration of torchao says."""
    made: dict[Tensor, Tensor] = {}
    for linear in linears:
        old = linear.weight
        if old not in made:
            change_weight(linear, config(linear))
            made[old] = made[linear.weight] = linear.weight
        linear.weight = made[old]


def change_weight(linear: nn.Linear, config: Any) -> None:
    """Gives the weight of one linear map the form that a configuration of torchao says."""
    from torchao.quantization import quantize_

    quantize_(linear, config, filter_fn=lambda module, _: module is linear)


def quantize_int8_weight(linears: Iterable[nn.Linear]) -> None:
    """Eight bits and a scale a row; products are those of floats."""
    from torchao.quantization import Int8WeightOnlyConfig

    change_weights(linears, lambda _: Int8WeightOnlyConfig(set_inductor_config=False))


def quantize_int8_dynamic(linears: Iterable[nn.Linear]) -> None:
    """Eight bits and a scale a row; inputs are rounded, too, with a scale a vector."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    change_weights(
        linears, lambda _: Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    )


def quantize_int8_static(
    linears: Iterable[nn.Linear], model: nn.Module, batches: Iterable[Mapping[str, Tensor]]
) -> None:
    """Eight bits and a scale a row; inputs are rounded with one scale, by their largest number.

    The model is run on `batches` of its inputs to find it. Raises ValueError for a map that no
    batch reaches, or that gets inputs of different numbers of axes.
    """
    linears = list(linears)
    largest = largest_inputs(linears, model, batches)
    least = torch.finfo(torch.float32).eps
    scales = {linear: (most / 127.5).clamp(min=least) for linear, most in largest.items()}
    round_inputs(linears, scales)


def round_inputs(linears: Iterable[nn.Linear], scales: Mapping[nn.Linear, Tensor]) -> None:
    """Eight bits and a scale a row for weights, and these scales for what the maps read."""
    from torchao.quantization import Int8StaticActivationInt8WeightConfig, PerRow, PerTensor

    def config(linear: nn.Linear) -> Int8StaticActivationInt8WeightConfig:
        return Int8StaticActivationInt8WeightConfig(
            act_quant_scale=scales[linear],
            granularity=[PerTensor(), PerRow()],
            set_inductor_config=False,
        )

    change_weights(linears, config)


def largest_inputs(
    linears: list[nn.Linear], model: nn.Module, batches: Iterable[Mapping[str, Tensor]]
) -> dict[nn.Linear, Tensor]:
    """The largest absolute number that each map reads, with as many axes as its inputs have."""
    found: dict[nn.Linear, Tensor] = {}

    def look(linear: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(linear, nn.Linear)
        (x,) = inputs
        most = x.detach().abs().max().float().reshape((1,) * x.ndim)
        if linear in found and found[linear].ndim != x.ndim:
            raise ValueError(f"{linear} reads inputs of {found[linear].ndim} and of {x.ndim} axes")
        found[linear] = torch.maximum(found[linear], most) if linear in found else most

    hooks = [linear.register_forward_pre_hook(look) for linear in dict.fromkeys(linears)]
    try:
        with torch.no_grad():
            for batch in batches:
                model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    if any(linear not in found for linear in linears):
        raise ValueError("there are linear maps that no batch reaches")
    return found


def quantize_int4_weight(linears: Iterable[nn.Linear], group: int) -> None:
    """Four bits and a scale and a zero point a group, where the machine can compute with them."""
    from torchao.quantization import Int4WeightOnlyConfig

    change_weights(
        linears, lambda _: Int4WeightOnlyConfig(group_size=group, set_inductor_config=False)
    )


def quantize_group(linears: Iterable[nn.Linear], bits: int, group: int) -> None:
    """A few bits and a scale a group of a row; products are those of floats."""
    from torchao.quantization import IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerGroup

    kind = getattr(torch, f"int{bits}")
    change_weights(linears, lambda _: IntxWeightOnlyConfig(kind, PerGroup(group)))


def quantize_row(linears: Iterable[nn.Linear], bits: int) -> None:
    """A few bits and a scale a row; products are those of floats."""
    from torchao.quantization import IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerAxis

    kind = getattr(torch, f"int{bits}")
    change_weights(linears, lambda _: IntxWeightOnlyConfig(kind, PerAxis(0)))
