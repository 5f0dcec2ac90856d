"""The numbers of every published size as a table, counted from the specs.

`docs/conf.py` runs this before each build; nothing that it writes is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import composer
from composer.language.load import load
from composer.language.variants import sizes_of
from composer.targets.numbers.count import count
from composer.targets.numbers.setting import setting

HEAD = "| model | size | parameters | for | forward GFLOPs | cache per token |\n|---|---|---:|---|---:|---:|\n"


def write(specs: Path, out: Path) -> None:
    """Writes `numbers.md`: a row for each size of each spec."""
    out.mkdir(parents=True, exist_ok=True)
    rows = (row for spec in sorted(specs.glob("*.yaml")) for row in rows_of(spec))
    (out / "numbers.md").write_text(HEAD + "".join(rows), encoding="utf-8")


def rows_of(spec: Path) -> Iterator[str]:
    """A line for each size of a spec."""
    for size in sizes_of(load(spec)) or [None]:
        graph = composer.graph(spec, size=size)
        at = setting(graph, {}, "bf16", "inference")
        cost = count(graph, at).whole.cost
        lengths = ", ".join(f"{n} {name}" for name, n in at.lengths.items() if name != "batch")
        cache = f"{cost.cache_step / 1024:,.1f} KiB" if cost.cache_step else ""
        yield (
            f"| {graph.title} | {size or ''} | {graph.parameters:,} | {lengths or 'an example'} "
            f"| {cost.forward / 1e9:,.1f} | {cache} |\n"
        )
