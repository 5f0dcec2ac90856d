"""A model spread over devices learns what it learns on one, whatever it shares."""

from __future__ import annotations

import pytest
import torch.distributed as dist

import composer
from composer.language.parallel import FsdpFields, MeshFields, Parallelism, TpFields
from tests.parallel.group import run
from tests.parallel.models import SPECS, losses

SHARDS = FsdpFields()
WAYS = {
    "ddp": Parallelism(MeshFields(dp=4), fsdp=None),
    "fsdp": Parallelism(MeshFields(dp=4)),
    "fsdp_whole": Parallelism(MeshFields(dp=4), FsdpFields(unit="model")),
    "half": Parallelism(MeshFields(dp=4), FsdpFields(precision="bfloat16")),
    "tp": Parallelism(MeshFields(tp=4)),
    "tp_steps": Parallelism(MeshFields(tp=4), tp=TpFields(sequence=True)),
    "fsdp_tp": Parallelism(MeshFields(dp=2, tp=2)),
    "fsdp_tp_steps": Parallelism(MeshFields(dp=2, tp=2), tp=TpFields(sequence=True)),
}
CASES = [
    *((name, "fsdp_tp_steps") for name in SPECS),
    *((name, "fsdp") for name in ("tied", "one_layer", "one_feed_forward", "pair")),
    *((name, "ddp") for name in ("tied", "two_stacks")),
    *((name, "fsdp_tp") for name in ("plain", "one_feed_forward")),
    *(("pair", way) for way in ("tp", "tp_steps", "fsdp_whole")),
]


def compared(cases: list[tuple[str, str]]) -> dict[str, list[float]]:
    """For each case the largest relative difference of a loss from that of one process."""
    from composer.parallel.apply import check_sharing, mesh_for, parallelize

    found = {}
    alone = {n: losses(composer.build(SPECS[n], seed=0), n) for n in {name for name, _ in cases}}
    for name, way in cases:
        asked, graph = WAYS[way], composer.graph(SPECS[name])
        mesh = mesh_for(asked)
        model = parallelize(composer.build(SPECS[name], seed=0), graph, mesh, asked)
        group = mesh.get_group("dp")
        made = losses(model, name, (mesh.get_local_rank("dp"), asked.mesh.dp))
        for loss in made:
            dist.all_reduce(loss, group=group)
        check_sharing(model, graph)
        means = [float(loss) / asked.mesh.dp for loss in made]
        pairs = list(zip(means, map(float, alone[name]), strict=True))
        moved = abs(pairs[-1][1] - pairs[0][1])
        found[f"{name} {way}"] = [max(abs(a - b) / b for a, b in pairs), moved]
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(4, compared, tmp_path_factory.mktemp("parity"), [*CASES, ("tied", "half")])


@pytest.mark.parametrize(("name", "way"), CASES)
def test_losses_are_those_of_one_process(name, way, results):
    difference, moved = results[f"{name} {way}"]

    assert difference < 1e-5
    assert moved > 0.1  # else nothing was learned that could differ


def test_what_is_gathered_in_bfloat16_learns_nearly_the_same(results):
    difference, moved = results["tied half"]

    assert 1e-5 < difference < 2e-2
    assert moved > 0.1
