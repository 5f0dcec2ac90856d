"""Small models of every spec that generates, and inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

import composer
from composer.graph.decoding import Decoding, decoding_of
from composer.graph.graph import Graph
from tests.conformance import models
from tests.parity import test_zoo_decoders, test_zoo_sequences

ROOT = models.ROOT


@dataclass(frozen=True)
class Small:
    """A spec made small."""

    path: str
    size: str | None = None
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.path if self.size is None else f"{self.path}-{self.size}"


def _published() -> list[Small]:
    families = [*test_zoo_decoders.FAMILIES, *test_zoo_sequences.FAMILIES]
    found = [Small(f"specs/{f.spec}.yaml", f.size, tuple(f.overrides())) for f in families]
    return [small for small in dict.fromkeys(found) if "wav2vec2" not in small.path]


def _others() -> list[Small]:
    cases = [*models.CASES]
    small = [Small(str(case.path.relative_to(ROOT)), case.size) for case in cases]
    return [each for each in small if _generates(each)]


def _generates(small: Small) -> bool:
    try:
        decoding_of(graph_of(small))
    except ValueError:
        return False
    return True


@cache
def graph_of(small: Small) -> Graph:
    """The graph of a small model."""
    return composer.graph(ROOT / small.path, size=small.size, overrides=small.overrides)


def decoding(small: Small) -> Decoding:
    """How a small model is decoded."""
    return decoding_of(graph_of(small))


@cache
def model_of(small: Small) -> nn.Module:
    """A model whose parameters are large enough for every token to matter."""
    model = composer.build(graph_of(small), seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def tokens_of(small: Small, batch: int, length: int) -> Tensor:
    """Random tokens for the input that grows."""
    part = graph_of(small).parts[decoding(small).tokens]
    generator = torch.Generator().manual_seed(2)
    return torch.randint(part.node.component.vocab_size, (batch, length), generator=generator)


def sources_of(small: Small) -> dict[str, Tensor]:
    """The other inputs of a batch of two, padded where they may be."""
    graph, tokens = graph_of(small), decoding(small).tokens
    given = models.inputs_of(graph)
    wanted = {item.name for item in decoding(small).graph.inputs} - {tokens}
    return {n: t for n, t in given.items() if n.removesuffix("_mask") in wanted}


SMALL = [*_published(), *_others()]
