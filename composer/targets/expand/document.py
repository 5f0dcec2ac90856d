"""The spec with nothing left to defaults: every option written out, as the graph has it.

Reading the result gives the same model, and expanding it again the same text. It has no `dims`,
`defaults`, `extends` or `sizes`: what they said stands where it holds; maps of weights, too, are
whole, so that the text needs no file beside it. `distill`, which names one, is no part of the model
and not written. What is left out changes
nothing: an option that is none, a factor of 1. What a connection inserts (a projection, a
resampling, a mix of layers) is said in a comment above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from composer.components.placed import Placed
from composer.graph.graph import Graph, Memory, Module, Output, Skip, Stack
from composer.language.adapt import WHERE
from composer.language.document import to_yaml
from composer.language.freeze import FreezeSpec
from composer.language.paths import Chosen
from composer.language.spec import (
    AdaptSpec,
    CompressSpec,
    ConnectionSpec,
    CrossSpec,
    ModelSpec,
    ModuleSpec,
    ParallelSpec,
    SharedSpec,
    SkipSpec,
)

from .options import Data, options, placed_options
from .stacks import stack_data
from .weights import map_data


def expand(spec: ModelSpec, graph: Graph) -> str:
    """The YAML text of `spec`, whose graph is `graph`."""
    sections = [
        _head(spec),
        {"inputs": {part.name: placed_options(part.node.placed) for part in graph.inputs}},
        {"encoders": _stacks("encoder", spec, graph)},
        {"decoders": _stacks("decoder", spec, graph)},
        {"modules": {module.name: _module(module, graph) for module in spec.modules}},
    ]
    outputs = {output.name: _output(output.name, output.source, graph) for output in spec.outputs}
    end = [{"outputs": outputs}, {"initialization": placed_options(graph.initialization)}]
    end += (
        [{"weights": {n: map_data(each) for n, each in spec.weights.items()}}]
        if spec.weights
        else []
    )
    end += [{"freeze": _freeze(spec.freeze)}] if spec.freeze else []
    last: list[Data] = [{"adapt": [_adapter(each) for each in spec.adapt]}] if spec.adapt else []
    last += [{"compress": [_pass(each) for each in spec.compress]}] if spec.compress else []
    end += [{"train": spec.train.model_dump()}] if spec.train else []
    end += [{"parallel": spec.parallel.data()}] if spec.parallel else []
    texts = [to_yaml(section) for section in sections if all(section.values())]
    texts += [_connections(spec, graph)] if spec.connections else []
    return "\n".join([*texts, *(to_yaml(section) for section in [*end, *last])])


def _head(spec: ModelSpec) -> Data:
    about = {"description": spec.description, "cite": list(spec.cite)}
    known = {key: value for key, value in about.items() if value}
    return {"composer": 1, "name": spec.name, "title": spec.title, **known}


def _stacks(role: str, spec: ModelSpec, graph: Graph) -> Data:
    return {s.name: stack_data(s, _stack(s.name, graph)) for s in spec.stacks if s.role == role}


def _stack(path: str, graph: Graph) -> Stack:
    """The stack that a path begins with."""
    stack = graph.parts[path.split(".", maxsplit=1)[0]]
    assert isinstance(stack, Stack), f"'{path}' was resolved as a stack"
    return stack


def _module(spec: ModuleSpec, graph: Graph) -> Data:
    (_, read), *others = spec.sources.items()
    ports = {port: refs[0] for port, refs in others}
    made = placed_options(_placed(spec.name, graph))
    return {
        "kind": made.pop("kind"),
        "from": _one_or_list(read),
        **ports,
        **made,
        "mask": spec.mask,
    }


def _output(name: str, source: str, graph: Graph) -> Data:
    part = graph.parts[name]
    assert isinstance(part, Output), f"'{name}' was resolved as an output"
    return {
        "from": source,
        **({} if part.head is None else {"head": placed_options(part.head.placed)}),
    }


def _freeze(spec: FreezeSpec) -> Data:
    less = {"except": [path.text for path in spec.unless]} if spec.unless else {}
    return {"parts": [path.text for path in spec.parts], **less}


def _adapter(spec: AdaptSpec) -> Data:
    made = options(spec.made.component)
    return {made.pop("kind"): {"name": spec.name, WHERE[spec.slot]: _on(spec.chosen), **made}}


def _pass(spec: CompressSpec) -> Data:
    return {spec.options.kind: {**spec.options.model_dump(mode="json"), "on": _on(spec.chosen)}}


def _on(chosen: Chosen) -> Data | list[str]:
    paths = [path.text for path in chosen.paths]
    if not chosen.roles:
        return paths
    return {"role": list(chosen.roles), **({"in": paths} if paths else {})}


def _one_or_list(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


# Connections


def _connections(spec: ModelSpec, graph: Graph) -> str:
    lines = ["connections:"]
    for connection in spec.connections:
        lines += [f"  # {comment}" for comment in _inserted(connection, spec, graph)]
        item = to_yaml([_connection(connection, spec, graph)])
        lines += [f"  {line}" for line in item.splitlines()]
    return "\n".join(lines) + "\n"


def _connection(connection: ConnectionSpec, spec: ModelSpec, graph: Graph) -> Data:
    if isinstance(connection, CrossSpec):
        return {"cross": _cross(connection)}
    if isinstance(connection, SkipSpec):
        return {"skip": _skip(connection, spec, graph)}
    if isinstance(connection, ParallelSpec):
        return {"parallel": _parallel(connection, graph)}
    assert isinstance(connection, SharedSpec), "there are four connections"
    within = {"within": connection.within, "every": connection.every}
    return {"shared": list(connection.paths) or within}


def _cross(spec: CrossSpec) -> Data:
    layers = spec.layers if isinstance(spec.layers, str) else list(spec.layers)
    gate = {} if spec.gate is None else {"gate": options(spec.gate.component)}
    ends = {"from": _one_or_list(spec.sources), "to": spec.to, "layers": layers, **gate}
    return {**ends, "combine": spec.combine, "read": spec.read, "causal": spec.causal}


def _skip(connection: SkipSpec, spec: ModelSpec, graph: Graph) -> Data:
    pairs = connection.pairs
    listed = [list(pair) for pair in pairs] if isinstance(pairs, tuple) else pairs
    ends: Data = {"from": connection.source, "to": connection.to}
    made = _skip_made(connection, spec, graph)[1].combine
    return {
        **ends,
        **({} if pairs is None else {"pairs": listed}),
        "combine": placed_options(made.placed),
    }


def _parallel(spec: ParallelSpec, graph: Graph) -> Data:
    stacks: Data = {"stacks": list(spec.stacks)}
    if spec.output is not None:
        combine = placed_options(_placed(spec.output, graph))
        return {**stacks, "combine": combine, "output": spec.output}
    direction = {} if spec.direction is None else {"direction": " -> ".join(spec.direction)}
    return {**stacks, "exchange": spec.exchange, **direction, "causal": spec.causal}


# What connections insert


def _inserted(connection: ConnectionSpec, spec: ModelSpec, graph: Graph) -> Iterator[str]:
    if isinstance(connection, SkipSpec):
        yield from _by_skip(connection, spec, graph)
    elif isinstance(connection, CrossSpec):
        stack = _stack(connection.to, graph)
        read = {source.split(".")[0] for source in connection.sources}
        for memory in stack.memories:
            parts = {state.part for state in memory.sources}
            mixes = connection.read == "weighted" and memory.mix is not None and parts <= read
            joins = connection.combine == "flat" and memory.mix is None and parts == read
            if mixes or joins:
                yield from _by_memory(memory, stack.name)


def _by_memory(memory: Memory, stack: str) -> Iterator[str]:
    if memory.mix is not None:
        count, part = len(memory.sources), memory.sources[0].part
        yield f"inserts {stack}.{memory.mix.name}: a learned mix of the {count} states of {part}"
    for state, node in zip(memory.sources, memory.projects, strict=False):
        if node is not None:
            label = node.placed.component.label(node.placed.axes)
            yield f"inserts {stack}.{node.name}: {label.title} {label.detail}, on {state.part}"


def _by_skip(connection: SkipSpec, spec: ModelSpec, graph: Graph) -> Iterator[str]:
    stack = connection.to.split(".")[0]
    number, skip = _skip_made(connection, spec, graph)
    if skip.project is not None:
        label = skip.project.placed.component.label(skip.project.placed.axes)
        path = f"{stack}.layers.{number}.{skip.project.name}"
        yield f"inserts {path} and its like: {label.title} {label.detail}"
    if skip.resample:
        yield f"inserts a resampling of {connection.source} to the length of {stack}"


def _skip_made(connection: SkipSpec, spec: ModelSpec, graph: Graph) -> tuple[int, Skip]:
    """What the graph made of a skip, and the first layer that has it."""
    stack = _stack(connection.to, graph)
    ends = [c for c in spec.connections if isinstance(c, SkipSpec) and _stack(c.to, graph) is stack]
    at = next(index for index, other in enumerate(ends) if other is connection)
    argument = "skip" if len(ends) == 1 else f"skip_{at + 1}"
    return next(
        (number, skip)
        for number, layer in enumerate(stack.layers)
        for skip in layer.kind.skips
        if skip.argument == argument
    )


def _placed(name: str, graph: Graph) -> Placed:
    part = graph.parts[name]
    assert isinstance(part, Module), f"'{name}' was resolved as a module"
    return part.node.placed
