"""`distill`: a teacher, and what a student learns from it (Hinton et al., 2015, arXiv:1503.02531)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from composer.components.options import Natural, PositiveNumber
from composer.diagnostics import Problems, Span

from .document import Entry, Mapping, Scalar, Sequence, Tree, get, key_span, value_span
from .fields import Fields, Reference
from .slots import is_none
from .spec import DistillSpec, MatchSpec, Named, StartSpec
from .teacher import Check, teacher_in
from .validate import describe, validate

_PATH = re.compile(r"[A-Za-z]\w*(\.\w+)*", re.ASCII)


class DistillFields(Fields):
    """A teacher, and what is learned from it."""

    teacher: Any = Field(description="Its spec, size and weights.")
    loss: Any = Field(
        default=None,
        description="What is learned at the output: `soft`, `hard`, or both. "
        "Default: soft, with its defaults.",
    )
    outputs: Any = Field(
        default=None,
        description="The scores that are compared, {teacher: NAME, student: NAME}. "
        "Default: those of one name, or the only ones.",
    )
    match: Any = Field(
        default=None, description="A list of states or attention weights that are to be alike."
    )
    start: Any = Field(
        default=None,
        description="What the student starts with, e.g. {encoder.layers: [0, 2, 4]} or "
        "{encoder.embed: encoder.embed}: its own paths with numbers of the teacher's layers, or "
        "with a path of the teacher.",
    )


class LossFields(Fields):
    """What is learned at the output."""

    soft: Any = Field(default=None, description="What the teacher says of every class.")
    hard: Any = Field(default=None, description="The targets of the data.")


class SoftFields(Fields):
    """Cross entropy with the teacher's probabilities, both at a temperature."""

    temperature: PositiveNumber = Field(
        default=2.0, description="What scores are divided by before the softmax."
    )
    weight: PositiveNumber = Field(default=1.0, description="Factor of this loss.")


class HardFields(Fields):
    """Cross entropy with the targets."""

    weight: PositiveNumber = Field(default=1.0, description="Factor of this loss.")


class OutputsFields(Fields):
    """The scores that are compared."""

    teacher: Reference = Field(description="An output of the teacher.")
    student: Reference = Field(description="An output of this spec.")


class MatchFields(Fields):
    """A state, or the weights of an attention, that is to be like the teacher's."""

    teacher: Reference = Field(description="What it is there, e.g. encoder.layers.3.")
    student: Reference = Field(description="What it is here, e.g. encoder.layers.1.")
    loss: Literal["mse", "cosine", "kl"] | None = Field(
        default=None,
        description="Of states mse or cosine, of attention weights kl or mse. "
        "Default: mse of states, kl of weights.",
    )
    project: bool = Field(
        default=False, description="Whether a learned map takes states to the teacher's width."
    )
    weight: PositiveNumber = Field(default=1.0, description="Factor of this loss.")


class _Layers(Fields):
    """Numbers of layers."""

    layers: list[Natural] = Field(min_length=1)


def distill_in(tree: Mapping, check: Check, problems: Problems) -> DistillSpec | None:
    """What a spec says of its teacher, if anything; what is wrong is added to the problems."""
    section = get(tree, ("distill",))
    if section is None or is_none(section):
        return None
    before = len(problems)
    if validate(DistillFields, section, problems, where="'distill'", dims={}) is None:
        return None
    assert isinstance(section, Mapping), "only a mapping is valid"
    teacher, weights = teacher_in(section, check, problems)
    temperature, soft, hard = _loss(section, problems)
    teacher_output, student_output = _outputs(section, problems)
    matches = tuple(_matches(section, problems))
    starts = tuple(_starts(section, problems))
    span = key_span(tree, ("distill",))
    if len(problems) == before and soft is hard is None and not matches:
        problems.add("C105", "distill learns nothing", span, fix="loss: {soft: {temperature: 2}}")
    if len(problems) > before or teacher is None:
        return None
    return DistillSpec(
        teacher, weights, temperature, soft, hard, teacher_output, student_output, matches, starts,
        value_span(section, ("teacher", "spec")),
    )  # fmt: skip


# What is learned


def _loss(section: Mapping, problems: Problems) -> tuple[float, float | None, float | None]:
    """Temperature, weight of the soft loss, and that of the hard one."""
    tree, default = get(section, ("loss",)), SoftFields()
    if tree is None or is_none(tree):
        return default.temperature, default.weight, None
    if validate(LossFields, tree, problems, where="'loss'", dims={}) is None:
        return default.temperature, None, None
    soft, hard = get(tree, ("soft",)), get(tree, ("hard",))
    softly = None if soft is None else validate(SoftFields, soft, problems, where="'soft'", dims={})
    hardly = None if hard is None else validate(HardFields, hard, problems, where="'hard'", dims={})
    return (
        (softly or default).temperature,
        softly.weight if softly else None,
        hardly.weight if hardly else None,
    )


def _outputs(section: Mapping, problems: Problems) -> tuple[Named | None, Named | None]:
    """The outputs of teacher and student, where they are written."""
    tree = get(section, ("outputs",))
    if tree is None or is_none(tree):
        return None, None
    fields = validate(OutputsFields, tree, problems, where="'outputs'", dims={})
    if fields is None:
        return None, None
    return (
        Named(fields.teacher, value_span(tree, ("teacher",))),
        Named(fields.student, value_span(tree, ("student",))),
    )


def _matches(section: Mapping, problems: Problems) -> Iterator[MatchSpec]:
    tree = get(section, ("match",))
    if tree is None or is_none(tree):
        return
    if not isinstance(tree, Sequence):
        fix = "match: [{teacher: encoder.layers.3, student: encoder.layers.1}]"
        message = f"match wants a list, not {describe(tree)}"
        problems.add("C105", message, tree.span, fix=fix)
        return
    for item in tree.items:
        fields = validate(MatchFields, item, problems, where="a match", dims={})
        if fields is not None:
            teacher = Named(fields.teacher, value_span(item, ("teacher",)))
            student = Named(fields.student, value_span(item, ("student",)))
            yield MatchSpec(teacher, student, fields.loss, fields.project, fields.weight, item.span)


# What it starts with


def _starts(section: Mapping, problems: Problems) -> Iterator[StartSpec]:
    tree = get(section, ("start",))
    if tree is None or is_none(tree):
        return
    if not isinstance(tree, Mapping):
        message = f"start wants paths with what they start with, not {describe(tree)}"
        problems.add("C105", message, tree.span, fix="start: {encoder.layers: [0, 2, 4]}")
        return
    for path, entry in tree.entries.items():
        if not _PATH.fullmatch(path):
            why = f"'{path}' is not a path, such as encoder.layers or encoder.embed"
            problems.add("C105", why, entry.key)
        elif isinstance(entry.value, Sequence):
            yield from _layers(path, entry.key, entry.value, problems)
        elif _is_path(entry.value):
            assert isinstance(entry.value, Scalar), "a path is a text"
            span = entry.value.span
            yield StartSpec(Named(path, entry.key), Named(str(entry.value.value), span))
        else:
            why = (
                f"{path} wants numbers of layers, or a path of the teacher, "
                f"not {describe(entry.value)}"
            )
            problems.add("C105", why, entry.value.span, fix="[0, 2, 4], or encoder.embed")


def _is_path(tree: Tree) -> bool:
    text = tree.value if isinstance(tree, Scalar) else None
    return isinstance(text, str) and _PATH.fullmatch(text) is not None


def _layers(path: str, key: Span, numbers: Sequence, problems: Problems) -> Iterator[StartSpec]:
    """A stack's layers, each with one of the teacher's stack of that name."""
    stack, _, word = path.partition(".")
    if word != "layers":
        why = f"numbers are of layers, and '{path}' is none of a stack's layers"
        problems.add("C105", why, key, fix=f"{stack}.layers: [0, 2, 4]")
        return
    whole = Mapping({"layers": Entry(key, numbers)}, numbers.span)
    if validate(_Layers, whole, problems, where=f"'{path}'", dims={}) is None:
        return
    items = [item for item in numbers.items if isinstance(item, Scalar)]
    yield StartSpec(
        Named(path, key), tuple(Named(f"{path}.{item.value}", item.span) for item in items)
    )
