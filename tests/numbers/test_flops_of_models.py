"""The cost of a whole model is what torch counts when it runs."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import composer
from composer.shapes import evaluate, lengths_in
from composer.targets.numbers.flops import flops_of_model, flops_per_token


def test_gpt2_costs_what_is_known_of_it():
    total = flops_of_model(composer.graph("specs/gpt2.yaml"))

    assert evaluate(total, {"batch": 1, "tokens": 1024}) == 291_648_307_200


@pytest.mark.parametrize(
    ("spec", "size", "inputs"),
    [
        ("specs/transformer.yaml", "small", {"source": 7, "target": 5}),
        ("specs/patterns/universal.yaml", None, {"tokens": 9}),
        ("specs/patterns/parallel_updates.yaml", None, {"tokens": 8}),
        ("specs/patterns/gated_cross.yaml", None, {}),
    ],
)
def test_a_model_costs_what_torch_counts(spec, size, inputs):
    graph = composer.graph(spec, size=size)
    total = flops_of_model(graph)
    lengths = {name: inputs.get(name, 6) for name in lengths_in(total)} | {"batch": 2}
    given = {}
    for entry in graph.inputs:
        shape = [evaluate(n, dict.fromkeys(lengths_in(n), 6) | lengths) for n in entry.value.shape]
        ids = entry.node.component.kind == "tokens"
        given[entry.name] = torch.zeros(shape, dtype=torch.long if ids else torch.float32)
    model = composer.build(graph, seed=0).to("meta").eval()
    given = {name: value.to("meta") for name, value in given.items()}
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(**given)

    assert counter.get_total_flops() == evaluate(total, lengths)


def test_a_layer_that_is_applied_again_costs_again():
    shared = composer.graph("specs/patterns/universal.yaml")
    deeper = composer.graph("specs/patterns/universal.yaml", overrides=["encoder.num_layers=12"])

    assert shared.parameters == deeper.parameters
    assert flops_per_token(deeper, 64) > 1.9 * flops_per_token(shared, 64)
