"""Training that is aware of rounding: fake quantization by torchao (Jacob et al., 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from composer.language.quantize import QuantizeFields

from .errors import compression_error
from .passes import Work

if TYPE_CHECKING:
    from torchao.quantization.qat import IntxFakeQuantizeConfig


def prepare(work: Work, options: QuantizeFields) -> None:
    """Linear maps that round their weights in each forward pass, under the same names.

    Raises CompressionError for a scheme that has no such form.
    """
    from torchao.quantization.qat import FakeQuantizedLinear

    weights, inputs = _weights(options), _inputs(options)
    made: dict[nn.Module, nn.Module] = {}
    for linear in dict.fromkeys(work.linears()):
        if not isinstance(linear, FakeQuantizedLinear):
            made[linear] = FakeQuantizedLinear.from_linear(linear, inputs, weights)
    replace_modules(work.model, made)


def plain(work: Work) -> None:
    """Linear maps as they were before `prepare`, with the weights that they have now."""
    from torchao.quantization.qat import FakeQuantizedLinear

    made: dict[nn.Module, nn.Module] = {
        linear: linear.to_linear()
        for linear in dict.fromkeys(work.linears())
        if isinstance(linear, FakeQuantizedLinear)
    }
    replace_modules(work.model, made)


def replace_modules(model: nn.Module, made: Mapping[nn.Module, nn.Module]) -> None:
    """Puts modules into all places of those that they replace."""
    for holder in list(model.modules()):
        for name, child in list(holder.named_children()):
            if child in made:
                setattr(holder, name, made[child].train(child.training))


def _weights(options: QuantizeFields) -> IntxFakeQuantizeConfig:
    """How weights are rounded: as after it, to the same numbers."""
    from torchao.quantization.granularity import PerAxis, PerGroup
    from torchao.quantization.qat import IntxFakeQuantizeConfig

    if options.scheme == "int4_weight":
        why = "int4_weight is no scheme that training can be aware of"
        raise compression_error("Q702", why, "scheme: int4_group")
    bits = getattr(torch, f"int{options.how.bits}")
    part = PerGroup(options.group) if options.how.grouped else PerAxis(0)
    return IntxFakeQuantizeConfig(bits, part, eps=_eps(options))


def _eps(options: QuantizeFields) -> float | None:
    return None if options.how.grouped else torch.finfo(torch.float32).eps


def _inputs(options: QuantizeFields) -> IntxFakeQuantizeConfig | None:
    """How inputs are rounded, if so: one scale a vector, as int8_dynamic does."""
    from torchao.quantization.qat import IntxFakeQuantizeConfig

    if options.scheme not in {"int8_dynamic", "int8_static"}:
        return None
    return IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=True)
