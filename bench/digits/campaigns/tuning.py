"""Ways to tune: pretrained on the digits 0 to 4, tuned on 300 images of 5 to 9."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from safetensors.torch import save_model
from torch import nn

import composer
from bench.digits.data import Digits, digits
from bench.digits.fitting import accuracy, fit
from bench.tables import Cell, Table, Target

BASE = yaml.safe_load((Path(__file__).parents[1] / "vit.yaml").read_text(encoding="utf-8"))
NORMS = ["encoder.norm", "encoder.layers.*.*_norm"]
HEAD = {"freeze": {"parts": "*", "except": ["digit"]}}
NORMS_TOO = {"freeze": {"parts": "*", "except": ["digit", *NORMS]}}
WAYS: dict[str, dict[str, Any]] = {
    "all parameters": {},
    "LoRA on q, v": {**HEAD, "adapt": [{"lora": {"on": {"role": ["q", "v"]}, "rank": 4}}]},
    "LoRA on all linear maps": {**HEAD, "adapt": [{"lora": {"on": "encoder.layers", "rank": 4}}]},
    "adapters and norms": {
        **NORMS_TOO, "adapt": [{"adapter": {"after": "encoder.layers", "bottleneck": 8}}],
    },
    "head only": HEAD,
}  # fmt: skip
"""What each way adds to the spec."""
RATES = (1e-3, 3e-3, 1e-2, 3e-2)


def run(seeds: int) -> Table:
    """Accuracy on unseen images of 5 to 9, and how much is trained for it."""
    data = digits()
    with TemporaryDirectory() as folder:
        starts = [pretrained(data, seed, Path(folder)) for seed in range(seeds)]
        rows = tuple(row(name, data, starts) for name in WAYS)
    return Table(
        "Tuning a part of the parameters",
        ("tuned", "parameters", "learning_rate", "accuracy", "lowest", "highest"),
        rows,
        tuple(targets({str(name): cells for name, *cells in rows})),
        "A vision Transformer of 151,818 parameters is pretrained on the digits 0 to 4 and tuned in "
        "300 steps on 300 images of 5 to 9. Per cent of the unseen images of 5 to 9, mean of "
        f"{seeds} seeds; the learning rate is the one of {len(RATES)} that is best on the images "
        "for validation.",
    )


def pretrained(data: Digits, seed: int, folder: Path) -> Path:
    """The weights of a model that knows the digits 0 to 4."""
    model = composer.build(BASE, seed=seed)
    fit(model, data.train.of(range(5)), steps=400, lr=1e-3, seed=seed)
    path = folder / f"{seed}.safetensors"
    save_model(model, str(path))
    return path


def tuned(spec: Mapping[str, Any], data: Digits, start: Path, rate: float, seed: int) -> nn.Module:
    """A model that was pretrained and has then seen 300 images of 5 to 9."""
    model = composer.build(spec, seed=seed, weights=start)
    few = data.train.of(range(5, 10))[:300]
    return fit(model, few, steps=300, lr=rate, seed=seed)


def row(name: str, data: Digits, starts: list[Path]) -> tuple[Cell, ...]:
    """One way: how much it trains, and what it reaches from each start."""
    spec = {**BASE, **WAYS[name]}
    chosen, test = (part.of(range(5, 10)) for part in (data.validation, data.test))
    rate = max(RATES, key=lambda rate: accuracy(tuned(spec, data, starts[0], rate, 0), chosen))
    models = [tuned(spec, data, start, rate, seed) for seed, start in enumerate(starts)]
    found = [accuracy(model, test) for model in models]
    count = sum(p.numel() for p in models[0].parameters() if p.requires_grad)
    return (name, count, rate, mean(found), min(found), max(found))


def targets(rows: Mapping[str, Sequence[Cell]]) -> Iterator[Target]:
    """What is held: counts by their formulas, and the order of the ways."""
    layers, width, head = 3, 64, 64 * 10 + 10
    bottlenecks = 2 * layers * (2 * 8 * width + width + 8) + (2 * layers + 1) * 2 * width
    for name, formula in (
        ("LoRA on q, v", 2 * layers * 2 * width * 4 + head),
        ("adapters and norms", bottlenecks + head),
    ):
        count = rows[name][0]
        yield Target(f"parameters of {name}", f"{formula:,}", count, met=count == formula)
    full, low, wide, head_only = (
        float(rows[name][2] or 0)
        for name in ("all parameters", "LoRA on q, v", "LoRA on all linear maps", "head only")
    )
    for name, value in (("LoRA on q, v", low), ("LoRA on all linear maps", wide)):
        yield Target(f"{name} below all parameters", "< 5", full - value, met=full - value < 5)
        yield Target(
            f"{name} above head only", "> 10", value - head_only, met=value - head_only > 10
        )
