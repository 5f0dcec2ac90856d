"""Distillation: a small student of few labels, and one that learns from what its teacher says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn

import composer
from bench.digits.data import Digits, Images, digits
from bench.digits.fitting import accuracy, fit
from bench.tables import Cell, Table, Target
from composer import distillation

FOLDER = Path(__file__).parents[1]
TEACHER, STUDENT = FOLDER / "vit.yaml", FOLDER / "student.yaml"
RATES = (3e-3, 1e-2, 3e-2)
STEPS = 1000
FEW = 150
OMITTED = 3
HOT = 20

Found = tuple[float, float]
"""Per cent of all unseen images, and of those of the omitted digit."""


def run(seeds: int) -> Table:
    """Accuracy of teachers and students, and what they say of a digit that was left out."""
    data = digits()
    found: dict[str, list[Found]] = {}
    for seed in range(seeds):
        for name, result in one(data, seed):
            found.setdefault(name, []).append(result)
    rows = {name: row(results) for name, results in found.items()}
    return Table(
        "Learning from a teacher",
        ("model", "accuracy", "lowest", "highest", f"on_digit_{OMITTED}"),
        tuple((name, *cells) for name, cells in rows.items()),
        tuple(targets(rows)),
        "The teacher is a vision Transformer of 151,818 parameters that has learned 1,200 labels, the "
        "student one of 3,754. A distilled student sees the same 1,200 images and what the teacher "
        f"says of them, at a temperature of 4, but no label. Without the digit {OMITTED} it has seen "
        f"none of that digit, at a temperature of {HOT}; then one number, chosen on the images for "
        f"validation, is added to its scores of a {OMITTED}. Per cent of the unseen images, mean of "
        f"{seeds} seeds; the learning rate of students with labels is the best of {len(RATES)} for "
        "validation, that of distilled ones is 0.01.",
    )


def one(data: Digits, seed: int) -> Iterator[tuple[str, Found]]:
    """What one teacher and its students know."""
    teacher = fit(composer.build(TEACHER, seed=seed), data.train, steps=500, lr=1e-3, seed=seed)
    yield "teacher", known(scores_of(teacher), data.test)
    few = labelled(data.train[:FEW], data.validation, seed)
    yield f"student, {FEW} labels", known(scores_of(few), data.test)
    alone = labelled(data.train, data.validation, seed)
    yield "student, 1,200 labels", known(scores_of(alone), data.test)
    student = distilled(teacher, data.train, 4, seed)
    yield "distilled, no label", known(scores_of(student), data.test)
    others = data.train.of({*range(10)} - {OMITTED})
    student = distilled(teacher, others, HOT, seed)
    yield f"distilled without {OMITTED}", known(scores_of(student), data.test)
    fixed = scores_of(student, bias(student, data.validation))
    yield f"distilled without {OMITTED}, one bias fixed", known(fixed, data.test)


def labelled(images: Images, validation: Images, seed: int) -> nn.Module:
    """The student that learns labels, at the rate that is best for validation."""
    models = [
        fit(composer.build(STUDENT, seed=seed), images, steps=STEPS, lr=rate, seed=seed)
        for rate in RATES
    ]
    return max(models, key=lambda model: accuracy(model, validation))


def distilled(teacher: nn.Module, images: Images, temperature: int, seed: int) -> nn.Module:
    """The student after what the teacher says of some images; no label is read."""
    hot = [f"distill.loss.soft.temperature={temperature}"]
    distiller = distillation.build(STUDENT, teacher=teacher, seed=seed, overrides=hot)
    trained = [one for one in distiller.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        batch = torch.randint(len(images), (64,), generator=generator)
        loss = distiller({"image": images.images[batch]}).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return distiller.plain()


Scores = Callable[[Tensor], Tensor]


def scores_of(model: nn.Module, added: float = 0.0) -> Scores:
    """What a model says of images, with a number added to its scores of the omitted digit."""
    shift = added * torch.eye(10)[OMITTED]

    @torch.no_grad()
    def scores(images: Tensor) -> Tensor:
        model.eval()
        made: Tensor = model(image=images).digit
        return made + shift

    return scores


def known(scores: Scores, data: Images) -> Found:
    """Per cent of the images that are known, and of those of the omitted digit."""
    right = (scores(data.images).argmax(dim=-1) == data.labels).double()
    return float(right.mean()) * 100, float(right[data.labels == OMITTED].mean()) * 100


def bias(model: nn.Module, validation: Images) -> float:
    """The number with which most images for validation are known; of several, that in the middle."""
    tried = [number / 10 for number in range(101)]
    reached = [known(scores_of(model, number), validation)[0] for number in tried]
    best = [number for number, value in zip(tried, reached, strict=True) if value == max(reached)]
    return best[len(best) // 2]


def row(found: Sequence[Found]) -> tuple[Cell, ...]:
    """Mean, lowest and highest accuracy, and the mean for the omitted digit."""
    every = [whole for whole, _ in found]
    return mean(every), min(every), max(every), mean(omitted for _, omitted in found)


def targets(rows: dict[str, tuple[Cell, ...]]) -> Iterator[Target]:
    """What is held: labels are replaced by a teacher, and a digit is known that was never seen."""
    gained = float(rows["distilled, no label"][0] or 0) - float(
        rows[f"student, {FEW} labels"][0] or 0
    )
    yield Target(f"distilled above {FEW} labels", "> 8", gained, met=gained > 8)
    seen = float(rows[f"distilled without {OMITTED}, one bias fixed"][3] or 0)
    yield Target(f"a {OMITTED} that was never seen", "> 80", seen, met=seen > 80)
