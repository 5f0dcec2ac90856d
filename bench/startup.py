"""How long `composer check` takes in a fresh process, and what it imports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.effort import Effort
from bench.specs import ROOT, TRANSFORMER
from bench.tables import Cell, Table, Target
from bench.timing import quartiles

LIMIT_SECONDS = 0.5
BYTECODE = ROOT / "build" / "bench" / "bytecode"
COLUMNS = ("process", "wall_low", "wall_seconds", "wall_high", "cpu_seconds")


class Took(NamedTuple):
    """Seconds of one process: those that passed, and those that it computed."""

    wall: float
    cpu: float


def measure(effort: Effort) -> Iterator[Table]:
    """Wall and CPU seconds of fresh processes, and whether torch was imported."""
    commands = _commands()
    took: dict[str, list[Took]] = {name: [] for name in commands}
    for command in commands.values():
        _run(command)  # compiles every file once, and brings it into the cache of the disk
    for _ in range(effort.processes):
        for name, command in commands.items():
            took[name].append(_run(command))
    rows: list[tuple[Cell, ...]] = []
    for name, found in took.items():
        wall = quartiles([one.wall for one in found])
        rows.append((name, *wall, quartiles([one.cpu for one in found]).median))
    targets = (_fast_enough(rows[-1]), _without_torch(commands["composer check"]))
    note = f"quartiles of {effort.processes} fresh processes each, in turns"
    yield Table("composer check specs/transformer.yaml, cold", COLUMNS, tuple(rows), targets, note)


def import_table(longest: int = 20) -> Table:
    """Where the import time of `composer check` goes: modules by the package they belong to."""
    own: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    for microseconds, module in _imports(_commands()["composer check"]):
        package = module.partition(".")[0]
        own[package] += microseconds
        count[package] += 1
    order = sorted(own, key=lambda package: -own[package])[:longest]
    rows = tuple((package, own[package] / 1000, count[package]) for package in order)
    return Table("imports of composer check", ("package", "milliseconds", "modules"), rows)


def _commands() -> dict[str, Sequence[str]]:
    """Its larger dependencies alone, and the command itself, which the target is about."""
    python = sys.executable
    return {
        "import yaml, pydantic, networkx": (python, "-c", "import yaml, pydantic, networkx"),
        "composer check": (_composer(), "check", str(TRANSFORMER.relative_to(ROOT))),
    }


def _composer() -> str:
    """The command that stands beside this Python, else the first on the path."""
    beside = shutil.which("composer", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("composer")
    if found is None:
        raise FileNotFoundError("there is no command `composer`: install the package first")
    return found


def _run(command: Sequence[str]) -> Took:
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Took(wall, usage.ru_utime + usage.ru_stime)


def _environment() -> dict[str, str]:
    """An environment in which Python keeps what it compiles, as it does for installed packages."""
    given = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**given, "PYTHONPYCACHEPREFIX": str(BYTECODE)}


def _imports(command: Sequence[str]) -> list[tuple[int, str]]:
    """Every module that a command imports, with the microseconds of its own code."""
    environment = {**_environment(), "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    lines = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE)
    return [(int(microseconds), module) for microseconds, module in lines]


def _fast_enough(row: Sequence[Cell]) -> Target:
    wall = row[COLUMNS.index("wall_seconds")]
    assert isinstance(wall, float)
    return Target("wall seconds, median", f"< {LIMIT_SECONDS}", wall, wall < LIMIT_SECONDS)


def _without_torch(command: Sequence[str]) -> Target:
    imported = any(module.partition(".")[0] == "torch" for _, module in _imports(command))
    return Target("torch", "not imported", "imported" if imported else "not imported", not imported)
