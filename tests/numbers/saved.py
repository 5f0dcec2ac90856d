"""What torch keeps of a forward pass for the backward pass, by counting it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.conformance.models import flat


def saved_bytes(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """Bytes of the storages that are saved, each once, those of parameters not included."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.nbytes() and storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        flat(model(**inputs))
    return sum(storage.nbytes() for storage in storages.values())
