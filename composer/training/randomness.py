"""The states of all random generators as tensors and numbers, to be saved and restored."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Starts all generators from a seed, and sets them back to what they were at the end."""
    tensors, numbers = random_tensors(device), random_numbers()
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global one
    random.seed(seed)
    try:
        yield
    finally:
        restore_random(tensors, numbers, device)


def random_tensors(device: torch.device) -> dict[str, Tensor]:
    """The long part of the states: torch's, the device's, numpy's and Python's."""
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor(np.random.get_state(legacy=False)["state"]["key"].astype("int64")),  # type: ignore[call-overload,index,unused-ignore]  # noqa: NPY002 - the global one
        "python": torch.tensor(random.getstate()[1]),
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def random_numbers() -> dict[str, Any]:
    """The short rest of them: a place in numpy's block, and normal numbers made in advance."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one
    rest = [state["state"]["pos"], state["has_gauss"], state["gauss"]]
    return {"numpy": rest, "python": random.getstate()[2]}


def restore_random(
    tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], device: torch.device
) -> None:
    """Sets all generators to what was saved."""
    torch.set_rng_state(tensors["torch"])
    key = tensors["numpy"].numpy().astype("uint32")
    np.random.set_state(("MT19937", key, *numbers["numpy"]))  # noqa: NPY002 - the global one
    random.setstate((3, tuple(tensors["python"].tolist()), numbers["python"]))
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["cuda"], device)
