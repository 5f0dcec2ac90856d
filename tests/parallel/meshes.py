"""Models over pp beside tp or dp: `python -m tests.parallel.meshes FOLDER` runs all three, with 8."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

import composer
from composer.language.parallel import MeshFields, Parallelism, PpFields
from composer.parallel.apply import check_sharing, mesh_for, split
from composer.parallel.pipeline import Outputs, pipeline
from composer.parallel.ranks import alike
from composer.parallel.stage_plans import plan_stages
from tests.parallel.group import run
from tests.parallel.models import SPECS, batches, losses

MESHES = {
    "tp": Parallelism(MeshFields(pp=2, tp=2)),
    "shards": Parallelism(MeshFields(pp=2, dp=2), pp=PpFields(microbatches=4)),
    "gpipe": Parallelism(MeshFields(pp=2, dp=2), pp=PpFields(schedule="gpipe")),
    "all": Parallelism(MeshFields(dp=2, tp=2, pp=2)),
}
Found = dict[str, list[float]]


def compared(cases: list[tuple[str, str]]) -> Found:
    """For each case the largest relative difference of a loss from that of one process."""
    found = {}
    alone = {n: losses(composer.build(SPECS[n], seed=0), n) for n in {name for name, _ in cases}}
    for name, way in cases:
        pairs = list(zip(staged(name, MESHES[way]), map(float, alone[name]), strict=True))
        moved = abs(pairs[-1][1] - pairs[0][1])
        found[f"{name} {way}"] = [max(abs(a - b) / b for a, b in pairs), moved]
    return found


def staged(name: str, asked: Parallelism) -> list[float]:
    """Mean losses of each batch while AdamW trains a model over a mesh."""
    graph, mesh = composer.graph(SPECS[name]), mesh_for(asked)
    row = pipeline(graph, asked.pp, rows=mesh.mesh.flatten(1).T.tolist(), seed=0)
    layout = plan_stages(graph, asked).plans[row.stage.number]
    split(row.model, layout, mesh)
    row.peers = mesh.get_group("dp")
    optimizer = torch.optim.AdamW(alike([{"params": list(row.model.parameters())}]), lr=2e-2)
    found = []
    for inputs, targets in batches(name):
        each = len(targets) // asked.mesh.dp
        part = slice(mesh.get_local_rank("dp") * each, (mesh.get_local_rank("dp") + 1) * each)
        own = {key: value[part] for key, value in inputs.items()}
        count = targets.numel()
        # Gradients of shards are averaged along dp.
        total = row.step(own, targets[part], summed, count=count / asked.mesh.dp)
        dist.all_reduce(total, group=mesh.get_group("dp"))
        row.sum_shared()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(total) / count)
    check_sharing(row.model, layout.graph)
    return found


def summed(outputs: Outputs, targets: Tensor) -> Tensor:
    """The sum of the losses of a microbatch."""
    scores = outputs["logits"]
    assert isinstance(scores, Tensor)
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")


if __name__ == "__main__":
    results = run(
        8,
        compared,
        Path(sys.argv[1]),
        [(name, "all") for name in ("tied", "one_layer", "pair", "two_stacks")],
    )
    sys.stdout.writelines(f"{name}  {far:.1e}\n" for name, (far, _) in results.items())
