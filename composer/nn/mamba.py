"""Selective state spaces (Gu and Dao, 2023, Mamba)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import Cache


class Mamba(nn.Module):
    """A gated, selective recurrence after a short causal convolution."""

    def __init__(
        self,
        d_model: int,
        d_inner: int,
        state_size: int,
        kernel_size: int,
        dt_rank: int,
        bias: bool = False,
        conv_bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.sizes = [dt_rank, state_size, state_size]
        rates = torch.arange(1, state_size + 1, dtype=torch.get_default_dtype())
        self.A_log = nn.Parameter(rates.log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=bias)
        self.conv = nn.Conv1d(d_inner, d_inner, kernel_size, groups=d_inner, bias=conv_bias)
        self.x_proj = nn.Linear(d_inner, dt_rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        self.out_proj = nn.Linear(d_inner, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> the same; step t depends on steps up to t only."""
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x = F.pad(x.transpose(1, 2), (self.kernel_size - 1, 0))
        x = F.silu(self.conv(x)).transpose(1, 2)
        dt, into, out = self.x_proj(x).split(self.sizes, dim=-1)
        dt = F.softplus(self.dt_proj(dt))
        y = selective_scan(x, dt, -self.A_log.exp(), into, out) + self.D * x
        return self.out_proj(y * F.silu(gate))


def selective_scan(x: Tensor, dt: Tensor, rates: Tensor, into: Tensor, out: Tensor) -> Tensor:
    """The recurrence h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t, read as C_t h_t.

    x and dt (batch, time, channels), A (channels, state), B and C (batch, time, state)
    -> (batch, time, channels). Spans of steps are joined in twos, in log2(time) turns.
    """
    decay = torch.exp(dt[..., None] * rates)
    state = (dt * x)[..., None] * into[:, :, None]
    span = 1
    while span < x.shape[1]:
        joined = state[:, span:] + decay[:, span:] * state[:, :-span]
        state = torch.cat([state[:, :span], joined], dim=1)
        decay = torch.cat([decay[:, :span], decay[:, span:] * decay[:, :-span]], dim=1)
        span *= 2
    return (state * out[:, :, None]).sum(dim=-1)


def stepped_scan(x: Tensor, dt: Tensor, rates: Tensor, into: Tensor, out: Tensor) -> Tensor:
    """`selective_scan` as one loop of torch over the steps, for programs of any length."""
    from torch._higher_order_ops import scan

    def step(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        x, dt, into, out = now
        state = torch.exp(dt[..., None] * rates) * state + (dt * x)[..., None] * into[:, None]
        return state, (state * out[:, None]).sum(dim=-1)

    first = x.new_zeros(x.shape[0], *rates.shape)
    steps = tuple(each.transpose(0, 1) for each in (x, dt, into, out))
    y: Tensor = scan(step, first, steps)[1]
    return y.transpose(0, 1)


class CachedMamba(Mamba):
    """A state space for decoding: it keeps its state and the last inputs of its convolution."""

    def forward(self, x: Tensor, cache: Cache) -> Tensor:  # type: ignore[override]
        """x (batch, new steps, d_model) -> the same; earlier steps are in the state."""
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x, before = x.transpose(1, 2), cache.held("inputs")
        if before is None:
            x = F.pad(x, (self.kernel_size - 1, 0))
        else:
            x = torch.cat([before, x], dim=-1)
        cache.keep("inputs", x[..., x.shape[-1] - self.kernel_size + 1 :].clone())
        x = F.silu(self.conv(x)).transpose(1, 2)
        dt, into, out = self.x_proj(x).split(self.sizes, dim=-1)
        dt = F.softplus(self.dt_proj(dt))
        states = selective_states(x, dt, -self.A_log.exp(), into, cache.held("state"))
        cache.keep("state", states[:, -1].clone())  # not a view of all of them
        y = (states * out[:, :, None]).sum(dim=-1) + self.D * x
        return self.out_proj(y * F.silu(gate))


def selective_states(
    x: Tensor, dt: Tensor, rates: Tensor, into: Tensor, before: Tensor | None
) -> Tensor:
    """Every state of the recurrence of `selective_scan`, which goes on from the state `before`.

    `before` (batch, channels, state) -> (batch, time, channels, state).
    """
    decay = torch.exp(dt[..., None] * rates)
    state = (dt * x)[..., None] * into[:, :, None]
    if before is not None:
        first = state[:, :1] + decay[:, :1] * before[:, None]
        state = torch.cat([first, state[:, 1:]], dim=1)
    span = 1
    while span < x.shape[1]:
        joined = state[:, span:] + decay[:, span:] * state[:, :-span]
        state = torch.cat([state[:, :span], joined], dim=1)
        decay = torch.cat([decay[:, :span], decay[:, span:] * decay[:, :-span]], dim=1)
        span *= 2
    return state
