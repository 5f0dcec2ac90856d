"""What a stack depends on, and leaks: a causal stack must not be shown its own future."""

from __future__ import annotations

from collections.abc import Mapping

from composer.diagnostics import Note
from composer.language.spec import (
    CrossSpec,
    ParallelSpec,
    SkipSpec,
    StackSpec,
)

from .graph import State, Value
from .infer import How, Sees, merge_sees, see_all
from .layers import LayerBuilder
from .placing import Placing

Connection = CrossSpec | ParallelSpec | SkipSpec


def sees(
    spec: StackSpec, value: Value, builder: LayerBuilder, *, causal: bool, guarded: bool
) -> Sees:
    """What the states depend on; a `guarded` stack must not be shown what its input hides."""
    sees: Sees = {}
    merge_sees(sees, value.sees if causal else see_all(value.sees))
    past = [name for name, how in sees.items() if how == "past"]
    for connection, state, aligned in builder.outside():
        read = _seen(state, builder)
        more = read if aligned and causal else see_all(read)
        for name in past:
            if guarded and more.get(name) == "all":
                hidden = read.get(name) == "past"
                _report_leak(spec, connection, state, name, builder.placing, hidden=hidden)
        merge_sees(sees, more)
    return sees


def _seen(state: State, builder: LayerBuilder) -> Mapping[str, How]:
    """What a state depends on; of a stack in step that is not built yet, by its spec."""
    placing = builder.placing
    value = placing.value(state)
    if value is not None:
        return value.sees
    spec = placing.wires.parts[state.part]
    if state.part == builder.spec.name or not isinstance(spec, StackSpec):
        return {}
    (source,) = placing.wires.sources[state.part]["x"]
    read = placing.value(source)
    if read is None:
        return {}
    return see_all(read.sees) if _sees_future(spec) else read.sees


def _sees_future(spec: StackSpec) -> bool:
    """Whether a stack's own layers let a step see later ones."""
    for layer in spec.types.values():
        for branch in layer.branches:
            for body in branch.branches or (branch,):
                component = None if body.made is None else body.made.component
                causal = getattr(component, "causal", None)
                causal = spec.role == "decoder" if causal is None else causal
                if component is not None and component.mixes_time and not causal:
                    return True
    return False


def _report_leak(
    spec: StackSpec,
    connection: Connection,
    state: State,
    name: str,
    placing: Placing,
    *,
    hidden: bool,
) -> None:
    """A causal stack that is shown what it must not see; `hidden` if what it reads does not see it."""
    part = state.part
    own_role = (
        f"make '{spec.name}' an encoder" if spec.role == "decoder" else "leave out its causal"
    )
    fixes = ["let them read different inputs", own_role]
    causal = not isinstance(connection, SkipSpec)
    if hidden and causal:
        fixes.insert(0, "add causal: true")
    elif getattr(placing.wires.parts[part], "role", "") == "encoder":
        fixes.insert(1, f"make '{part}' a decoder" + (", read with causal: true" if causal else ""))
    span = placing.wires.places.get((spec.name, part), connection.tree.span)
    placing.problems.add(
        "G208",
        f"'{spec.name}' is causal over '{name}' but reads '{part}', which shows it all of '{name}'",
        span,
        [Note(f"'{part}' is written here", placing.wires.span_of(part))],
        ", or ".join(fixes),
    )
