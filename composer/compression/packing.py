"""Whole numbers of few bits, packed into bytes without gaps, and back."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

_BYTE = 8


def pack(numbers: Tensor, bits: int) -> Tensor:
    """Signed numbers of some bits each (int8, any shape) -> bytes (uint8, one axis)."""
    values = numbers.reshape(-1).to(torch.int16) + 2 ** (bits - 1)
    single = (values[:, None] >> torch.arange(bits, dtype=torch.int16)) & 1
    padded = torch.nn.functional.pad(single.reshape(-1), (0, -single.numel() % _BYTE))
    weights = 2 ** torch.arange(_BYTE, dtype=torch.int16)
    packed: Tensor = (padded.reshape(-1, _BYTE) * weights).sum(1)
    return packed.to(torch.uint8)


def unpack(packed: Tensor, bits: int, shape: tuple[int, ...]) -> Tensor:
    """What `pack` was given."""
    single = (packed.to(torch.int16)[:, None] >> torch.arange(_BYTE, dtype=torch.int16)) & 1
    values = single.reshape(-1)[: prod(shape) * bits].reshape(-1, bits)
    weights = 2 ** torch.arange(bits, dtype=torch.int16)
    signed: Tensor = (values * weights).sum(1) - 2 ** (bits - 1)
    return signed.to(torch.int8).reshape(shape)
