"""What is shared is counted once: the table of ALBERT, cell by cell."""

from __future__ import annotations

import pytest

import composer

BASE = (
    "dims.d_model=768", "dims.vocab_size=30_000", "dims.num_layers=12", "dims.num_heads=12",
    "dims.max_length=512",
)  # fmt: skip
TABLE = {
    "wide-all": 31.11, "wide-attention": 83.08, "wide-feed-forward": 57.12, "wide-none": 109.08,
    "narrow-all": 11.68, "narrow-attention": 63.65, "narrow-feed-forward": 37.69,
    "narrow-none": 89.65,
}  # fmt: skip
"""Parameters in millions; the paper prints 31, 83, 57, 108, 12, 64, 38, 89."""


@pytest.mark.parametrize("size", TABLE)
def test_parameters_are_those_of_the_table(size):
    width = ["dims.width=128"] if size.startswith("narrow") else []
    graph = composer.graph("tests/specs/albert.yaml", size=size, overrides=[*BASE, *width])

    assert round(graph.parameters / 1e6, 2) == TABLE[size]


def test_base_is_the_published_model():
    graph = composer.graph(
        "tests/specs/albert.yaml", size="narrow-all", overrides=[*BASE, "dims.width=128"]
    )

    assert graph.parameters == 11_683_584


@pytest.mark.parametrize("size", ["all", "groups", "part", "layers", "everything"])
def test_training_one_place_trains_the_other(size):
    """A step of plain gradient descent leaves what is shared one, and moves it."""
    import torch

    graph = composer.graph("tests/specs/shared.yaml", size=size)
    model = composer.build(graph, seed=0)
    tokens = torch.randint(1, 23, (2, 6))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(source=tokens, target=tokens).logits.square().sum().backward()
    optimizer.step()
    found = dict(model.named_parameters(remove_duplicate=False))

    assert all(found[name] is found[first] for name, first in graph.aliases.items())
    assert all(
        not torch.equal(found[name], value)
        for name, value in before.items()
        if found[name].grad.any()
    )
