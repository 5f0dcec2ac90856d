"""A number of parameters is met within one part in a hundred, and the graph has it exactly."""

from __future__ import annotations

from functools import cache

import pytest
import torch

import composer
from composer.scaling import LAWS, Plan, ScalingError, sized_to
from tests.scaling.plans import plan

SPECS = ("transformer", "gpt2", "llama", "mixtral", "patterns/universal")
LOW, HIGH, TARGETS = 1e6, 500e9, 20
BUILT = (5, 10, 15)
"""Of the targets, those whose models are built in every run; all of them with --all-sizes."""


@cache
def made(spec: str) -> Plan:
    return plan(f"specs/{spec}.yaml")


def parameters(graph) -> int:
    return graph.parameters


def target(index: int) -> float:
    return LOW * (HIGH / LOW) ** (index / (TARGETS - 1))


@pytest.mark.parametrize("index", range(TARGETS))
@pytest.mark.parametrize("spec", SPECS)
def test_parameters_are_met_or_too_few(spec, index, request):
    wanted = target(index)
    try:
        found = sized_to(made(spec), wanted, parameters)
    except ScalingError as error:
        least = int(str(error).split("possible is ")[1].split()[0].replace(",", ""))
        assert "fewer than the smallest" in str(error)
        assert least > wanted
        assert sized_to(made(spec), least, parameters).parameters == pytest.approx(least, rel=0.01)
        return
    assert found.parameters == pytest.approx(wanted, rel=0.01)
    if index in BUILT or request.config.getoption("--all-sizes"):
        with torch.device("meta"):
            model = composer.build(found.graph)
        assert sum(p.numel() for p in model.parameters()) == found.parameters


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_found_keeps_the_rules(spec):
    for wanted in (3e8, 7e9):
        found = sized_to(made(spec), wanted, parameters)
        for stack in found.graph.stacks:
            assert stack.width % (64 if spec != "patterns/universal" else 32) == 0
            for _, node in stack.nodes():
                heads = getattr(node.component, "num_heads", None)
                assert heads is None or heads % node.component.num_kv_heads == 0


def test_shared_layers_count_once():
    graph = sized_to(made("patterns/universal"), 50e6, parameters).graph
    alone = sum(p for p in (node.placed.parameters for _, node in graph.nodes()))

    assert graph.parameters == alone
    assert len(graph.stacks[0].layers) > 6


def test_a_kept_depth_leaves_the_width_to_be_found():
    found = sized_to(made("gpt2"), 350e6, parameters, depth=1)

    assert len(found.graph.stacks[0].layers) == 12
    assert found.parameters == pytest.approx(350e6, rel=0.01)


def test_a_kept_width_leaves_the_depth_to_be_found():
    found = sized_to(made("gpt2"), 350e6, parameters, width=1)

    assert found.graph.stacks[0].width == 768
    assert found.parameters == pytest.approx(350e6, rel=0.01)


def test_a_width_that_is_fixed_leaves_the_depth_to_be_found():
    one = plan("specs/patterns/co_attention.yaml")
    with pytest.raises(ScalingError, match="its structure forbids"):
        sized_to(one, 20e6, parameters)

    assert sized_to(one, 20e6, parameters, width=1).parameters == pytest.approx(20e6, rel=0.01)


def test_a_multiple_that_is_asked_for_holds():
    found = sized_to(plan("specs/llama.yaml", multiple=256), 1e9, parameters)
    stack = found.graph.stacks[0]
    inner = {node.placed.axes["d_ff"] for _, node in stack.nodes() if "d_ff" in node.placed.axes}

    assert stack.width % 256 == 0
    assert all(width % 256 == 0 for width in inner)


def test_a_size_that_is_not_there_names_the_nearest():
    with pytest.raises(ScalingError, match=r"within 0\.0%.*nearest possible is [\d,]+ parameters"):
        sized_to(made("gpt2"), 350e6, parameters, tolerance=1e-9)


def test_a_law_may_count_without_embeddings():
    law = LAWS["kaplan"]
    found = sized_to(made("gpt2"), 85e6, law.count)

    assert law.count(composer.graph("specs/gpt2.yaml")) == 85_056_000
    assert law.count(found.graph) == pytest.approx(85e6, rel=0.01)
    assert found.parameters > 120e6
