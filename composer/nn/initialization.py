"""How parameters start; each function is given to `Module.apply`."""

from __future__ import annotations

from torch import nn


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Matrices and embeddings normal, biases zero; what has its own start keeps it."""
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding)):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def init_fan_in(module: nn.Module, gain: float = 1.0, std: float = 0.02) -> None:
    """Matrices normal with gain/√(width of the input), embeddings and heads with std, biases 0."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        nn.init.normal_(module.weight, std=gain / module.weight[0].numel() ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(head := getattr(module, "head", None), nn.Linear):
        nn.init.normal_(head.weight, std=std)
    else:
        for matrices in module.parameters(recurse=False):  # of experts, one upon the other
            if matrices.dim() > 2:
                nn.init.normal_(matrices, std=gain / matrices.shape[-1] ** 0.5)


def init_xavier(module: nn.Module) -> None:
    """Matrices uniform within ±√(6 / (in + out)), embeddings normal with 1/√width, biases zero."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
