"""From a spec with a teacher to both models, the student started as the spec says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn

from composer.compiler import Source, load
from composer.compiler import build as build_model
from composer.graph.build import build_pairing
from composer.graph.distilling import Pairing
from composer.language.spec import DistillSpec, ModelSpec
from composer.targets.module import build_module
from composer.training.errors import training_error
from composer.weights import Weights, load_into
from composer.weights import load as read_weights

from .distiller import Distiller


def build(
    spec: Source | ModelSpec, *, teacher: Weights | nn.Module | None = None,
    weights: Weights | None = None, size: str | None = None, overrides: Iterable[str] = (),
    seed: int = 0,
) -> Distiller:  # fmt: skip
    """The student of a spec and its teacher.

    `teacher` is the path of its weights, or a model of its spec; by default they lie where the spec
    says. `weights` are what the student begins with, as for `composer.build`; what `start` names
    begins as the teacher's all the same.

    >>> distiller = build("student.yaml", teacher="teacher.safetensors")  # doctest: +SKIP

    Raises SpecError, of which WeightError and TrainingError tell what there is no teacher for.
    """
    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    if made.distill is None:
        fix = "distill: {teacher: {spec: teacher.yaml}}"
        raise training_error("T502", f"'{made.name}' has no section distill", fix)
    pairing = build_pairing(made)
    taught = _teacher(made.distill, pairing, teacher)
    student = _student(made, pairing, weights, seed)
    start(pairing, student, taught)
    return Distiller(made, pairing, student, taught, seed=seed)


@torch.no_grad()
def start(pairing: Pairing, student: nn.Module, teacher: nn.Module) -> None:
    """Gives tensors of the student the values of the teacher's; what is shared stays shared."""
    own, other = student.state_dict(keep_vars=True), teacher.state_dict()
    for name, source in pairing.starts.items():
        own[name].copy_(other[source])


def _student(made: ModelSpec, pairing: Pairing, weights: Weights | None, seed: int) -> nn.Module:
    """The student with further outputs, which has the parameters of the one without."""
    student = build_module(pairing.student, seed=seed)
    if weights is not None:
        plain = build_model(replace(made, distill=None), seed=seed, weights=weights).state_dict()
        load_into(student, {name: plain[name] for name in pairing.plain.state})
    return student


def _teacher(
    distill: DistillSpec, pairing: Pairing, given: Weights | nn.Module | None
) -> nn.Module:
    """The teacher with further outputs."""
    model = build_module(pairing.teacher, seed=0)
    if isinstance(given, nn.Module):
        load_into(model, given.state_dict())
        return model
    weights = given or distill.weights
    if weights is None:
        fix = "--teacher FILE, or write weights into distill.teacher"
        raise training_error("T502", "the teacher has no weights", fix)
    load_into(model, read_weights(pairing.teacher, distill.teacher.weights, weights))
    return model
