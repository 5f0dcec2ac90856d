"""Pipelines of two and of four processes against one: losses, parameters, weights on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel.rows import CASES, WORLD

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

NAMES = [*CASES, "copies"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The results of all processes: all models are trained in one go."""
    folder = tmp_path_factory.mktemp("rows")
    done = subprocess.run(
        [sys.executable, "-m", "tests.parallel.rows", str(folder)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(WORLD)]


@pytest.mark.parametrize("name", NAMES)
def test_training_is_that_of_one_process(name, measured):
    assert max(found[name]["loss"] for found in measured) < 1e-9
    assert max(found[name]["state"] for found in measured) < 1e-9
    assert min(found[name]["moved"] for found in measured) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_stages_are_read_as_those_of_one_model(name, measured):
    assert max(found[name]["read"] for found in measured) == 0


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_whole_model(name, measured):
    assert max(found[name]["forward"] for found in measured) < 1e-12
