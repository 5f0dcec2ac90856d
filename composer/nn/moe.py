"""Mixtures of experts (Shazeer et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MixtureOfExperts(nn.Module):
    """Gated feed-forward networks; each step goes through the few that a router chooses."""

    def __init__(
        self,
        d_model: int,
        num_experts: int,
        experts_per_token: int,
        d_ff: int,
        activation: Callable[[Tensor], Tensor],
        bias: bool = False,
        limit: float | None = None,
        up_offset: float = 0.0,
        sigmoid: bool = False,
        router_bias: bool = False,
        correction_bias: bool = False,
        groups: int = 1,
        groups_per_token: int = 1,
        normalize: bool = True,
        weight_scale: float = 1.0,
        shared_gate: bool = False,
        shared: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.experts_per_token = experts_per_token
        self.activation = activation
        self.limit = limit
        self.up_offset = up_offset
        self.sigmoid = sigmoid
        self.groups = groups
        self.groups_per_token = groups_per_token
        self.normalize = normalize
        self.weight_scale = weight_scale
        self.gate = nn.Parameter(0.02 * torch.randn(num_experts, d_ff, d_model))
        self.up = nn.Parameter(0.02 * torch.randn(num_experts, d_ff, d_model))
        self.down = nn.Parameter(0.02 * torch.randn(num_experts, d_model, d_ff))
        self.gate_bias = nn.Parameter(torch.zeros(num_experts, d_ff)) if bias else None
        self.up_bias = nn.Parameter(torch.zeros(num_experts, d_ff)) if bias else None
        self.down_bias = nn.Parameter(torch.zeros(num_experts, d_model)) if bias else None
        self.correction_bias = nn.Buffer(torch.zeros(num_experts)) if correction_bias else None
        self.router = nn.Linear(d_model, num_experts, bias=router_bias)
        self.shared_gate = nn.Linear(d_model, 1, bias=False) if shared_gate else None
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, d_model)."""
        steps = x.flatten(0, 1)
        chosen, weights = self.choose(steps)
        mixed = torch.zeros_like(steps)
        for expert in range(len(self.down)):
            step, place = torch.where(chosen == expert)
            result = self.expert(steps[step], expert) * weights[step, place, None]
            mixed = mixed.index_add(0, step, result)
        mixed = mixed.view_as(x)
        if self.shared_gate is not None and self.shared is not None:
            return mixed + self.shared_gate(x).sigmoid() * self.shared(x)
        if self.shared is not None:
            return mixed + self.shared(x)
        return mixed

    def choose(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """steps (steps, d_model) -> chosen experts, weights, both (steps, experts_per_token)."""
        if self.sigmoid:
            scores = self.router(steps).sigmoid()
        else:
            scores = self.router(steps).softmax(dim=-1)
        wanted = scores if self.correction_bias is None else scores + self.correction_bias
        if self.groups > 1:
            wanted = best_groups(wanted, self.groups, self.groups_per_token)
        chosen = wanted.topk(self.experts_per_token, dim=-1).indices
        weights = scores.gather(-1, chosen)
        if self.normalize:
            weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
        if self.weight_scale != 1.0:
            weights = weights * self.weight_scale
        return chosen, weights

    def expert(self, x: Tensor, number: int) -> Tensor:
        """x (steps, d_model) -> the same, through one expert."""
        if self.gate_bias is not None and self.up_bias is not None:
            gate = F.linear(x, self.gate[number], self.gate_bias[number])
            up = F.linear(x, self.up[number], self.up_bias[number])
        else:
            gate = F.linear(x, self.gate[number])
            up = F.linear(x, self.up[number])
        if self.limit is not None:
            gate = gate.clamp(max=self.limit)
            up = up.clamp(-self.limit, self.limit)
        if self.up_offset != 0.0:
            up = up + self.up_offset
        if self.down_bias is not None:
            return F.linear(self.activation(gate) * up, self.down[number], self.down_bias[number])
        return F.linear(self.activation(gate) * up, self.down[number])


def best_groups(scores: Tensor, groups: int, kept: int) -> Tensor:
    """scores (steps, experts), -inf outside the groups whose two best experts score highest."""
    grouped = scores.unflatten(-1, (groups, -1))
    best = grouped.topk(2, dim=-1).values.sum(dim=-1).topk(kept, dim=-1).indices
    hidden = torch.ones_like(grouped[..., 0], dtype=torch.bool).scatter(-1, best, value=False)
    return grouped.masked_fill(hidden[..., None], float("-inf")).flatten(-2)
