"""Training that is aware of rounding: fake quantization by torchao (Jacob et al., 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from composer.language.quantize import QuantizeFields

from .errors import compression_error
from .passes import Work

_EPS = torch.finfo(torch.float32).eps  # the least scale, that of rounding to int8


class Vectors(nn.Module):
    """Rounds each vector of what a linear map reads with a scale of its own."""

    def __init__(self, rows: nn.Module) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """x (..., features) -> the same, rounded."""
        rounded: Tensor = self.rows(x.flatten(0, -2))
        return rounded.view(x.shape)


def check(options: QuantizeFields) -> None:
    """Raises CompressionError for a scheme that training cannot be aware of."""
    why = {
        "int8_static": "its scales of inputs are found afterwards",
        "int4_weight": "its kernels have no gradients",
    }.get(options.scheme)
    if options.aware and why is not None:
        fix = f"scheme: {'int8_dynamic' if options.how.calibrated else 'int4_group'}"
        raise compression_error("Q702", f"training cannot be aware of {options.scheme}: {why}", fix)


def prepare(work: Work, options: QuantizeFields) -> None:
    """Linear maps that round their weights in each forward pass, under the same names."""
    from torchao.quantization.qat import FakeQuantizedLinear

    made: dict[nn.Module, nn.Module] = {}
    for linear in dict.fromkeys(work.linears()):
        if not isinstance(linear, FakeQuantizedLinear):
            made[linear] = _rounding(linear, options)
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
        for name, child in list(holder._modules.items()):  # noqa: SLF001 - each place, twice the same too
            if child is not None and child in made:
                setattr(holder, name, made[child].train(child.training))


def _rounding(linear: nn.Linear, options: QuantizeFields) -> nn.Module:
    """A linear map that rounds as after it, to the same numbers."""
    from torchao.quantization.granularity import PerAxis, PerGroup
    from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig
    from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer

    if options.how.grouped:
        bits = getattr(torch, f"int{options.how.bits}")
        groups = PerAxis(0) if options.group == "row" else PerGroup(options.group)
        weights = IntxFakeQuantizeConfig(bits, groups)
    else:
        weights = IntxFakeQuantizeConfig(torch.int8, PerAxis(0), eps=_EPS)
    made: nn.Module = FakeQuantizedLinear.from_linear(linear, None, weights)
    if options.scheme == "int8_dynamic":
        rows = IntxFakeQuantizeConfig(torch.int8, PerAxis(0), eps=_EPS)
        made.activation_fake_quantizer = Vectors(IntxFakeQuantizer(rows))
    return made
