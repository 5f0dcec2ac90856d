"""The rules of a weight map: which names they read and write, and what is done between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from pydantic import Field

from composer.diagnostics import Problems, Span

from .document import Scalar, Tree, get, key_span, plain
from .fields import Fields, Text
from .patterns import ANYTHING, Pattern, PatternError
from .validate import validate

Expression = Union[int, str]
Parameters = Mapping[str, str | int]
"""The words and numbers that patterns and sizes of a map use by name."""


class RuleFields(Fields):
    """The keys of a rule."""

    from_: Text | None = Field(default=None, alias="from", description="Names of the source.")
    to: Text | None = Field(default=None, description="Names of the spec.")
    ignore: Text | list[Text] | None = Field(default=None, description="Names nobody needs.")
    tie: Text | None = Field(
        default=None, description="The tensor that `from` is a second name of."
    )
    optional: bool = Field(default=False, description="Whether the source may lack it.")
    transpose: bool = Field(default=False, description="Swaps the last two axes of a matrix.")
    rearrange: Text | None = Field(default=None, description="An einops pattern.")
    sizes: dict[str, Expression] = Field(default={}, description="Sizes of axes of `rearrange`.")
    split: Any = Field(default=None, description="Cuts one source into a tensor for each {part}.")
    join: Any = Field(default=None, description="Joins a source for each {part} into one tensor.")
    stack: Any = Field(default=None, description="Stacks the sources that `over` numbers.")
    unstack: Any = Field(default=None, description="Takes a source apart into those it numbers.")
    slice: Any = Field(default=None, description="Keeps a range of one axis.")
    fill: float | int | None = Field(default=None, description="The number that fills the tensor.")


class PartsFields(Fields):
    """How a tensor is made of parts: along `axis`, `groups` times each part in order."""

    axis: int = Field(default=0, ge=0)
    groups: Expression = 1
    parts: dict[str, Expression] = Field(min_length=1)


class StackFields(Fields):
    """Which capture numbers the pieces, and the axis along which they lie."""

    over: Text = Field(description="The capture that numbers them.")
    axis: int = Field(default=0, ge=0)


class SliceFields(Fields):
    """The range that is kept; what lies outside is lost."""

    axis: int = Field(default=0, ge=0)
    start: Expression = 0
    stop: Expression


_OPERATIONS: dict[str, type[Fields]] = {
    "split": PartsFields,
    "join": PartsFields,
    "stack": StackFields,
    "unstack": StackFields,
    "slice": SliceFields,
}


@dataclass(frozen=True)
class Rule:
    """One rule: which names it reads and writes, and what it does to the tensors between.

    A rule with only a source ignores it, or with `tie` knows it as a second name; one with only a
    target fills it with a number.
    """

    source: Pattern | None
    target: Pattern | None
    span: Span = field(compare=False)
    tie: Pattern | None = None
    optional: bool = False
    transpose: bool = False
    rearrange: str | None = None
    sizes: Mapping[str, Expression] = field(default_factory=dict, hash=False)
    split: PartsFields | None = field(default=None, hash=False)
    join: PartsFields | None = field(default=None, hash=False)
    stack: StackFields | None = field(default=None, hash=False)
    unstack: StackFields | None = field(default=None, hash=False)
    slice: SliceFields | None = field(default=None, hash=False)
    fill: float | None = None

    def __str__(self) -> str:
        """The rule as people know it."""
        if self.target is None:
            return f"{'ignore' if self.tie is None else 'tie'} {self._from}"
        return f"{self._from} -> {self.target.text}"

    @property
    def _from(self) -> str:
        return f"{self.fill}" if self.source is None else self.source.text


def rules_in(tree: Tree, parameters: Parameters, problems: Problems) -> Iterator[Rule]:
    """The rules that one item of a list is; what is wrong is added to the problems."""
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        source, arrow, target = tree.value.partition("->")
        if not arrow or "->" in target:
            fix = '"theirs.{i}.{p} -> ours.{i}.{p}"'
            problems.add("C131", f"'{tree.value}' has no single '->'", tree.span, fix=fix)
            return
        fields: RuleFields | None = RuleFields.model_validate(
            {"from": source.strip(), "to": target.strip()}
        )
    else:
        fields = validate(RuleFields, tree, problems, where="a rule", dims={})
    if fields is None:
        return
    try:
        yield from _made(fields, tree, parameters, problems)
    except PatternError as error:
        problems.add("C131", str(error), tree.span)


def _made(
    fields: RuleFields, tree: Tree, parameters: Parameters, problems: Problems
) -> Iterator[Rule]:
    span = tree.span if isinstance(tree, Scalar) else key_span(tree, (next(iter(plain(tree))),))
    if fields.ignore is not None:
        names = [fields.ignore] if isinstance(fields.ignore, str) else fields.ignore
        if fields.model_fields_set - {"ignore", "optional"}:
            raise PatternError("a rule that ignores has no other key")
        for name in names:
            yield Rule(Pattern.parse(name, parameters), None, span, optional=fields.optional)
        return
    inner = _operations(tree, problems)
    if inner is None:
        return
    ends = (fields.from_, fields.to, fields.tie)
    source, target, tie = (None if e is None else Pattern.parse(e, parameters) for e in ends)
    rule = Rule(
        source,
        target,
        span,
        tie=tie,
        optional=fields.optional or tie is not None,
        transpose=fields.transpose,
        rearrange=fields.rearrange,
        sizes=fields.sizes,
        fill=None if fields.fill is None else float(fields.fill),
        **inner,
    )
    _check_rule(rule)
    yield rule


def _operations(tree: Tree, problems: Problems) -> dict[str, Any] | None:
    """The operations with keys of their own; None if one of them is wrong."""
    made: dict[str, Any] = {}
    for key, model in _OPERATIONS.items():
        inner = get(tree, (key,))
        if inner is not None:
            made[key] = validate(model, inner, problems, where=f"'{key}'", dims={})
    return None if None in made.values() else made


def _check_rule(rule: Rule) -> None:
    """Raises PatternError where a rule could not be carried out in both directions."""
    ends = [end for end in (rule.source, rule.target, rule.tie) if end is not None]
    if any(ANYTHING in end.pieces for end in ends):
        raise PatternError("'*' stands in `ignore` only")
    if rule.tie is not None and (rule.source is None or rule.target is not None):
        raise PatternError("a rule with `tie` has a `from` and no `to`")
    if rule.fill is not None and (rule.target is None or rule.source is not None):
        raise PatternError("a rule with `fill` has a `to` and no `from`")
    if rule.fill is None and rule.tie is None and len(ends) != 2:  # noqa: PLR2004 - both sides
        raise PatternError("a rule needs `from` and `to`, or `ignore`")
    if rule.fill is not None:
        return
    left, right = ends
    _check_captures(rule, left, right)
    if len(left.words) != len(right.words):
        counts = f"{len(left.words)} brackets on the left, but {len(right.words)} on the right"
        raise PatternError(counts)
    for number, (one, other) in enumerate(zip(left.words, right.words, strict=True), 1):
        if len(one.words) != len(other.words):
            counts = f"{len(one.words)} words on the left and {len(other.words)} on the right"
            raise PatternError(f"bracket {number} has {counts}")


def _check_captures(rule: Rule, left: Pattern, right: Pattern) -> None:
    """Both sides have the same captures, but for those that an operation adds."""
    extra = {
        "split": ({"part"} if rule.split else set(), right, "to"),
        "join": ({"part"} if rule.join else set(), left, "from"),
        "stack": ({rule.stack.over} if rule.stack else set(), left, "from"),
        "unstack": ({rule.unstack.over} if rule.unstack else set(), right, "to"),
    }
    own: dict[str, set[str]] = {"from": set(), "to": set()}
    for key, (names, pattern, side) in extra.items():
        for name in names:
            if name not in pattern.captures:
                raise PatternError(f"`{key}` needs {{{name}}} in `{side}`")
            own[side].add(name)
    lone = (left.captures - own["from"]) ^ (right.captures - own["to"])
    if lone:
        raise PatternError(f"{{{min(lone)}}} stands on one side only")
