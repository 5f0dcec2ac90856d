"""The teacher of a `distill` section: its spec, which is read and checked, and its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from composer.diagnostics import Problems, SpecError

from .document import Mapping, Scalar, Tree, get, value_span
from .fields import Fields, Text
from .slots import is_none, without
from .spec import ModelSpec
from .validate import describe, guess, validate
from .variants import apply, sizes_of, with_bases
from .wants import listed

Check = Callable[[Tree, str | None], ModelSpec]
"""The check of a whole spec, here of the teacher's."""


class TeacherFields(Fields):
    """A model that is trained already."""

    spec: Text = Field(description="Path of its spec, beside this one or below it.")
    size: Text | None = Field(default=None, description="One of its sizes.")
    weights: Text | None = Field(
        default=None, description="Path of its weights, likewise. Default: given to the command."
    )


def teacher_in(
    section: Mapping, check: Check, problems: Problems
) -> tuple[ModelSpec | None, Path | None]:
    """Its checked spec without what it was taught itself, and the path of its weights."""
    tree = get(section, ("teacher",))
    assert tree is not None, "a section without a teacher is not valid"
    fields = validate(TeacherFields, tree, problems, where="'teacher'", dims={})
    if fields is None:
        return None, None
    path = _beside(get(tree, ("spec",)), problems, there=True)
    written = get(tree, ("weights",))
    weights = (
        None if written is None or is_none(written) else _beside(written, problems, there=False)
    )
    if path is None:
        return None, None
    try:
        return _checked(path, fields, tree, check), weights
    except SpecError as error:
        for problem in error.problems:
            problems.add(problem.code, problem.message, problem.span, problem.notes, problem.fix)
        return None, None


def _checked(path: Path, fields: TeacherFields, tree: Tree, check: Check) -> ModelSpec:
    """The teacher's spec in its size. Raises SpecError."""
    whole = with_bases(path)
    sizes = sizes_of(whole)
    if fields.size is not None and fields.size not in sizes:
        problems = Problems()
        fix = guess(fields.size, sizes) or (
            f"sizes: {listed(sizes)}" if sizes else "leave out size"
        )
        why = f"'{fields.spec}' has no size '{fields.size}'"
        problems.add("C111", why, value_span(tree, ("size",)), fix=fix)
        problems.raise_if_any()
    sized = apply(whole, size=fields.size)
    assert isinstance(sized, Mapping), "a file holds a mapping"
    return check(without(sized, ["distill"]), fields.size)


def _beside(written: Tree | None, problems: Problems, *, there: bool) -> Path | None:
    """The path that is written, from the folder of the file in which it is; it may have to be there."""
    assert isinstance(written, Scalar), "a path is a text"
    span = written.span
    folder = Path(span.file).parent
    target = folder / str(written.value)
    try:
        inside = target.resolve().is_relative_to(folder.resolve())
        missing = there and not target.is_file()
    except (OSError, RuntimeError, ValueError):  # e.g. too long, a circle of links
        problems.add("C150", f"{describe(written)} is not a path", span, fix="spec: teacher.yaml")
        return None
    if span.file.startswith(("<", "--")):
        why = f"'{written.value}' is a file beside the spec, but this spec is no file"
        problems.add("C150", why, span, fix="write distill into a file, and load that")
    elif not inside:
        why = f"'{written.value}' lies outside the spec's folder"
        problems.add("C150", why, span, fix="move it beside the spec, or below it")
    elif missing:
        why = f"there is no file '{written.value}' beside '{Path(span.file).name}'"
        problems.add("C150", why, span, fix="write its path from the folder of this file")
    else:
        return target
    return None
