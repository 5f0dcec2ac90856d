"""`python -m bench.digits [NAME ...]`: runs campaigns and writes their page of the docs."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import time

from bench.digits import campaigns
from bench.digits.page import PAGE, page, save
from bench.tables import Table

NAMES = sorted(module.name for module in pkgutil.iter_modules(campaigns.__path__))


def main() -> None:
    """Runs the campaigns that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.digits", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="default: all of them")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is run")
    asked = parser.parse_args()
    for name in asked.names or NAMES:
        start = time.perf_counter()
        table = run(name, asked.seeds)
        print(table.text())
        print(f"{time.perf_counter() - start:.0f} seconds\n", flush=True)
        save(name, table)
    PAGE.write_text(page(), encoding="utf-8")


def run(name: str, seeds: int) -> Table:
    """The table of one campaign."""
    module = importlib.import_module(f"bench.digits.campaigns.{name}")
    table: Table = module.run(seeds)
    return table


if __name__ == "__main__":
    main()
