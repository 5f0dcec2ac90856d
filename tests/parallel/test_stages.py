"""Stages without processes: run one after the other, they are the whole model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

import composer
from composer.graph.cuts import starts
from composer.graph.cutting import cut, held_by_several
from composer.graph.steps import steps
from composer.parallel.stages import fill, named, stage_module
from tests.conformance.models import (
    CASES,
    flat,
    graph_of,
    inputs_of,
    loss_of,
    model_of,
)

TIED = """composer: 1
name: tied
inputs: {tokens: {kind: tokens, vocab_size: 17}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 6, attention: {num_heads: 2}}}
connections: [shared: [decoder.embed.tokens, logits.head]]
outputs: {logits: {from: decoder, head: lm}}
"""


def run(graph, modules, given):
    """The outputs of all stages in order, as their processes would run them."""
    received = ()
    for module in modules:
        received = module(*received, inputs=given)
    return named(received, graph.outputs)


def bounds(graph):
    """Three places to cut at, or as many as there are."""
    count = len(steps(graph))
    return sorted(random.Random(count).sample(range(1, count), min(3, count - 1)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stages_compute_what_the_whole_does(case):
    graph, whole = graph_of(case), model_of(case).eval()
    if not bounds(graph):
        pytest.skip("one step cannot be cut")
    stages, given = cut(graph, bounds(graph)), inputs_of(graph)
    modules = [stage_module(graph, stage).eval() for stage in stages]
    for stage, module in zip(stages, modules, strict=True):
        fill(module.model, stage, whole.state_dict())
    wanted = flat(whole(**given))

    found = flat(tuple(run(graph, modules, given).values()))

    assert len(wanted) == len(found)
    assert all(map(torch.equal, wanted, found))
    loss_of(wanted).backward()
    loss_of(found).backward()
    check_gradients(whole, stages, modules)


def check_gradients(whole, stages, modules):
    """Gradients of all stages, summed over those that hold a tensor, are those of the whole."""
    grads = {}
    for stage, module in zip(stages, modules, strict=True):
        own = dict(module.model.named_parameters(remove_duplicate=False))
        for name, first in stage.tensors.items():
            if name in own and own[name].grad is not None:
                grads[first] = grads.get(first, 0) + own[name].grad
    every = dict(whole.named_parameters(remove_duplicate=False))
    first = {name for stage in stages for name in stage.tensors.values()} & every.keys()
    wanted = {name: every[name].grad for name in first if every[name].grad is not None}
    largest = max((float(grad.abs().max()) for grad in wanted.values()), default=0.0)
    assert wanted.keys() == grads.keys()
    for name, grad in wanted.items():
        assert float((grads[name] - grad).abs().max()) <= 2e-6 * largest, name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stages_hold_the_tensors_of_the_whole_and_no_others(case):
    graph = graph_of(case)
    stages = cut(graph, bounds(graph))

    held = [name for stage in stages for name in stage.tensors.values()]

    assert set(held) == graph.state.keys()
    assert held_by_several(stages).keys() == {name for name in held if held.count(name) > 1}
    frozen = {stage.tensors[name] for stage in stages for name in stage.graph.frozen}
    assert frozen == graph.frozen


def test_names_of_tensors_are_those_of_the_whole():
    graph = composer.graph(TIED)
    first, second = cut(graph, [4])
    names = stage_module(graph, second).model.state_dict().keys()

    assert "decoder.layers.5.attention.q.weight" in names
    assert names <= composer.build(TIED).state_dict().keys()
    assert held_by_several([first, second]) == {"decoder.embed.tokens.weight": (0, 1)}


def test_a_seed_gives_the_parameters_of_the_whole():
    graph, whole = composer.graph(TIED), composer.build(TIED, seed=3).state_dict()
    for stage in cut(graph, [2, 5]):
        own = stage_module(graph, stage, seed=3).model.state_dict()
        assert all(torch.equal(own[name], whole[first]) for name, first in stage.tensors.items())


def test_a_mask_that_is_not_given_goes_on_as_none():
    path = "tests/specs/conv_stem.yaml"
    graph = composer.graph(path)
    stages = cut(graph, [1])
    assert any("mask" in name for name in stages[1].reads)
    modules = [stage_module(graph, stage, seed=0).eval() for stage in stages]
    given = inputs_of(graph, padded=False)

    found = flat(tuple(run(graph, modules, given).values()))

    assert all(map(torch.equal, flat(composer.build(graph, seed=0).eval()(**given)), found))


def test_stages_cost_about_the_same():
    graph = composer.graph(TIED, overrides=["decoder.num_layers=12"])
    assert starts(graph, 4, None) == [3, 6, 9]


def test_cuts_are_put_in_order():
    assert starts(composer.graph(TIED), 3, ["logits", "decoder.layers.2"]) == [2, 6]


def test_cuts_that_make_another_number_of_stages_are_refused():
    with pytest.raises(ValueError, match="do not make 3 stages"):
        starts(composer.graph(TIED), 3, ["decoder.layers.2", "decoder.layers.9"])


def test_more_stages_than_steps_are_refused():
    with pytest.raises(ValueError, match="7 steps, too few for 8 stages"):
        starts(composer.graph(TIED), 8, None)


def test_the_source_of_a_stage_is_read_like_that_of_a_model(golden):
    stage = cut(composer.graph("specs/patterns/hierarchical_skips.yaml"), [3, 6])[2]
    golden(Path(__file__).parent / "stage.py.txt", composer.source(stage.graph))
