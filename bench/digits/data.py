"""The 1,797 digits of scikit-learn, in three parts that are always the same."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Images (count, 1, 8, 8) of values from -1 to 1, and the digits (count) that they show."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, digits: Collection[int]) -> Images:
        """Those that show one of these digits."""
        return self[torch.isin(self.labels, torch.tensor(list(digits)))]

    def __getitem__(self, chosen: slice | Tensor) -> Images:
        return Images(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Digits:
    """1,200 images to learn from, 197 to choose settings by, and 400 to report."""

    train: Images
    validation: Images
    test: Images


def digits() -> Digits:
    """The digits, shuffled once."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = torch.tensor(loaded.images, dtype=torch.float32)[:, None] / 8 - 1
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    every = Images(images[order], torch.tensor(loaded.target)[order])
    return Digits(every[:1200], every[1200:1397], every[1397:])
