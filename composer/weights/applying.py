"""Carrying out a plan: a source's tensors become a graph's, and back, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .errors import weight_error
from .operations import OperationError
from .planning import Plan, Step

if TYPE_CHECKING:
    from torch import Tensor

Read = Callable[[str], "Tensor"]


def apply(plan: Plan, read: Read) -> dict[str, Tensor]:
    """The tensors of the graph by name; `read` gives a tensor of the source, each asked once.

    Raises WeightError where two names of one tensor disagree.
    """
    made: dict[str, Tensor] = {}
    aliases = _aliases(plan)
    for step in sorted(plan.steps, key=lambda step: step.repeats):
        for name, tensor in zip(step.targets, _forward(step, read, aliases), strict=True):
            if name not in made:
                made[name] = owned(tensor)
            elif not _equal(made[name], tensor):
                raise weight_error(
                    "W406", f"'{step.sources[0]}' and another tensor are both '{name}', but differ"
                )
    for second, main in plan.ties.items():
        first = aliases.get(main, main)
        if first != second and not _equal(read(second), read(first)):
            raise weight_error("W406", f"'{second}' and '{first}' are one tensor, but differ")
    return {name: made[name] for name in plan.targets}


def export(plan: Plan, read: Read) -> dict[str, Tensor]:
    """The tensors of the source by name; `read` gives a tensor of the graph.

    Second names that the source had are there again; what it had and nobody needs is not.
    """
    made: dict[str, Tensor] = {}
    for step in plan.steps:
        tensors = [read(name) for name in step.targets]
        try:
            for operation in reversed(step.operations):
                tensors = operation.inverse().run(tensors)
        except OperationError as error:
            raise weight_error("W407", f"'{step.targets[0]}' cannot go back: {error}") from None
        made |= {name: owned(t) for name, t in zip(step.sources, tensors, strict=True)}
    for second, main in plan.ties.items():
        made[second] = owned(made[main].clone())
    return {name: made[name] for name in plan.sources if name in made}


def _aliases(plan: Plan) -> dict[str, str]:
    """For each tied source that is not there the second name that is read for it."""
    missing = [(main, name) for name, main in plan.ties.items() if main not in plan.sources]
    return dict(reversed(missing))


def _forward(step: Step, read: Read, aliases: dict[str, str]) -> Iterator[Tensor]:
    tensors = [read(aliases.get(name, name)) for name in step.sources]
    kinds = {tensor.dtype for tensor in tensors}
    if len(kinds) > 1:
        words = " and ".join(sorted(str(kind) for kind in kinds))
        raise weight_error(
            "W406", f"'{step.sources[0]}' and those it is put together with are {words}"
        )
    for operation in step.operations:
        tensors = operation.run(tensors)
    yield from tensors


def owned(tensor: Tensor) -> Tensor:
    """The tensor in memory of its own, in the usual order, so that it can be saved."""
    tensor = tensor.detach().contiguous()
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if whole else tensor.clone()


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    both_nan = (one != one) & (other != other)  # noqa: PLR0124 - what is not a number is not itself
    return bool(((one == other) | both_nan).all())
