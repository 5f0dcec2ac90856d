"""Beam search: several continuations of each example are followed at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .steps import Steps

_NEVER = -1e9  # added to what must not be chosen; finite, so that orders among such stay defined


@dataclass(frozen=True)
class Beams:
    """How to search.

    A finished continuation of n tokens scores the sum of its log probabilities divided by
    n^`length_penalty`. With `early_stopping` an example ends as soon as `num_beams` have finished;
    without, when none that is unfinished scores better at its present length; with "never", when
    none could at its full length.
    """

    num_beams: int
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError("num_beams must be 1 or more")


@dataclass
class _Finished:
    """The best finished continuations of each example: tokens, lengths, scores, best first."""

    tokens: Tensor  # (batch, beams, prompt + max_new_tokens)
    lengths: Tensor  # (batch, beams)
    scores: Tensor  # (batch, beams)

    def add(self, tokens: Tensor, length: int, scores: Tensor) -> None:
        """Puts further candidates (batch, candidates, ...) among them, and keeps the best."""
        count = self.scores.shape[1]
        merged = torch.cat([self.scores, scores], dim=1)
        self.scores, order = merged.topk(count, dim=1)
        lengths = torch.cat([self.lengths, torch.full_like(scores, length).long()], dim=1)
        self.lengths = lengths.gather(1, order)
        self.tokens = _rows(torch.cat([self.tokens, tokens], dim=1), order)

    @property
    def full(self) -> Tensor:
        """Whether each example has as many as it may have: (batch, 1)."""
        return (self.scores > _NEVER / 2).all(dim=1, keepdim=True)


def beam_search(
    steps: Steps, prompt: Tensor, beams: Beams, max_new_tokens: int, ends: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuation of each prompt (batch, steps): tokens, lengths, scores.

    Tokens are (batch, steps + max_new_tokens), of which lengths (batch,) count; `ends` are the
    tokens (ends,) that finish a continuation.
    """
    batch, start = prompt.shape
    count, device = beams.num_beams, prompt.device
    scores = torch.full((batch, count), _NEVER, device=device)
    scores[:, 0] = 0.0
    running = prompt.new_zeros(batch, count, start + max_new_tokens)
    running[:, :, :start] = prompt[:, None]
    finished = _Finished(
        running.clone(), torch.full((batch, count), start, device=device),
        torch.full((batch, count), _NEVER, device=device),
    )  # fmt: skip
    improvable = torch.ones(batch, 1, dtype=torch.bool, device=device)
    logits = steps(prompt)[:, -1].repeat_interleave(count, dim=0)
    steps.repeat(count)
    for made in range(1, max_new_tokens + 1):
        length = start + made
        found, origins, words = _candidates(logits, scores, count * max(2, 1 + len(ends)))
        tokens = _rows(running, origins)
        tokens[:, :, length - 1] = words
        ended = torch.isin(words, ends) | (made == max_new_tokens)
        scores, order = (found + ended * _NEVER).topk(count, dim=1)
        running = _rows(tokens, order)
        allowed = ended & improvable & (torch.arange(found.shape[1], device=device) < count)
        if beams.early_stopping is True:
            allowed = allowed & ~finished.full
        finished.add(tokens, length, found / made**beams.length_penalty + ~allowed * _NEVER)
        improvable = improvable & _improvable(scores, finished, beams, made, max_new_tokens)
        done = bool(finished.full.all()) and beams.early_stopping is True
        if done or not improvable.any() or ended.all():
            break
        rows = origins.gather(1, order) + count * torch.arange(batch, device=device)[:, None]
        steps.select(rows.flatten())
        logits = steps(running[:, :, length - 1].reshape(-1, 1))[:, -1]
    return finished.tokens[:, 0], finished.lengths[:, 0], finished.scores[:, 0]


def _candidates(logits: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations by one token: their scores, the beams they continue, the tokens.

    logits (batch * beams, vocab_size), scores (batch, beams) -> each (batch, count).
    """
    batch, beams = scores.shape
    each = logits.float().log_softmax(dim=-1).view(batch, beams, -1) + scores[:, :, None]
    vocab_size = each.shape[-1]
    found, places = each.flatten(1).topk(min(count, beams * vocab_size), dim=1)
    return found, places // vocab_size, places % vocab_size


def _improvable(scores: Tensor, finished: _Finished, beams: Beams, made: int, most: int) -> Tensor:
    """Whether the best unfinished continuation may still beat the worst finished one: (batch, 1)."""
    hopeful = beams.early_stopping == "never" and beams.length_penalty > 0
    best = scores[:, :1] / (most if hopeful else made) ** beams.length_penalty
    return torch.gt(best, finished.scores.amin(dim=1, keepdim=True))


def _rows(tokens: Tensor, order: Tensor) -> Tensor:
    """tokens (batch, beams, length), order (batch, chosen) -> (batch, chosen, length)."""
    return tokens.gather(1, order[:, :, None].expand(-1, -1, tokens.shape[2]))
