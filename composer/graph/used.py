"""Everything that a spec says must lead to an output."""

from __future__ import annotations

from composer.diagnostics import Problems
from composer.language.defaults import own
from composer.language.document import value_span
from composer.language.spec import OutputSpec, StackSpec

from .wires import Wires


def check_used(wires: Wires, problems: Problems) -> None:
    """Adds a problem for every part at the end of a way that leads to no output."""
    reads = {name: {state.part for state in wires.reads(name)} for name in wires.parts}
    used: set[str] = set()
    waiting = [name for name, part in wires.parts.items() if isinstance(part, OutputSpec)]
    while waiting:
        name = waiting.pop()
        waiting += reads[name] - used
        used |= {name, *reads[name]}
    for name in wires.parts:
        readers = {reader for reader, read in reads.items() if name in read}
        if name in used or readers - set(wires.lockstep.get(name, (name,))):
            continue  # or it is only read by what leads nowhere itself
        why = "only stacks in step with it read it" if readers - {name} else "nothing reads it"
        problems.add(
            "G202",
            f"'{name}' leads to no output: {why}",
            wires.span_of(name),
            fix=f"remove it, or add an output that reads it: {{from: {name}}}",
        )


def check_layers_used(wires: Wires, problems: Problems) -> None:
    """Adds a problem where layers after the last one that is read would be there for nothing."""
    read: dict[str, set[int | None]] = {}
    for name in wires.parts:
        for state in wires.reads(name):
            part = wires.parts[state.part]
            if isinstance(part, StackSpec):
                number = part.num_layers - 1 if state.item == "mix" else state.layer
                read.setdefault(state.part, set()).add(number)
    for name, numbers in read.items():
        stack = wires.parts[name]
        assert isinstance(stack, StackSpec)
        if None not in numbers:
            top = max(n for n in numbers if n is not None)
            wires.used_layers[name] = top
            _check_top(stack, top, wires, problems)


def _check_top(stack: StackSpec, top: int, wires: Wires, problems: Problems) -> None:
    last = stack.num_layers - 1
    if top < last:
        rest = f"layer {last}" if top + 1 == last else f"layers {top + 1} to {last}"
        verb = "leads" if top + 1 == last else "lead"
        span = value_span(stack.tree, ("num_layers",))
        if own(stack.tree, "num_layers", wires.spec.tree) is None:
            span = stack.span
        problems.add(
            "G202",
            f"{rest} of '{stack.name}' {verb} to no output: only its states up to layer {top} are read",
            span,
            fix=f"num_layers: {top + 1}",
        )
    elif own(stack.tree, "final_norm", wires.spec.tree) and stack.final_norm is not None:
        problems.add(
            "G202",
            f"the final norm of '{stack.name}' leads to no output: only the states of its layers are read",
            value_span(stack.tree, ("final_norm",)),
            fix="final_norm: false",
        )
