"""A few runs that are killed; `make crashes` kills many."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="runs are forked and killed")
@pytest.mark.parametrize(
    ("without", "precision", "world"),
    [
        (None, "float32", 1),
        (None, "float16", 1),
        (None, "float32", 2),
        ("random", "float32", 1),
        ("cursor", "float32", 1),
        ("optimizer", "float32", 1),
        ("schedule", "float32", 1),
        ("scaler", "float16", 1),
    ],
)
def test_only_a_run_that_restores_everything_ends_as_if_never_killed(without, precision, world):
    runs = 2 if without is None else 1
    chosen = ["--runs", str(runs), "--seed", "1", "--timed", "0", "--precision", precision]
    chosen += ["--world", str(world)]
    chosen += [] if without is None else ["--without", without]
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.crashes", *chosen],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # so that a fork waits for no thread
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    said = re.match(r"(\d+) of \d+ runs are bit-identical after (\d+) kills", done.stdout)
    assert said is not None
    assert int(said[1]) == (runs if without is None else 0)
    assert int(said[2]) >= runs
