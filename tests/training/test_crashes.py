"""A few runs that are killed; `make crashes` kills many."""

from __future__ import annotations

import sys

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="runs are forked and killed"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def crashes():
    from tests.training import crashes

    return crashes


@pytest.mark.parametrize("without", [None, "random", "cursor", "optimizer"])
def test_only_a_run_that_restores_everything_ends_as_if_never_killed(crashes, without, tmp_path):
    runs = 2 if without is None else 1
    same, landed = crashes.campaign(tmp_path, runs, seed=1, without=without, timed=0)

    assert landed.total() >= runs
    assert same == (runs if without is None else 0)
