"""Parameters and operations are those that torch counts."""

from __future__ import annotations

import pytest
import torch

import composer
from composer.graph.graph import Graph
from composer.targets.numbers.count import Numbers, count
from composer.targets.numbers.setting import length_names, setting
from tests.conformance.models import CASES, ROOT, graph_of, lengths_of, model_of
from tests.numbers import measured
from tests.numbers.generated import spec
from tests.parity.test_zoo_decoders import FAMILIES

SEEDS = range(4)
CHOSEN = list({case.path: case for case in reversed(CASES)}.values())
"""Every spec in its first size; `make numbers` counts the others."""


def numbers_of(graph: Graph, **lengths: int) -> Numbers:
    names = length_names(graph)
    given = {n: size for n, size in (lengths or lengths_of(graph)).items() if n in names}
    return count(graph, setting(graph, given))


def check(graph: Graph, model: torch.nn.Module, lengths: dict[str, int]) -> None:
    whole = numbers_of(graph, **lengths).whole
    parameters = list(model.parameters())

    assert sum(p.numel() for p in parameters) == whole.row.parameters
    assert sum(p.numel() for p in parameters if p.requires_grad) == whole.cost.trained
    counted = measured.flops(graph, model, lengths)
    assert counted == (whole.cost.forward, whole.cost.backward)


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_a_model_of_the_tests_costs_what_torch_counts(case):
    graph = graph_of(case)
    check(graph, model_of(case).to(measured.device_of(graph)).eval(), lengths_of(graph))


@pytest.mark.parametrize("family", FAMILIES[::6], ids=str)
def test_a_published_model_made_small_costs_what_torch_counts(family):
    path = ROOT / f"specs/{family.spec}.yaml"
    graph = composer.graph(path, size=family.size, overrides=family.overrides())
    check(graph, measured.built(graph), {"batch": 2, "tokens": 13})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generated_model_costs_what_torch_counts(seed):
    graph = composer.graph(spec(seed))
    check(graph, measured.built(graph), lengths_of(graph))


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "mpt", "transformer"])
def test_a_published_model_costs_what_torch_counts(name):
    graph = composer.graph(ROOT / f"specs/{name}.yaml")
    check(graph, measured.built(graph), {**lengths_of(graph), "batch": 1})


def test_gpt2_costs_what_is_published():
    numbers = numbers_of(composer.graph(ROOT / "specs/gpt2.yaml"), batch=1, tokens=1024)

    assert numbers.whole.cost.forward == 291_648_307_200
    assert numbers.whole.cost.backward == 2 * 291_648_307_200


def test_a_layer_applied_twice_costs_twice_and_holds_once():
    stack = {"from": "tokens", "d_model": 16, "num_layers": 4, "attention": {"num_heads": 2}}
    plain = {
        "composer": 1, "name": "plain",
        "inputs": {"tokens": {"kind": "tokens", "vocab_size": 11}},
        "decoders": {"decoder": stack},
        "outputs": {"logits": {"from": "decoder", "head": "lm"}},
    }  # fmt: skip
    shared = {**plain, "connections": [{"shared": {"within": "decoder.layers", "every": 4}}]}
    one, other = (numbers_of(composer.graph(each), batch=2, tokens=7) for each in (plain, shared))

    assert one.whole.cost.forward == other.whole.cost.forward
    assert one.whole.cost.cache == other.whole.cost.cache
    assert one.whole.row.parameters > 3 * other.whole.row.parameters / 2


@pytest.mark.parametrize("case", CASES[:12], ids=lambda case: case.name)
def test_parts_add_up_to_the_whole(case):
    numbers = numbers_of(graph_of(case))
    leaves = [part.cost for part in numbers.leaves()]

    assert sum(cost.forward for cost in leaves) == numbers.whole.cost.forward
    assert sum(cost.backward for cost in leaves) == numbers.whole.cost.backward
    assert sum(cost.trained for cost in leaves) == numbers.whole.cost.trained
