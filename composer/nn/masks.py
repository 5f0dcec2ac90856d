"""Masks: which key each query may read, True where it may."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_mask(
    x: Tensor,
    padding: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
) -> Tensor | None:
    """x (batch, time, d_model), padding (batch, time) -> (1 or batch, 1, 1 or time, time).

    None where every key may be read, or where causality is all there is.
    """
    mask = None if padding is None else padding[:, None, None, :]
    if window is not None:
        mask = combine_masks(mask, sliding_mask(x, window, causal))
    elif causal and mask is not None:
        mask = combine_masks(mask, causal_mask(x))
    return mask


def causal_mask(x: Tensor) -> Tensor:
    """x (batch, time, d_model) -> (time, time): each step reads itself and what came before."""
    time = x.shape[1]
    return torch.ones(time, time, dtype=torch.bool, device=x.device).tril()


def sliding_mask(x: Tensor, window: int, causal: bool) -> Tensor:
    """x (batch, time, d_model) -> (time, time): each step reads those nearer than `window`.

    A causal window holds `window` steps, the present one included; a bidirectional one reaches
    `window` steps to either side.
    """
    steps = torch.arange(x.shape[1], device=x.device)
    distance = steps[:, None] - steps[None, :]
    if causal:
        return (distance >= 0) & (distance < window)
    return distance.abs() <= window


def combine_masks(mask: Tensor | None, other: Tensor) -> Tensor:
    """Both masks at once; None allows everything."""
    return other if mask is None else mask & other


def concat_masks(masks: list[Tensor | None], parts: list[Tensor]) -> Tensor | None:
    """Padding masks (batch, time) of `parts`, joined along time; None stands for no padding."""
    if all(mask is None for mask in masks):
        return None
    return torch.cat(
        [
            part.new_ones(part.shape[:2], dtype=torch.bool) if mask is None else mask
            for mask, part in zip(masks, parts, strict=True)
        ],
        dim=1,
    )


def step_mask(
    x: Tensor,
    start: int,
    padding: Tensor | None = None,
    causal: bool = True,
    window: int | None = None,
) -> Tensor | None:
    """The causal mask of steps that follow `start` held ones, whose keys are all of these.

    x (batch, time, d_model), padding (batch, start + time) -> (1 or batch, 1, time, start + time),
    or None for a single step that may read every key, and where causality is all there is.
    """
    assert causal, "a step that reads later ones cannot be decoded"
    if start == 0:
        return attention_mask(x, padding, causal, window)
    if padding is None and x.shape[1] == 1 and window is None:
        return None
    keys = torch.arange(start + x.shape[1], device=x.device)
    distance = keys[start:, None] - keys[None, :]
    mask = distance >= 0
    if window is not None:
        mask = mask & (distance < window)
    return mask if padding is None else combine_masks(padding[:, None, None, :], mask)
