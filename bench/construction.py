"""From a spec to a module on meta: what each stage takes, when nothing is allocated."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

import composer
from bench.effort import Effort
from bench.handwritten import Transformer
from bench.sizes import TransformerSize
from bench.specs import LLAMA, LLAMA_405B, TRANSFORMER
from bench.tables import Cell, Table, Target
from bench.timing import Action, cpu_seconds
from composer.graph.build import build_graph
from composer.language.check import check
from composer.language.variants import read
from composer.targets.module import load_source

_BASE = TransformerSize(512, 8, num_layers=6, batch=1, time=512, vocab_size=37_000)


def measure(effort: Effort) -> Iterator[Table]:
    """The stages of the base Transformer, then the time of a very large model."""
    yield _stages(effort)
    yield _large(effort)


def _stages(effort: Effort) -> Table:
    """CPU milliseconds of each stage on the way from the YAML file to the module."""
    tree = read(TRANSFORMER)
    spec = check(tree)
    graph = build_graph(spec)
    text = composer.source(graph)
    with torch.device("meta"):
        model_class = type(composer.build(graph))
    stages: dict[str, Action] = {
        "load": lambda: read(TRANSFORMER),
        "check": lambda: check(tree),
        "graph": lambda: build_graph(spec),
        "emit": lambda: composer.source(graph),
        "exec": lambda: _executed(text),
        "construct": model_class,
    }
    with torch.device("meta"):
        milliseconds = {
            name: 1000 * cpu_seconds(stage, effort.repeats, effort.enough)
            for name, stage in stages.items()
        }
        by_hand = 1000 * cpu_seconds(lambda: Transformer(_BASE), effort.repeats, effort.enough)
    total = sum(milliseconds.values())
    rows: list[tuple[Cell, ...]] = [
        (name, ms, 100 * ms / total) for name, ms in milliseconds.items()
    ]
    rows.append(("all", total, 100.0))
    note = f"construct of the hand-written model, which initializes nothing: {by_hand:.0f} ms"
    columns = ("stage", "cpu_milliseconds", "percent")
    return Table("build of specs/transformer.yaml on meta", columns, tuple(rows), note=note)


def _executed(text: str) -> None:
    """Runs the emitted text as a module, anew."""
    sys.modules.pop(load_source(text, "bench").__name__)


def _large(effort: Effort) -> Table:
    """CPU seconds from text to module for 405 billion parameters."""

    def build() -> torch.nn.Module:
        with torch.device("meta"):
            return composer.build(LLAMA, overrides=LLAMA_405B)

    parameters = composer.graph(LLAMA, overrides=LLAMA_405B).parameters
    seconds = cpu_seconds(build, effort.repeats, effort.enough)
    target = Target("text to module on meta, CPU seconds", "< 2", seconds, met=seconds < 2)
    columns = ("model", "layers", "billion_parameters", "cpu_seconds")
    rows = (("Llama 3.1 405B", 126, parameters / 1e9, seconds),)
    return Table("build of a very large model on meta", columns, rows, (target,))
