"""The next token: the best one, or a sample of those that are likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How to draw the next token.

    Scores are divided by `temperature`; then only the `top_k` best remain, and of these the fewest
    whose probabilities reach `top_p` together (Holtzman et al., 2019, arXiv:1904.09751).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError("temperature must be above 0; leave it out for the best token")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError("top_k must be 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError("top_p must be above 0 and at most 1")


def choose(scores: Tensor, sampling: Sampling | None, random: torch.Generator | None) -> Tensor:
    """Scores (batch, vocab_size) -> tokens (batch,), the best ones where there is no sampling."""
    if sampling is None:
        return scores.argmax(dim=-1)
    likely = probabilities(scores, sampling)
    return torch.multinomial(likely, 1, generator=random)[:, 0]


def probabilities(scores: Tensor, sampling: Sampling) -> Tensor:
    """Scores (batch, vocab_size) -> probabilities of the same shape, zero for what is left out."""
    scores = scores.float() / sampling.temperature
    if sampling.top_k is not None:
        least = scores.topk(min(sampling.top_k, scores.shape[-1]), dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    likely = scores.softmax(dim=-1)
    if sampling.top_p is None:
        return likely
    ordered, places = likely.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered  # what better tokens have together
    kept = torch.zeros_like(likely).scatter(-1, places, ordered * (before < sampling.top_p))
    return kept / kept.sum(dim=-1, keepdim=True)
