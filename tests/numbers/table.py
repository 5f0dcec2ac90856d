"""A table of what is said of models and what is measured: `python -m tests.numbers.table FILE`.

Parameters and operations of every spec of the tests and of generated ones; what is kept, and the
most memory of a training step and of a forward pass, of some of the latter. It ends with status 1
where one is not as it must be. A forward pass through experts that are chosen is counted as if all
steps chose the same ones, so that it may be less by any amount. Into FILE goes a row a measure.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import composer
from composer.graph.graph import Graph
from composer.targets.numbers.count import Part, count
from composer.targets.numbers.setting import Mode, length_names, setting
from tests.conformance.models import CASES, ROOT, graph_of, inputs_of, lengths_of, longest
from tests.numbers import measured
from tests.numbers.generated import spec
from tests.numbers.peak import forward_bytes, peak_bytes
from tests.numbers.saved import saved_bytes
from tests.parity.test_zoo_decoders import FAMILIES

MOST_OVER = 1.15
HEAD = """# Numbers that are said and numbers that are measured

What `composer describe` says over what torch counts, keeps, or asks its allocator for: 1 is the same.
Parameters and operations must be equal; memory must never be under, and at most 15 % over.
`make numbers` makes this table from the specs of the project and from specs made at random.

| measure | models | least | most | outside |
|---|---:|---:|---:|---:|
"""
LONGER = 8
"""Sequences are so many times as long where memory is measured, so that it is not all overhead."""


@dataclass(frozen=True)
class Line:
    """A model, a measure, what is said of it over what is found, and whether that may be."""

    name: str
    measure: str
    ratio: float
    good: bool

    def text(self) -> str:
        """The line of the table."""
        return f"{self.name:44} {self.measure:12} {self.ratio:8.4f} {'' if self.good else 'WRONG'}"


def exact(name: str, graph: Graph) -> Iterator[Line]:
    """Parameters and operations, which must be equal."""
    lengths = lengths_of(graph)
    said, model = _whole(graph, lengths), measured.built(graph)
    forward, backward = measured.flops(graph, model, lengths)
    pairs = {
        "parameters": (said.row.parameters, sum(p.numel() for p in model.parameters())),
        "forward": (said.cost.forward, forward),
        "backward": (said.cost.backward, backward),
    }
    for measure, (ours, theirs) in pairs.items():
        yield Line(name, measure, ours / theirs if theirs else 1.0, ours == theirs)


def near(name: str, graph: Graph) -> Iterator[Line]:
    """What is kept, which may never be more than is said, and the most memory of a step."""
    lengths = {n: size * LONGER for n, size in lengths_of(graph).items()}
    if max(lengths.values()) > longest(graph):  # positions have an end
        lengths = lengths_of(graph)
    lengths["batch"] = 4
    said, model = _whole(graph, lengths), composer.build(graph, seed=0).train()
    inputs = inputs_of(graph, lengths=lengths, padded=False)
    kept = said.cost.activations / saved_bytes(model, inputs)
    yield Line(name, "activations", kept, 1 <= kept <= MOST_OVER)
    peak = said.memory / peak_bytes(model, inputs)
    yield Line(name, "peak memory", peak, 1 <= peak <= MOST_OVER)
    alone = _whole(graph, lengths, "inference")
    forward = (alone.memory - alone.cost.cache) / forward_bytes(model.eval(), inputs)
    chosen = any(node.component.data_dependent for _, node in graph.nodes())
    yield Line(name, "forward peak", forward, forward >= 1 and (chosen or forward <= MOST_OVER))


def _whole(graph: Graph, lengths: dict[str, int], mode: Mode = "train") -> Part:
    known = {name: size for name, size in lengths.items() if name in length_names(graph)}
    return count(graph, setting(graph, known, mode=mode)).whole


def lines(exactly: int, nearly: int) -> Iterator[Line]:
    """Every line, in order."""
    for case in CASES:
        yield from exact(case.name, graph_of(case))
    for family in FAMILIES:
        path = ROOT / f"specs/{family.spec}.yaml"
        graph = composer.graph(path, size=family.size, overrides=family.overrides())
        yield from exact(str(family), graph)
    for seed in range(exactly):
        yield from exact(f"generated-{seed}", composer.graph(spec(seed)))
    for seed in range(nearly):
        yield from near(f"generated-{seed}", composer.graph(spec(seed)))
    for case in CASES if nearly else ():
        yield from near(case.name, graph_of(case))


def main(arguments: list[str]) -> int:
    """Prints the table; 1 where a number is not as it must be."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--exact", type=int, default=500, help="generated specs counted")
    parser.add_argument("--near", type=int, default=30, help="generated specs run for memory")
    parser.add_argument("file", type=Path, nargs="?", help="where the table of the docs goes")
    given = parser.parse_args(arguments)
    wrong: dict[str, int] = {}
    found: dict[str, list[float]] = {}
    for line in lines(given.exact, given.near):
        sys.stdout.write(line.text().rstrip() + "\n")
        wrong[line.measure] = wrong.get(line.measure, 0) + (not line.good)
        found.setdefault(line.measure, []).append(line.ratio)
    for measure, ratios in found.items():
        spread = f"{min(ratios):.4f} to {max(ratios):.4f}"
        sys.stdout.write(f"{measure:12} {len(ratios):5} models, {wrong[measure]} wrong, {spread}\n")
    if given.file is not None:
        given.file.write_text(_page(found, wrong), encoding="utf-8")
    return int(any(wrong.values()))


def _page(found: dict[str, list[float]], wrong: dict[str, int]) -> str:
    rows = [
        f"| {measure} | {len(ratios)} | {min(ratios):.3f} | {max(ratios):.3f} | {wrong[measure]} |\n"
        for measure, ratios in found.items()
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
