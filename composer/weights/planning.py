"""The plan: for every tensor of a graph the one way to make it, audited before a tensor is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from composer.diagnostics import Problem, nearest
from composer.graph.graph import Graph
from composer.language.weight_rules import PartsFields, Rule, SliceFields
from composer.language.weights import Layout, WeightMap
from composer.shapes import show

from .errors import WeightError, weight_error
from .instances import Found, Instance, from_sources, from_targets
from .names import Targets, whole_number
from .operations import (
    Fill,
    Join,
    Operation,
    OperationError,
    Rearrange,
    Shape,
    Slice,
    Split,
    Stack,
    Transpose,
    Unstack,
)


@dataclass(frozen=True)
class Step:
    """Sources, what is done to them, and the targets that come out.

    A step that `repeats` others makes tensors that these have made already, and must agree.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    operations: tuple[Operation, ...]
    repeats: bool = False


@dataclass(frozen=True)
class Plan:
    """How every tensor of a graph is made of a source's, and a source's of the graph's."""

    steps: tuple[Step, ...]
    ties: Mapping[str, str] = field(hash=False)
    ignored: tuple[str, ...]
    sources: Mapping[str, Shape] = field(hash=False)
    targets: Mapping[str, Shape] = field(hash=False)
    layout: str = ""

    @property
    def lost(self) -> tuple[str, ...]:
        """Sources of which a part is cut off; going back, it is zero."""
        return tuple(
            name
            for step in self.steps
            if any(isinstance(operation, Slice) for operation in step.operations)
            for name in step.sources
        )


def plan(graph: Graph, weight_map: WeightMap, sources: Mapping[str, Shape]) -> Plan:
    """The plan that makes the tensors of `graph` of sources with these shapes.

    Of the map's layouts, the first that fits is used.

    Raises WeightError with every problem of the layout that comes closest: sources that nothing
    is made of, targets that are made of nothing, rules that match nothing, and unequal shapes.
    """
    targets = Targets(graph, weight_map)
    tried: list[tuple[Layout, list[Problem]]] = []
    for layout in weight_map.layouts:
        audit = _Audit(targets, layout, sources)
        made = audit.plan()
        if not audit.problems:
            return made
        tried.append((layout, audit.problems))
    layout, problems = min(tried, key=_problem_count)
    raise WeightError([*_which(weight_map, layout, problems), *problems])


def _problem_count(attempt: tuple[Layout, list[Problem]]) -> int:
    return len(attempt[1])


def plan_back(graph: Graph, weight_map: WeightMap, layout: str = "") -> Plan:
    """The plan for weights that come from no source: of each layout the first that can be written.

    `layout` chooses one by the beginning of its name. Raises WeightError for tensors that no rule
    of the layout writes.
    """
    targets = Targets(graph, weight_map)
    names: dict[str, list[str]] = {name: [name] for name in targets.shapes}
    for alias in graph.aliases:
        names.get(targets.owner(alias), []).append(alias)
    chosen = [each for each in weight_map.layouts if each.name.startswith(layout)]
    if not chosen:
        known = ", ".join(f"'{each.name}'" for each in weight_map.layouts)
        raise weight_error("W400", f"'{weight_map.name}' has no layout '{layout}' ({known})")
    failures = []
    for each in chosen:
        rules = [rule for rule in each.rules if rule.tie is None]
        made, problems = _back(from_targets(rules, targets.shapes, names), each, targets)
        if not problems:
            return made
        failures.append((each, problems))
    raise WeightError(min(failures, key=_problem_count)[1])


def same(targets: Targets, shapes: Mapping[str, Shape], owners: Mapping[str, str]) -> Plan:
    """The plan for tensors that have a graph's own names, further names of shared ones as well.

    Raises WeightError for other shapes.
    """
    wrong = [
        unequal(name, shape, targets.shapes[owners[name]])
        for name, shape in shapes.items()
        if shape != targets.shapes[owners[name]]
    ]
    if wrong:
        raise WeightError(wrong)
    steps = [
        Step((name,), (owner,), (), repeats=name != owner and owner in shapes)
        for name, owner in owners.items()
    ]
    return Plan(tuple(steps), {}, (), dict(shapes), targets.shapes)


def unequal(name: str, shape: Shape, wanted: Shape) -> Problem:
    """A tensor whose shape is another than the model's."""
    why = f"'{name}' is {show(shape)}, but the model's is {show(wanted)}"
    return Problem("W405", why, None)


def _back(found: Found, layout: Layout, targets: Targets) -> tuple[Plan, list[Problem]]:
    """The plan that writes a source, with what is wrong with it."""
    problems = [
        Problem("W402", f"no rule reads '{name}' {show(targets.shapes[name])}", None)
        for name in found.unmatched
    ]
    problems += [Problem("W404", broken.why, broken.rule.span) for broken in found.broken]
    steps: list[Step] = []
    sources: dict[str, Shape] = {}
    for instance in found.made:
        owners = tuple(targets.owner(name) for name in instance.targets)
        try:
            operations = tuple(_operations(instance, targets, layout, None))
            shapes = [targets.shapes[owner] for owner in owners]
            for operation in reversed(operations):
                shapes = operation.inverse().shapes(shapes)
        except OperationError as error:
            problems.append(
                Problem("W405", f"{_quoted(instance.targets)}: {error}", instance.rule.span)
            )
            continue
        sources |= dict(zip(instance.sources, shapes, strict=True))
        steps.append(Step(instance.sources, owners, operations))
    return Plan(tuple(steps), {}, (), sources, targets.shapes, layout.name), problems


def _which(weight_map: WeightMap, layout: Layout, problems: list[Problem]) -> Iterable[Problem]:
    if len(weight_map.layouts) > 1:
        names = "; ".join(other.name for other in weight_map.layouts)
        why = f"no layout of '{weight_map.name}' fits ({names})"
        closest = f"the closest is {layout.name}, with {len(problems)} problems"
        yield Problem("W400", f"{why}; {closest}", weight_map.span)


class _Audit:
    """One layout held against one source."""

    def __init__(self, targets: Targets, layout: Layout, sources: Mapping[str, Shape]) -> None:
        self.targets, self.layout, self.sources = targets, layout, sources
        self.problems: list[Problem] = []
        self.made_by: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.guesses: dict[str, str | None] = {}

    def plan(self) -> Plan:
        ties, shapes = self._ties()
        rules = [rule for rule in self.layout.rules if rule.tie is None]
        found = from_sources(rules, shapes, self.targets.shapes)
        for broken in found.broken:
            self._add("W404", broken.why, broken.rule)
            self.made_by |= {self.targets.owner(name): (name, ()) for name in broken.targets}
        steps = [step for instance in found.made if (step := self._step(instance, shapes))]
        self._unmapped(shapes, found.unmatched)
        self._unfilled(rules)
        for rule in found.dead:
            if not rule.optional and not self._tied(rule):
                self._add(
                    "W403",
                    f"the rule '{rule}' matches nothing in the source",
                    rule,
                    "remove it, or say optional: true",
                )
        return Plan(
            tuple(steps),
            ties,
            found.ignored,
            dict(self.sources),
            self.targets.shapes,
            self.layout.name,
        )

    def _ties(self) -> tuple[dict[str, str], dict[str, Shape]]:
        """Second names in the source by their own, and the shapes of the sources that remain."""
        ties: dict[str, str] = {}
        shapes = dict(self.sources)
        for rule in self.layout.rules:
            if rule.tie is None or rule.source is None:
                continue
            for name, shape in self.sources.items():
                binding = rule.source.match(name)
                if binding is None or name in ties:
                    continue
                main = rule.tie.write(binding)
                if shapes.setdefault(main, shape) != shape:
                    self._add(
                        "W405",
                        f"'{name}' {show(shape)} is a second name of '{main}' {show(shapes[main])}",
                        rule,
                    )
                shapes.pop(name)
                ties[name] = main
        return ties, shapes

    def _tied(self, rule: Rule) -> bool:
        """Whether a rule writes second names only, whose tensors are made already."""
        if rule.target is None:
            return False
        names = [*self.targets.shapes, *self.targets.graph.aliases]
        owners = {self.targets.owner(name) for name in names if rule.target.match(name) is not None}
        own = any(rule.target.match(name) is not None for name in self.targets.shapes)
        return bool(owners) and not own and owners <= self.made_by.keys()

    def _step(self, instance: Instance, shapes: Mapping[str, Shape]) -> Step | None:
        owners = tuple(self.targets.owner(name) for name in instance.targets)
        missing = [
            n
            for n, owner in zip(instance.targets, owners, strict=True)
            if owner not in self.targets.shapes
        ]
        if missing:
            self._no_such_target(instance, missing[0])
            self._claim(instance, owners)
            return None
        given = [shapes[name] for name in instance.sources]
        try:
            operations = list(_operations(instance, self.targets, self.layout, given))
            got = given
            for operation in operations:
                got = operation.shapes(got)
        except OperationError as error:
            self._add("W405", f"{self._names(instance)}: {error}", instance.rule)
            self._claim(instance, owners)
            return None
        repeats = self._claim(instance, owners)
        for name, owner, shape in zip(instance.targets, owners, got, strict=False):
            wanted = self.targets.shapes[owner]
            if shape != wanted:
                source = f"{self._sources(instance)} {' '.join(map(show, given[:2]))}".strip()
                self._add(
                    "W405",
                    f"{source} makes {show(shape)}, but '{name}' is {show(wanted)}",
                    instance.rule,
                )
        if len(got) != len(owners):
            self._add(
                "W404",
                f"{self._names(instance)}: {len(got)} tensors for {len(owners)} names",
                instance.rule,
            )
        return Step(instance.sources, owners, tuple(operations), repeats)

    def _claim(self, instance: Instance, owners: tuple[str, ...]) -> bool:
        """Notes who makes the targets; whether they are second names of tensors made before."""
        repeats = False
        for name, owner in zip(instance.targets, owners, strict=True):
            if owner not in self.made_by:
                self.made_by[owner] = (name, instance.sources)
                continue
            other, sources = self.made_by[owner]
            if other == name:
                both = f"{_quoted(sources)} and of {_quoted(instance.sources)}"
                self._add("W404", f"'{name}' is made twice, of {both}", instance.rule)
            repeats = True
        return repeats

    def _unmapped(self, shapes: Mapping[str, Shape], names: Iterable[str]) -> None:
        patterns = [rule.source.text for rule in self.layout.rules if rule.source is not None]
        for name in names:
            near = self._like(name, patterns)
            fix = "add a rule for it, or ignore it" + (f"; it is like '{near}'" if near else "")
            self._add("W401", f"nothing is made of '{name}' {show(shapes[name])}", None, fix)

    def _unfilled(self, rules: list[Rule]) -> None:
        texts = [rule.target.text for rule in rules if rule.target is not None]
        for name, shape in self.targets.shapes.items():
            if name not in self.made_by:
                near = self._like(name, texts)
                fix = f"the rule to '{near}' is like it" if near else None
                if len(self.targets.shapes) < len(self.targets.graph.state):
                    fix = f"if it starts anew: new: {re.sub(r'[.]layers[.][0-9]+', '.layers.*', name)}"
                self._add("W402", f"'{name}' {show(shape)} is made of nothing", None, fix)

    def _no_such_target(self, instance: Instance, name: str) -> None:
        if (owner := self.targets.owner(name)) in self.targets.graph.state:
            where = (
                "which is new" if owner in self.targets.new else "which no part of the map holds"
            )
            why = f"{self._sources(instance)} becomes '{name}', {where}"
            self._add("W404", why, instance.rule, f"ignore {self._sources(instance)}, or fill it")
            return
        near = self._like(name, self.targets.shapes)
        fix = f"did you mean '{near}'?" if near else None
        why = f"{self._sources(instance)} becomes '{name}', which the model does not have"
        self._add("W404", why, instance.rule, fix)

    def _like(self, name: str, choices: Iterable[str]) -> str | None:
        """The choice most like a name; looked for once for names that differ in numbers only."""
        key = re.sub(r"\d+", "0", name)
        if key not in self.guesses:
            self.guesses[key] = next(iter(nearest(name, choices)), None)
        return self.guesses[key]

    def _names(self, instance: Instance) -> str:
        return f"{self._sources(instance)} -> {_quoted(instance.targets)}"

    def _sources(self, instance: Instance) -> str:
        return _quoted(instance.sources) or f"the number {instance.rule.fill}"

    def _add(self, code: str, message: str, rule: Rule | None, fix: str | None = None) -> None:
        self.problems.append(Problem(code, message, rule.span if rule else None, fix=fix))


def _operations(
    instance: Instance, targets: Targets, layout: Layout, given: list[Shape] | None
) -> Iterable[Operation]:
    """The operations of a rule, in their order, from the source to the target.

    `given` are the shapes of the sources, where these are known. Raises OperationError.
    """
    rule = instance.rule
    if rule.fill is not None:
        yield Fill(rule.fill, targets.shapes[targets.owner(instance.targets[0])])
        return
    sizes = _sizes(instance, targets, layout)
    done: list[Operation] = []
    if rule.unstack is not None:
        done.append(Unstack(rule.unstack.axis, instance.count))
    if rule.transpose:
        done.append(Transpose())
    yield from done
    if rule.slice is not None:
        yield _slice(rule.slice, sizes, _after(done, given))
    if rule.rearrange is not None:
        yield Rearrange(rule.rearrange, {n: whole_number(v, sizes) for n, v in rule.sizes.items()})
    if rule.split is not None:
        yield Split(*_parts(rule.split, sizes))
    if rule.join is not None:
        yield Join(*_parts(rule.join, sizes))
    if rule.stack is not None:
        yield Stack(rule.stack.axis, instance.count)


def _after(operations: list[Operation], given: list[Shape] | None) -> list[Shape] | None:
    """The shapes that operations make, where those that they are given are known."""
    for operation in operations:
        given = None if given is None else operation.shapes(given)
    return given


def _sizes(instance: Instance, targets: Targets, layout: Layout) -> dict[str, int]:
    """The numbers that a rule's expressions may use; those around the first target hold."""
    sizes: dict[str, int] = {}
    for name in reversed(instance.targets):
        sizes |= targets.sizes(name)
    return sizes | {name: n for name, n in layout.parameters.items() if type(n) is int}


def _slice(fields: SliceFields, sizes: Mapping[str, int], given: list[Shape] | None) -> Slice:
    """The range that is kept; of a source that is not known, all up to its end."""
    start, stop = (whole_number(number, sizes) for number in (fields.start, fields.stop))
    if given is None:
        return Slice(fields.axis, start, stop, stop)
    if fields.axis >= len(given[0]):
        raise OperationError(f"{show(given[0])} has no axis {fields.axis}")
    return Slice(fields.axis, start, stop, given[0][fields.axis])


def _parts(parts: PartsFields, sizes: Mapping[str, int]) -> tuple[int, int, tuple[int, ...]]:
    numbers = tuple(whole_number(part, sizes) for part in parts.parts.values())
    return parts.axis, whole_number(parts.groups, sizes), numbers


def _quoted(names: Iterable[str]) -> str:
    several = list(names)
    return ", ".join(f"'{name}'" for name in several[:3]) + (", ..." if len(several) > 3 else "")  # noqa: PLR2004
