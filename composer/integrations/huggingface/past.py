"""What generation with `transformers` keeps of earlier steps."""

from __future__ import annotations

from torch import Tensor, nn
from transformers.cache_utils import Cache as TheirCache

from composer.generation.binding import BindingError, decoding_form
from composer.generation.steps import CachedSteps
from composer.graph.decoding import Decoding


class Past(TheirCache):
    """What was kept of earlier steps, as `generate` of `transformers` hands it on."""

    def __init__(self, steps: CachedSteps) -> None:
        super().__init__(layers=[])
        self.steps = steps

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - all hold as many
        """Number of steps that are held."""
        return self.steps.cache.start

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Goes on with these rows of the batch."""
        self.steps.select(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Goes on with these rows of the batch."""
        self.steps.select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Goes on with each row so many times."""
        self.steps.repeat(repeats)


class Pasts:
    """Makes empty caches for one model; what it has made is no part of the model."""

    def __init__(self, decoding: Decoding) -> None:
        self.decoding = decoding
        self._form: nn.Module | None = None

    def empty(self, model: nn.Module, inputs: dict[str, Tensor]) -> Past | None:
        """An empty cache for a model with its other inputs.

        None where the graph, or what became of the model, allows none.
        """
        if self.decoding.obstacle or model.training:
            return None
        self._form = self._form or decoding_form(self.decoding)
        try:
            return Past(CachedSteps(self._form, model, inputs))
        except BindingError:
            return None
