"""`make parity`: every family beside `transformers`, as the table in the docs.

python -m tests.parity.table docs/reference/parity.md
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
import yaml

from composer.language.document import plain
from composer.language.variants import with_bases
from tests.parity.zoo import SPECS

PAGE = """\
# Parity with other implementations

Each of these specs computes what `transformers` VERSION computes with the same weights. Every
parameter of a small model is drawn anew and goes through the map beside the spec and back, bit for
bit. The numbers are the largest absolute differences of what both models compute, over a batch
without and one with padding, in single and in double precision; where the latter is not near 1e-15,
the other implementation computes positions or norms in single precision always. `make parity`
writes this page, and `make test` holds every row to 1e-4 and 5e-6.

| family | spec lines | map lines | sizes | fp32 | fp64 |
|---|---:|---:|---:|---:|---:|
"""


def files() -> Iterator[ModuleType]:
    """The files of comparisons."""
    for path in sorted(Path(__file__).parent.glob("test_zoo_*.py")):
        yield importlib.import_module(f"tests.parity.{path.stem}")


def rows() -> Iterator[str]:
    """A line a spec: the largest difference of all of its comparisons."""
    for module in files():
        found: dict[str, list[float]] = {}
        for family in module.FAMILIES:
            single = max(module.differences(family, torch.float32))
            double = max(module.differences(family, torch.float64))
            before = found.get(family.spec, [0.0, 0.0])
            found[family.spec] = [max(before[0], single), max(before[1], double)]
        yield from (row(spec, *differences) for spec, differences in found.items())


def row(spec: str, single: float, double: float) -> str:
    """One line of the table."""
    path = SPECS / f"{spec}.yaml"
    text = path.read_text()
    data = plain(with_bases(path))
    maps = map_files(data)
    lines = sum(len(one.read_text().splitlines()) for one in maps)
    title = data.get("title") or spec
    link = f"[{title}](https://arxiv.org/abs/{data['cite'][0].removeprefix('arXiv:')})"
    title = link if data["cite"][0].startswith("arXiv:") else title
    sizes = len(data.get("sizes", {}))
    return (
        f"| {title} | {len(text.splitlines())} | {lines} | {sizes} | {single:.1e} | {double:.1e} |"
    )


def map_files(data: dict[str, object]) -> list[Path]:
    """The map of a spec and those that it extends."""
    weights = data["weights"]
    assert isinstance(weights, dict)
    found = [SPECS / weights["huggingface"]]
    while base := (yaml.safe_load(found[-1].read_text()) or {}).get("extends"):
        found.append(found[-1].parent / base)
    return found


def main() -> None:
    """Writes the page."""
    import transformers

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    page = PAGE.replace("VERSION", transformers.__version__)
    Path(sys.argv[1]).write_text(page + "".join(f"{line}\n" for line in rows()))


if __name__ == "__main__":
    main()
