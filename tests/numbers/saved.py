"""What torch keeps of a forward pass for the backward pass, by counting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Saved:
    """Bytes of what is saved, each storage once, and what was returned."""

    nbytes: int
    results: list[Tensor]

    @property
    def returned(self) -> set[int]:
        """Where the storages of the results are."""
        return {result.untyped_storage().data_ptr() for result in self.results}


def saved_storages(model: nn.Module, forward: Callable[[], Any]) -> Saved:
    """What `forward` saves, parameters of the model not included."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.nbytes() and storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made = forward()
    results = [made] if isinstance(made, Tensor) else list(made)
    return Saved(sum(storage.nbytes() for storage in storages.values()), results)


def saved_bytes(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """Bytes that a forward pass of a model saves."""
    return saved_storages(model, lambda: model(**inputs)).nbytes
