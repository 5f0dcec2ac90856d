"""Sequences of another length."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resample(x: Tensor, like: Tensor) -> Tensor:
    """x (batch, time, width) stretched or shrunk linearly to the length of `like`."""
    x = F.interpolate(x.transpose(1, 2), size=like.shape[1], mode="linear", align_corners=False)
    return x.transpose(1, 2)
