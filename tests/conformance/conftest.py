"""Fixtures of the conformance tests."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.conformance import isolated
from tests.conformance.models import CASES, file_name, graph_of, inputs_of, model_of


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums have one order, and small models are quick."""


@pytest.fixture(scope="session")
def emitted(tmp_path_factory) -> Path:
    """A folder with the standalone source of every case."""
    folder: Path = tmp_path_factory.mktemp("emitted")
    for case in CASES:
        module = inspect.getmodule(type(model_of(case)))
        (folder / f"{file_name(case)}.py").write_text(inspect.getsource(module))
    return folder


@pytest.fixture(scope="session")
def ran(emitted) -> Path:
    """The same folder after every file ran in a fresh interpreter that has no composer."""
    for case in CASES:
        save_file(inputs_of(graph_of(case)), emitted / f"{file_name(case)}.safetensors")
    command = [sys.executable, "-I", isolated.__file__, str(emitted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=emitted)
    assert done.returncode == 0, done.stderr
    return emitted
