"""Shared parameters that stay shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn


class TiedModule(nn.Module):
    """A module that ties parameters again after whatever would replace them one by one."""

    def tie_weights(self) -> None:
        """Gives one tensor its several names."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        super()._apply(fn, recurse)  # to_empty() makes a new tensor for every name
        self.tie_weights()
        return self

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As in torch; with `assign`, too, one tensor keeps its several names."""
        result = super().load_state_dict(state_dict, strict, assign)
        self.tie_weights()
        return result
