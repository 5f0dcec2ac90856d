"""The parameters of a pipeline on disk, as one set of weights of the whole model."""

from __future__ import annotations

import json
from pathlib import Path

import torch.distributed as dist

from composer.graph.cutting import Stage
from composer.weights.files import save

from .pipeline import Pipeline
from .stages import tensors_of

INDEX = "model.safetensors.index.json"


def save_stages(row: Pipeline, folder: str | Path) -> None:
    """Writes the stages of a row as shards of one model, by its own names, each tensor once.

    `folder` is read like any weights, by one process too: `composer.build(spec, weights=folder)`.
    Every process of the row calls this; when it returns, all shards are there.
    """
    folder = Path(folder)
    file_of = shards(row.stages)
    held = tensors_of(row.model, row.stage).items()
    own = {name: value for name, value in held if file_of[name] == _file(row.stage)}
    if own:
        save(folder / _file(row.stage), {name: value.contiguous() for name, value in own.items()})
    dist.barrier(group=row.group)
    if row.stage.number == 0:
        text = json.dumps({"metadata": {}, "weight_map": file_of}, indent=1)
        (folder / INDEX).write_text(text, encoding="utf-8")
    dist.barrier(group=row.group)


def shards(stages: tuple[Stage, ...]) -> dict[str, str]:
    """For each tensor the file of the first stage that holds it."""
    found: dict[str, str] = {}
    for stage in stages:
        for name in stage.tensors.values():
            found.setdefault(name, _file(stage))
    return found


def _file(stage: Stage) -> str:
    return f"stage-{stage.number}.safetensors"
