"""What a model can learn, read off its graph: which inputs are fed, which output is scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from composer.components.inputs import Tokens
from composer.graph.graph import Graph, Input, Output
from composer.language.train import Task
from composer.shapes import Shape, symbol

from .errors import training_error

COLUMNS: dict[Task, tuple[str, ...]] = {
    "language_modeling": ("text",),
    "sequence_to_sequence": ("source", "target"),
    "classification": ("text", "label"),
}
"""What one example of each task consists of."""

_WANTS: dict[Task, str] = {
    "language_modeling": "one input of tokens and scores of the next one that see no later one",
    "sequence_to_sequence": "two inputs of tokens and scores of the next one of the second",
    "classification": "one input of tokens and scores of classes for the whole",
}


@dataclass(frozen=True)
class Wiring:
    """A task, the inputs that it feeds in the order of its columns, and the output it scores."""

    task: Task
    inputs: tuple[Input, ...]
    output: Output

    @property
    def classes(self) -> int:
        """Number of classes that are scored."""
        last = self.output.value.shape[-1]
        assert isinstance(last, int), "scores are of a fixed number of classes"
        return last


def wiring(graph: Graph, wanted: Task | None = None) -> Wiring:
    """The task that a model fits, or how it fits the one that is wanted.

    Raises TrainingError where there is none, or more than one.
    """
    found = [one for one in _fitting(graph) if wanted in {None, one.task}]
    if not found:
        texts = [text for task, text in _WANTS.items() if wanted in {None, task}]
        raise training_error(
            "T502", f"'{graph.name}' has not {', nor '.join(texts)}",
            "train it in a loop of your own: a built model is a torch module",
        )  # fmt: skip
    if len(found) > 1:
        names = ", ".join(f"{one.task} of '{one.output.name}'" for one in found)
        raise training_error("T502", f"'{graph.name}' fits several tasks: {names}", "write task")
    return found[0]


def _fitting(graph: Graph) -> Iterator[Wiring]:
    """Every task for every output that fits it."""
    inputs = graph.inputs
    if not all(isinstance(one.node.component, Tokens) for one in inputs):
        return
    for output in graph.outputs:
        shape, sees = output.value.shape, output.value.sees
        past = [one for one in inputs if sees.get(one.name) == "past" and _scores(shape, one)]
        if len(inputs) == 1 and past:
            yield Wiring("language_modeling", (past[0],), output)
        elif len(inputs) == 2 and len(past) == 1:  # noqa: PLR2004 - a source and a target
            source = next(one for one in inputs if one is not past[0])
            if sees.get(source.name) == "all":
                yield Wiring("sequence_to_sequence", (source, past[0]), output)
        elif len(inputs) == 1 and len(shape) == 2 and isinstance(shape[-1], int):  # noqa: PLR2004
            yield Wiring("classification", (inputs[0],), output)


def _scores(shape: Shape, one: Input) -> bool:
    """Whether an output of this shape scores the vocabulary at each step of an input."""
    component = one.node.component
    assert isinstance(component, Tokens)
    steps = component.time(one.name)
    return shape == (symbol("batch"), steps, component.vocab_size)
