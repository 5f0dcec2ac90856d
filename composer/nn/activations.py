"""Activations that torch has no function of its own for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation (Hendrycks and Gimpel, 2016), as in GPT-2."""
    return F.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """GELU by a scaled sigmoid (Hendrycks and Gimpel, 2016), as in CLIP."""
    return x * torch.sigmoid(1.702 * x)


def relu_squared(x: Tensor) -> Tensor:
    """The square of ReLU (So et al., 2021, Primer)."""
    return F.relu(x).square()
