"""A plain training loop, and how many digits a model then knows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from bench.digits.data import Images


def fit(model: nn.Module, data: Images, *, steps: int, lr: float, seed: int) -> nn.Module:
    """The model after `steps` of AdamW on random batches of 64; what is frozen stays as it is.

    The rate falls to nothing along half a cosine.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # for dropout
    model.train()
    for _ in range(steps):
        batch = data[torch.randint(len(data), (64,), generator=generator)]
        loss = F.cross_entropy(model(image=batch.images).digit, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, data: Images) -> float:
    """Per cent of the images whose digit the model says."""
    model.eval()
    said = model(image=data.images).digit.argmax(dim=-1)
    return float((said == data.labels).float().mean()) * 100
