"""The specs that are built and run, with inputs for them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

import composer
from composer.components.component import Component
from composer.graph.graph import Graph
from composer.language.load import load
from composer.language.variants import sizes_of
from composer.shapes import Dim, Quotient, Shape, evaluate, lengths_in

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = (8, 12, 16, 20, 24)
"""Lengths that inputs are given in turn, all different."""


@dataclass(frozen=True)
class Case:
    """A spec in one of its sizes."""

    path: Path
    size: str | None

    @property
    def name(self) -> str:
        """The id of its tests."""
        folder = self.path.parent.relative_to(ROOT).as_posix()
        text = f"{folder}/{self.path.stem}"
        return text if self.size is None else f"{text}-{self.size}"


def _cases() -> list[Case]:
    """Patterns, real specs that have a small size `small`, and those of the tests in every size.

    Other real specs are built and run scaled down, in tests/parity.
    """
    found = [Case(path, None) for path in sorted((ROOT / "specs/patterns").glob("*.yaml"))]
    for path in sorted((ROOT / "specs").glob("*.yaml")):
        small = "small" in sizes_of(load(path))
        if small and composer.graph(path, size="small").parameters < 10**7:
            found.append(Case(path, "small"))
    for path in sorted((ROOT / "tests/specs").glob("*.yaml")):
        found += [Case(path, size) for size in sizes_of(load(path)) or [None]]
    return found


CASES = _cases()


def file_name(case: Case) -> str:
    """What the emitted file of a case is called."""
    return "m_" + "".join(c if c.isalnum() else "_" for c in case.name)


@cache
def graph_of(case: Case) -> Graph:
    """The graph of a case."""
    return composer.graph(case.path, size=case.size)


@cache
def _built(case: Case) -> nn.Module:
    return composer.build(graph_of(case), seed=0)


def model_of(case: Case) -> nn.Module:
    """A model of its own, made with seed 0, in training mode."""
    return copy.deepcopy(_built(case))


def lengths_of(graph: Graph) -> dict[str, int]:
    """A number for every length that the inputs leave open."""
    names = dict.fromkeys(
        name
        for item in graph.inputs
        for size in item.value.shape
        if isinstance(size, Dim)
        for name in lengths_in(size)
    )
    names.pop("batch", None)
    given = dict(zip(names, LENGTHS, strict=False))
    split = {name: step * max(2, -(-given[name] // step)) for name, step in split_by(graph).items()}
    return {"batch": 2, **given, **split}


def longest(graph: Graph) -> int:
    """The longest sequence that every part of a model takes, or 512."""
    found = [512]
    waiting = [node.placed for _, node in graph.nodes()]
    while waiting:
        placed = waiting.pop()
        found.append(getattr(placed.component, "max_length", 512))
        waiting += placed.parts.values()
    return min(found)


def split_by(graph: Graph) -> dict[str, int]:
    """Lengths that a pattern splits, and the number that each must be a multiple of."""
    return {
        name: atom.denominator
        for value in graph.values.values()
        for size in value.shape
        if isinstance(size, Dim)
        for atoms, _ in size.terms
        for atom in atoms
        if isinstance(atom, Quotient)
        for name in lengths_in(atom.numerator)
    }


def inputs_of(
    graph: Graph, *, lengths: dict[str, int] | None = None, padded: bool = True
) -> dict[str, Tensor]:
    """Random inputs; where an input may be padded, the last three steps of its last example are."""
    lengths = lengths or lengths_of(graph)
    generator = torch.Generator().manual_seed(1)
    given: dict[str, Tensor] = {}
    for item in graph.inputs:
        shape = sizes(item.value.shape, lengths)
        given[item.name] = _random(item.node.component, shape, generator)
        if item.padding is None or not padded:
            continue
        if item.padding == "mask":
            mask = torch.ones(shape[:2], dtype=torch.bool)
            mask[-1, -3:] = False
            given[f"{item.name}_mask"] = mask
        else:
            given[item.name][-1, -3:] = item.padding
    return given


def sizes(shape: Shape, lengths: dict[str, int]) -> tuple[int, ...]:
    """A shape in numbers."""
    return tuple(evaluate(size, lengths) for size in shape)


def _random(component: Component, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if getattr(component, "dtype", "float") == "int64":
        vocab_size: int = component.vocab_size  # type: ignore[attr-defined]  # tokens have one
        return torch.randint(int(vocab_size > 2), vocab_size, shape, generator=generator)
    return torch.randn(shape, generator=generator)


def flat(outputs: tuple[Tensor | list[Tensor], ...]) -> list[Tensor]:
    """Every tensor that a model returns, in order."""
    return [t for out in outputs for t in (out if isinstance(out, list | tuple) else [out])]


def loss_of(outputs: list[Tensor]) -> Tensor:
    """A number that depends on every number of the outputs, each with a weight of its own."""
    generator = torch.Generator().manual_seed(2)
    total = torch.zeros((), dtype=outputs[0].dtype)
    for out in outputs:
        weights = torch.randn(out.shape, generator=generator, dtype=out.dtype)
        total = total + (out * weights).sum()
    return total
