"""From a spec to a model that writes: `make demo`, about two minutes once torch is installed.

1. The base Transformer of specs/transformer.yaml: its source, its diagram and its numbers.
2. The small one, built and trained: it reads a window of text and learns to write the next one. The
   text is Python's own help, which every Python has; its tokens are bytes.

The exit status is 1 unless it predicts unseen text better than byte frequencies alone could.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics

# Threads that spin while they wait would make a busy machine crawl; torch reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

import composer

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "specs" / "transformer.yaml"
WINDOW = 64
BATCH = 16
PEAK_RATE = 2e-3
WARMUP = 100

console = Console(highlight=False)


def main() -> int:
    """Shows the base model, trains the small one, and says whether that one has learned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90, help="time to train (default: 90)")
    seconds = parser.parse_args().seconds
    show_base_model()

    data = torch.tensor(list("\n".join(topics[name] for name in sorted(topics)).encode()))
    end = len(data) * 9 // 10
    train, held_out = data[:end], data[end:]
    model = composer.build(SPEC, size="small", seed=0)
    parameters = sum(p.numel() for p in model.parameters())
    heading(f"Training the small one: {parameters:,} parameters, {seconds:.0f} seconds")
    console.print(f"  It reads {WINDOW} bytes of Python's help and learns the next {WINDOW}.")
    fit(model, train, seconds)

    loss, unigram = evaluate(model, held_out), entropy(held_out)
    heading("On text that it has not seen")
    console.print(f"  byte frequencies alone   {unigram:.3f} nats a byte, at best")
    console.print(f"  the model                {loss:.3f} nats a byte")
    heading("It reads")
    prompt = held_out[1000 : 1000 + WINDOW]
    console.print(indented(prompt), markup=False, soft_wrap=True)
    heading("and goes on")
    console.print(indented(write(model, prompt, 4 * WINDOW)), markup=False, soft_wrap=True)
    if loss >= unigram:
        console.print("\nIt has learned nothing.")
        return 1
    return 0


def show_base_model() -> None:
    """The command that a user would type: it prints the model's parts and the files it writes."""
    heading("The base Transformer, from its spec")
    console.print("$ composer build specs/transformer.yaml")
    command = [sys.executable, "-m", "composer", "build", "specs/transformer.yaml"]
    subprocess.run(command, cwd=ROOT, check=True)


def heading(text: str) -> None:
    """Prints a heading."""
    console.print(f"\n{text}", style="bold cyan")


def fit(model: nn.Module, data: Tensor, seconds: float) -> None:
    """Trains for a time, whatever the machine: the rate warms up, then falls to zero at the end."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    random = torch.Generator().manual_seed(0)
    columns = (BarColumn(), TextColumn("step {task.fields[step]}, loss {task.fields[loss]:.2f}"))
    start, step = time.monotonic(), 0
    model.train()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=seconds, step=0, loss=float("nan"))
        while (done := time.monotonic() - start) < seconds:
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * min(step / WARMUP, 1.0) * (1 - done / seconds)
            starts = torch.randint(len(data) - 2 * WINDOW, (BATCH,), generator=random)
            loss = cross_entropy(model, data, starts)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            progress.update(task, completed=done, step=step, loss=loss.item())
        progress.update(task, completed=seconds)


def cross_entropy(model: nn.Module, data: Tensor, starts: Tensor) -> Tensor:
    """Nats a byte: a window at each of `starts` is read, the next one is predicted byte by byte."""
    windows = data[starts[:, None] + torch.arange(2 * WINDOW)]
    source, target = windows[:, :WINDOW], windows[:, WINDOW:]
    before = windows[:, WINDOW - 1 : -1]  # each byte of the target follows one that is known
    logits = model(source=source, target=before).logits
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


@torch.no_grad()
def evaluate(model: nn.Module, data: Tensor) -> float:
    """Nats a byte over all windows of `data`."""
    model.eval()
    starts = torch.arange(0, len(data) - 2 * WINDOW, WINDOW)
    total = sum(cross_entropy(model, data, some).item() * len(some) for some in starts.split(64))
    return total / len(starts)


def entropy(data: Tensor) -> float:
    """Nats a byte of the best model that knows how often each byte occurs, and nothing else."""
    shares = data.bincount() / len(data)
    return float(torch.special.entr(shares).sum())


@torch.no_grad()
def write(model: nn.Module, source: Tensor, length: int, temperature: float = 0.6) -> Tensor:
    """The bytes that the model writes after `source`, window by window."""
    model.eval()
    random = torch.Generator().manual_seed(0)
    written = source
    while len(written) < len(source) + length:
        read, target = written[-WINDOW:], written[-1:]
        for _ in range(WINDOW):
            logits = model(source=read[None], target=target[None]).logits[0, -1]
            chosen = (logits / temperature).softmax(dim=-1).multinomial(1, generator=random)
            target = torch.cat([target, chosen])
        written = torch.cat([written, target[1:]])
    return written[len(source) :]


def indented(data: Tensor) -> str:
    """Bytes as text, each line with a margin."""
    lines = bytes(data.tolist()).decode(errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
