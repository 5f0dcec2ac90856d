"""One step of decoding: new tokens in, scores of what follows out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from composer.graph.decoding import Decoding
from composer.nn.cache import Cache

from .binding import bind


class Steps(Protocol):
    """A model that is fed with tokens bit by bit."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """New tokens (batch, steps) -> scores (batch, steps, vocab_size)."""

    def repeat(self, times: int) -> None:
        """Goes on with each example so many times, one after the other."""

    def select(self, rows: Tensor) -> None:
        """Goes on with these rows, each of the same example as the row in its place."""


class CachedSteps:
    """Steps that compute what is new only."""

    def __init__(self, form: nn.Module, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        bind(form, model)
        self.form = form
        self.held: dict[str, Any] = form.sources(**inputs)  # type: ignore[operator]
        self.cache = Cache()

    def __call__(self, tokens: Tensor, **mask: Tensor) -> Tensor:
        """New tokens (batch, steps) -> scores (batch, steps, vocab_size).

        A `mask` of the input that grows is for all steps, held ones included.
        """
        scores = self.form(tokens, self.held, self.cache, **mask)
        self.cache.start += tokens.shape[1]
        assert isinstance(scores, Tensor)
        return scores

    def repeat(self, times: int) -> None:
        """Goes on with each example so many times, one after the other."""
        self.cache.repeat(times)
        self.held = {name: _repeated(value, times) for name, value in self.held.items()}

    def select(self, rows: Tensor) -> None:
        """Goes on with these rows, each of the same example as the row in its place."""
        if not torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            self.cache.select(rows)


class WholeSteps:
    """Steps that run the whole model on everything so far, as in training."""

    def __init__(self, model: nn.Module, decoding: Decoding, inputs: Mapping[str, Tensor]) -> None:
        self.model = model
        self.decoding = decoding
        self.inputs = dict(inputs)
        self.tokens: Tensor | None = None

    def __call__(self, tokens: Tensor) -> Tensor:
        """New tokens (batch, steps) -> scores (batch, steps, vocab_size)."""
        self.tokens = tokens if self.tokens is None else torch.cat([self.tokens, tokens], dim=1)
        outputs = self.model(**{self.decoding.tokens: self.tokens, **self.inputs})
        scores = getattr(outputs, self.decoding.output)
        assert isinstance(scores, Tensor)
        return scores[:, -tokens.shape[1] :]

    def repeat(self, times: int) -> None:
        """Goes on with each example so many times, one after the other."""
        assert self.tokens is not None, "there is a first step before"
        self.tokens = _repeated(self.tokens, times)
        self.inputs = {name: _repeated(value, times) for name, value in self.inputs.items()}

    def select(self, rows: Tensor) -> None:
        """Goes on with these rows, each of the same example as the row in its place."""
        assert self.tokens is not None, "there is a first step before"
        self.tokens = self.tokens.index_select(0, rows)


def _repeated(value: Any, times: int) -> Any:  # noqa: ANN401 - a tensor, a list of some, or None
    if isinstance(value, list | tuple):
        return [_repeated(item, times) for item in value]
    return None if value is None else value.repeat_interleave(times, dim=0)
