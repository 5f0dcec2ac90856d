"""`python -m bench`: prints one table after the other, and writes them all as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench import construction, growth, models, startup
from bench.effort import FULL, QUICK, Effort
from bench.machine import machine
from bench.specs import ROOT
from bench.tables import Table, shown

TOPICS: dict[str, Callable[[Effort], Iterator[Table]]] = {
    "startup": startup.measure,
    "construction": construction.measure,
    "growth": growth.measure,
    "models": models.measure,
}


def main(arguments: list[str] | None = None) -> None:
    """Measures the topics that are asked for."""
    asked = _parser().parse_args(arguments)
    effort = QUICK if asked.quick else FULL
    results = run(effort, asked.topics or list(TOPICS))
    if asked.verbose:
        _print(startup.import_table())
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written to {asked.output}")


def run(effort: Effort, topics: Iterable[str]) -> dict[str, Any]:
    """The tables of `topics`, printed as they come, as plain data."""
    about = machine()
    print(", ".join(f"{key} {shown(value)}" for key, value in about.items()), end="\n\n")
    results: dict[str, Any] = {"machine": about, "effort": effort.name, "topics": {}}
    for topic in topics:
        tables = results["topics"][topic] = []
        for table in TOPICS[topic](effort):
            _print(table)
            tables.append(table.data())
    return results


def _print(table: Table) -> None:
    print(table.text(), end="\n\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("topics", nargs="*", choices=[*TOPICS, []], help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    parser.add_argument("--verbose", action="store_true", help="show where the import time goes")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "bench" / "results.json", metavar="FILE",
        help="the tables as JSON (default: build/bench/results.json)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    main()
