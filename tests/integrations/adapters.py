"""What the tests of models of `transformers` do with adapters of `peft`."""

import torch

OLD_NAME = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft reads it


def train(adapted, given, steps=6):
    """Trains what can be trained on one batch; its names, and the loss of each step."""
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(trained.values(), lr=3e-2)
    losses = []
    for _ in range(steps):
        loss = adapted(**given).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return list(trained), losses
