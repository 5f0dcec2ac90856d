"""Where a graph is cut into stages: where its spec says, or so that stages cost about the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from composer.diagnostics import Problems, Span
from composer.language.document import value_span
from composer.language.parallel import Parallelism
from composer.language.spec import ModelSpec
from composer.language.validate import guess
from composer.shapes import Size, evaluate, lengths_in

from .graph import Graph, Stack
from .steps import Step, steps

_LENGTH = 512  # steps of every open length when costs are compared


def starts(graph: Graph, count: int, cuts: Sequence[str] | None) -> list[int]:
    """The numbers of the steps with which the later of `count` stages begin.

    With `cuts` these are the steps of these names; without, the most expensive stage is as cheap as
    can be, by the operations of a forward pass.

    Raises ValueError where there are fewer steps, and where `cuts` make another number of stages.
    """
    found = steps(graph)
    if cuts is not None:
        numbers = _numbers(found)
        made = sorted({numbers[name] for name in cuts if name in numbers} - {0})
        if len(made) != count - 1:
            msg = f"cuts at {', '.join(cuts) or 'nothing'} do not make {count} stages"
            raise ValueError(msg)
        return made
    if count > len(found):
        msg = f"'{graph.name}' runs in {len(found)} steps, too few for {count} stages"
        raise ValueError(msg)
    return _balanced([_cost(step, graph) for step in found], count)


def check_cuts(spec: ModelSpec, graph: Graph, problems: Problems) -> None:
    """Adds a problem for each cut of a spec that is nowhere, and for more stages than steps."""
    if spec.parallel is None:
        return
    _check_microbatches(spec, spec.parallel, problems)
    found = steps(graph)
    if spec.parallel.pp.cuts is None:
        _check_count(spec, spec.parallel.mesh.pp, len(found), problems)
        return
    numbers = _numbers(found)
    seen: dict[int, str] = {}
    for index, name in enumerate(spec.parallel.pp.cuts):
        span = value_span(spec.tree, ("parallel", "pp", "cuts", index))
        number = numbers.get(name)
        if number is None:
            _report_unknown(name, graph, numbers, span, problems)
        elif number == 0:
            why = f"a cut at '{name}' leaves nothing to the first stage"
            problems.add("G230", why, span, fix="remove it, or name a later layer")
        elif number in seen:
            why = f"there is a cut at '{seen[number]}' already"
            problems.add("G230", why, span, fix="remove one of them")
        else:
            seen[number] = name


def _numbers(found: Sequence[Step]) -> dict[str, int]:
    """The number of each step by each of its names."""
    return {name: number for number, step in enumerate(found) for name in step.names()}


def _check_count(spec: ModelSpec, count: int, most: int, problems: Problems) -> None:
    if count > most:
        span = value_span(spec.tree, ("parallel", "mesh", "pp"))
        why = f"the mesh has {count} stages, but the model runs in {most} steps"
        problems.add("G230", why, span, fix=f"pp: {most}, or fewer")


def _check_microbatches(spec: ModelSpec, asked: Parallelism, problems: Problems) -> None:
    """A batch divides into its microbatches; `1f1b` has one at least for each stage."""
    stages, pp = asked.mesh.pp, asked.pp
    span = value_span(spec.tree, ("parallel", "pp", "microbatches"))
    count = pp.microbatches or stages
    if pp.microbatches is not None and pp.schedule == "1f1b" and count < stages:
        why = f"1f1b wants a microbatch for each of the {stages} stages, not {count}"
        problems.add("C115", why, span, fix=f"microbatches: {stages}, or schedule: gpipe")
    if stages == 1 or spec.train is None:
        return
    share, left = divmod(spec.train.batch_size, asked.mesh.dp)
    if not left and share % count:
        of = "" if asked.mesh.dp == 1 else f", {share} of each copy,"
        why = f"a batch of {spec.train.batch_size}{of} does not divide into {count} microbatches"
        fix = f"batch_size: {max(share // count, 1) * count * asked.mesh.dp}"
        problems.add("C115", why, span, fix=fix)


def _report_unknown(
    name: str, graph: Graph, numbers: dict[str, int], span: Span, problems: Problems
) -> None:
    stack = graph.parts.get(name.split(".", maxsplit=1)[0])
    if isinstance(stack, Stack):
        why = f"no cut can be at '{name}': '{stack.name}' has layers 0 to {len(stack.layers) - 1}"
        problems.add("G230", why, span, fix=f"{stack.name}.layers.{len(stack.layers) // 2}")
        return
    fix = guess(name, numbers) or "name a layer or a module: decoder.layers.6"
    problems.add(
        "G230", f"no cut can be at '{name}', which is no layer, module or head", span, fix=fix
    )


def _cost(step: Step, graph: Graph) -> int:
    """Operations of a forward pass through a step, for one example of a usual length."""
    total: Size = 0
    for name in step.parts:
        part = graph.parts[name]
        if isinstance(part, Stack):
            nodes = list(part.layers[step.layer or 0].kind.nodes())
        else:
            nodes = [node for path, node in graph.nodes() if path == name]
        for node in nodes:
            total = total + node.placed.flops()
    return evaluate(total, dict.fromkeys(lengths_in(total), _LENGTH) | {"batch": 1})


def _balanced(costs: Sequence[int], count: int) -> list[int]:
    """Bounds between `count` ranges of `costs`, such that the largest sum is as small as can be."""
    before = [0, *accumulate(costs)]
    best = {end: (before[end], [end]) for end in range(1, len(costs) + 1)}
    for ranges in range(2, count + 1):
        best = {
            end: min(
                (max(best[at][0], before[end] - before[at]), [*best[at][1], end])
                for at in range(ranges - 1, end)
            )
            for end in range(ranges, len(costs) + 1)
        }
    bounds = best[len(costs)][1]
    assert all(a < b for a, b in pairwise(bounds)), "no range is empty"
    return bounds[:-1]
