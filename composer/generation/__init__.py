"""Generation from every causal decoder that a spec can say, step by step with a cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from composer.compiler import Source
from composer.compiler import graph as graph_of
from composer.graph.graph import Graph
from composer.language.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .generator import Generated


def generate(
    model: nn.Module, spec: Source | ModelSpec | Graph, prompt: Tensor | Sequence[Sequence[int]],
    *, max_new_tokens: int, size: str | None = None, overrides: Iterable[str] = (),
    output: str | None = None, cache: bool | None = None, **settings: Any,  # noqa: ANN401 - named and checked by Generator
) -> Generated:  # fmt: skip
    """Continues `prompt`, token ids (batch, steps) or lists of any lengths, by at most so many.

    `model` is one that was built from `spec`. Other inputs of the model, such as the source of a
    translation, are given by name among `settings`, which also say how to choose: the next token
    with the best score unless `temperature`, `top_k`, `top_p` or `seed` ask for samples, or
    `num_beams` for beam search; see `Generator.generate` for all of them. `output` names the output
    that scores next tokens, where there are several. `cache` as in `Generator`.

    Raises SpecError, and ValueError for what the model cannot generate.
    """
    from .generator import Generator

    graph = spec if isinstance(spec, Graph) else graph_of(spec, size=size, overrides=overrides)
    generator = Generator(model, graph, output=output, cache=cache)
    return generator.generate(prompt, max_new_tokens=max_new_tokens, **settings)
