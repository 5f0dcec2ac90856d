"""Four processes that train several models as pipelines: `python -m tests.parallel.rows FOLDER`.

Each model is trained by one process, too. What comes out is how far the two are from each other, in
float64, so that what is left is wrong and not rounding.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor

import composer
from composer.graph.graph import Graph
from composer.language.parallel import PpFields
from composer.parallel.pipeline import Pipeline, pipeline
from composer.parallel.stages import flat, tensors_of
from composer.parallel.stored import save_stages
from composer.training.data import IGNORED
from tests.conformance.models import inputs_of, lengths_of

WORLD, BATCH, UPDATES = 4, 8, 5
ALL = [[0, 1, 2, 3]]
PAIRS = [[0, 1], [2, 3]]

TIED = """composer: 1
name: tied
inputs: {tokens: {kind: tokens, vocab_size: 17, padding: 0}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 4, attention: {num_heads: 2}}}
connections: [shared: [decoder.embed.tokens, logits.head]]
outputs: {logits: {from: decoder, head: lm}}
"""
SMALL = ("dims.d_model=16", "defaults.attention.num_heads=2")
PATTERNS = "specs/patterns/"


@dataclass(frozen=True)
class Case:
    """A model, the rows of processes that train it, and how."""

    spec: str
    rows: list[list[int]]
    settings: PpFields
    overrides: tuple[str, ...] = ()
    size: str | None = None


CASES = {
    "gpipe": Case(TIED, ALL, PpFields(schedule="gpipe")),
    "1f1b": Case(TIED, ALL, PpFields(microbatches=8)),
    "two_stages": Case(TIED, PAIRS, PpFields(microbatches=4)),
    "cross": Case(f"{PATTERNS}encoder_decoder.yaml", ALL, PpFields(), SMALL),
    "cross_before_decoder": Case(
        f"{PATTERNS}encoder_decoder.yaml", PAIRS, PpFields(cuts=["decoder"]), SMALL
    ),
    "skips": Case(f"{PATTERNS}hierarchical_skips.yaml", ALL, PpFields(schedule="gpipe"), SMALL),
    "shared_stacks": Case(f"{PATTERNS}shared_encoder_decoder.yaml", ALL, PpFields(), SMALL),
    "one_layer": Case(f"{PATTERNS}universal.yaml", ALL, PpFields(schedule="gpipe", microbatches=2), ("encoder.d_model=16",)),
    "in_step": Case(f"{PATTERNS}parallel_updates.yaml", PAIRS, PpFields(), SMALL),
    "mixed_memory": Case("tests/specs/cross_sources.yaml", ALL, PpFields(), size="weighted"),
    "lora": Case("tests/specs/adapted.yaml", PAIRS, PpFields(), size="queries"),
}  # fmt: skip


def run(rank: int, folder: str) -> None:
    """One of the processes."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD)
    found = {name: measure(case, Path(folder) / name) for name, case in CASES.items()}
    found["copies"] = measure(CASES["two_stages"], Path(folder) / "copies", copies=True)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


def measure(case: Case, folder: Path, *, copies: bool = False) -> dict[str, float]:
    """Largest differences between a pipeline and one process; with `copies`, rows share batches."""
    spec = composer.load(case.spec, size=case.size, overrides=case.overrides)
    graph = composer.graph(spec)
    row = pipeline(graph, case.settings, rows=case.rows, seed=0)
    row.model.eval()
    whole = composer.build(graph, seed=0).eval()
    losses = _differences(graph, whole, row, copies=copies)
    state = whole.state_dict()
    own = tensors_of(row.model, row.stage).items()
    folder = folder / str(row.ranks[0])
    save_stages(row, folder)
    read = composer.build(spec, weights=folder).state_dict()
    return {
        "loss": max(losses),
        "state": max(float((value - state[name]).abs().max()) for name, value in own),
        "read": max(float((read[name] - value).abs().max()) for name, value in own),
        "moved": max(_moved(graph, state).values()),
        "forward": _forward(graph, whole, row),
    }


def _differences(
    graph: Graph, whole: torch.nn.Module, row: Pipeline, *, copies: bool
) -> list[float]:
    """Relative differences of losses and norms, update by update."""
    optimizers = [torch.optim.AdamW(model.parameters(), 1e-2) for model in (whole, row.model)]
    places = [0, 2]
    lines = [dist.new_group([0, 2]), dist.new_group([1, 3])] if copies else []
    found = []
    for number in range(UPDATES):
        inputs, targets = batch(graph, number)
        count = int((targets != IGNORED).sum())
        wanted = loss_of(whole(**inputs)._asdict(), targets)
        (wanted / count).backward()
        if copies:
            here = slice(places.index(row.ranks[0]) * 4, places.index(row.ranks[0]) * 4 + 4)
            inputs = {name: value[here] for name, value in inputs.items()}
            targets = targets[here]
        made = row.step(inputs, targets, loss_of, count=count)
        row.sum_shared()
        if copies:
            group = lines[row.stage.number]
            dist.all_reduce(made, group=group)
            for parameter in row.model.parameters():
                dist.all_reduce(parameter.grad, group=group)
        norms = [torch.nn.utils.clip_grad_norm_(whole.parameters(), 0.5), row.clip(0.5)]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        found.append(abs(made.item() / wanted.item() - 1))
        found.append(abs(norms[1].item() / norms[0].item() - 1))
    return found


def batch(graph: Graph, number: int) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs with padding, and for each example some targets, not as many as for the next one."""
    inputs = inputs_of(graph, lengths={**lengths_of(graph), "batch": BATCH})
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(number))
    targets = torch.arange(BATCH * 6).reshape(BATCH, 6) % 5
    targets[1, 2:] = targets[6, 1:] = IGNORED
    return {name: value[order] for name, value in inputs.items()}, targets[order]


def loss_of(outputs: dict[str, Tensor | list[Tensor]], targets: Tensor) -> Tensor:
    """The sum of the losses of what is not ignored, over the first classes of every output."""
    total = torch.zeros(())
    for value in flat(outputs.values()):
        numbers = value.reshape(len(value), -1)[:, :18].tanh()
        scores = F.pad(numbers, (0, 18 - numbers.shape[1])).reshape(-1, 6, 3)
        classes = torch.where(targets == IGNORED, IGNORED, targets % 3)
        total = total + F.cross_entropy(
            scores.flatten(0, 1), classes.flatten(), ignore_index=IGNORED, reduction="sum"
        )
    return total


def _moved(graph: Graph, state: dict[str, Tensor]) -> dict[str, float]:
    """How far training went from the start."""
    start = composer.build(graph, seed=0).state_dict()
    return {name: float((state[name] - value).abs().max()) for name, value in start.items()}


@torch.no_grad()
def _forward(graph: Graph, whole: torch.nn.Module, row: Pipeline) -> float:
    inputs, _ = batch(graph, 99)
    outputs = row.forward(inputs)
    if outputs is None:
        return 0.0
    pairs = zip(flat(whole(**inputs)), flat(outputs.values()), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


if __name__ == "__main__":
    mp.start_processes(run, (sys.argv[1],), WORLD, start_method="fork")
