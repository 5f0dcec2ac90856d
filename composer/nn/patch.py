"""Images as sequences."""

from __future__ import annotations

from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """An image cut into square patches, each mapped to a vector."""

    def __init__(self, channels: int, d_model: int, patch_size: int, bias: bool = True) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, d_model, patch_size, stride=patch_size, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """image (batch, channels, height, width) -> (batch, patches row by row, d_model)."""
        return self.patches(image).flatten(2).transpose(1, 2)
