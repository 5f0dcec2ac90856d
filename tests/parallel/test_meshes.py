"""Stages that are split along tp, or sharded along dp, learn what one process learns."""

from __future__ import annotations

import pytest

from tests.parallel.group import run
from tests.parallel.meshes import compared

CASES = [
    *((name, "tp") for name in ("tied", "one_layer", "two_stacks")),
    *((name, "shards") for name in ("one_feed_forward", "pair")),
    ("tied", "gpipe"),
]


@pytest.fixture(scope="module")
def cases(request):
    """All of them with --all-meshes; one of each way in every run."""
    return CASES if request.config.getoption("--all-meshes") else [CASES[0], CASES[3]]


@pytest.fixture(scope="module")
def results(tmp_path_factory, cases):
    return run(4, compared, tmp_path_factory.mktemp("meshes"), cases)


@pytest.mark.parametrize(("name", "way"), CASES)
def test_losses_are_those_of_one_process(name, way, results, cases):
    if (name, way) not in cases:
        pytest.skip("one of each way is trained without --all-meshes")
    difference, moved = results[f"{name} {way}"]

    assert difference < 1e-5
    assert moved > 0.1
