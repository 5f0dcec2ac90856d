"""The numbers of a model as JSON and as comma-separated values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Literal

from composer.shapes import show
from composer.targets import summary as plain
from composer.targets.compressed import record as changed_record

from .count import Cost, Numbers, Part
from .formula import Formula
from .largest import largest
from .memory import assumption
from .setting import BYTES


def to_json(numbers: Numbers) -> str:
    """The numbers as JSON: sizes and bytes as numbers, lengths that vary as their names."""
    summary, whole = numbers.summary, numbers.whole
    data = {
        "name": summary.name,
        "title": summary.title,
        "parameters": summary.parameters,
        "bytes": {name: summary.bytes(name) for name in BYTES},
        "compressed": [changed_record(each) for each in summary.compressed],
        "setting": {
            "lengths": dict(numbers.at.lengths),
            "dtype": numbers.at.dtype,
            "mode": numbers.at.mode,
            "assumes": assumption(numbers.at),
        },
        **_costs(whole),
        "largest": {
            what: [{"path": part.row.path, what: number} for part, number in found]
            for what, found in largest(numbers).items()
        },
        "parts": [{**plain.record(part.row), **_costs(part)} for part in numbers.parts],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_csv(numbers: Numbers) -> str:
    """A line for each part under a line of names."""
    stream = io.StringIO()
    names = [*plain.record(numbers.whole.row), *_costs(numbers.whole)]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for part in numbers.parts:
        row = part.row
        texts = {
            "output": show(row.output),
            "layers": " ".join(map(str, row.layers)),
            "shared_with": " ".join(row.shared),
        }
        writer.writerow({**plain.record(row), **texts, **_costs(part)})
    return stream.getvalue()


def formulas(found: Iterable[Formula], form: Literal["json", "csv"]) -> str:
    """Closed forms as JSON or comma-separated values."""
    names = ("path", "forward_flops", "backward_flops", "cache_numbers")
    records = [
        dict(zip(names, (f.row.path, f.forward, f.backward, f.cache), strict=True)) for f in found
    ]
    if form == "json":
        return json.dumps(records, indent=2, ensure_ascii=False) + "\n"
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def _costs(part: Part) -> dict[str, int]:
    cost: Cost = part.cost
    return {
        "trained_parameters": cost.trained,
        "forward_flops": cost.forward,
        "backward_flops": cost.backward,
        "weight_bytes": part.parameters.weights,
        "gradient_bytes": part.parameters.gradients,
        "optimizer_bytes": part.parameters.optimizer,
        "activation_bytes": cost.activations,
        "output_bytes": cost.outputs,
        "cache_bytes": cost.cache,
        "cache_bytes_per_step": cost.cache_step,
        "memory_bytes": part.memory,
    }
