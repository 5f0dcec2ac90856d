"""The spec of a smaller model: the same one with other sizes, every option written out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from composer.graph.graph import Graph
from composer.language.check import check
from composer.language.document import plain, to_yaml
from composer.language.load import parse
from composer.language.spec import ModelSpec
from composer.targets.expand import expand

from .errors import compression_error

Data = dict[str, Any]

_SECTIONS = ("connections", "outputs", "modules", "adapt", "freeze", "compress")
_LOST = {"weights", "sizes"}  # maps of weights are those of the model before


def read_text(text: str) -> ModelSpec:
    """The checked spec that a text is."""
    return check(parse(text, "<smaller>"))


def whole_text(spec: ModelSpec, graph: Graph) -> str:
    """The text of a spec with every option written out, and no maps of weights."""
    return to_yaml(_whole(spec, graph))


def with_sizes(
    spec: ModelSpec, graph: Graph, kinds: Sequence[str], option: str, counts: Mapping[str, int]
) -> str:
    """The text of a spec in which every component of `kinds` in some stacks has fewer of an option.

    Fewer `num_heads` are fewer groups, each as large as before.
    """
    data = _whole(spec, graph)
    for stack, count in counts.items():
        for body in _components(_stack(data, stack), kinds):
            for inner in _inside(body):
                inner.pop("num_heads", None)  # positions and norms of heads have those around them
            if option == "num_heads":
                body["num_kv_heads"] = count * body["num_kv_heads"] // body["num_heads"]
            if option == "d_ff":
                body.pop("multiple_of", None)
            body[option] = count
    return to_yaml(data)


def with_layers(spec: ModelSpec, graph: Graph, stack: str, kept: Sequence[int]) -> str:
    """The text of a spec in which a stack has some of its layers only.

    Raises CompressionError where the spec names a layer of the stack by its number.
    """
    data = _whole(spec, graph)
    for section in _SECTIONS:
        found = re.search(rf"\b{stack}\.layers\.\(?\d+", to_yaml({section: data.get(section)}))
        if found:
            why = f"'{section}' names '{found[0]}', which would be another layer"
            raise compression_error("Q705", f"the layers of '{stack}' cannot be cut: {why}")
    own = _stack(data, stack)
    own["num_layers"] = len(kept)
    if "layer_types" in own:
        cycle = own["layer_types"]
        own["layer_types"] = [cycle[number % len(cycle)] for number in kept]
        own["types"] = {n: t for n, t in own["types"].items() if n in own["layer_types"]}
    return to_yaml(data)


def _whole(spec: ModelSpec, graph: Graph) -> Data:
    """Everything that a spec says, as plain data."""
    if spec.parametrization is not None:
        why = f"'{spec.parametrization.kind}' follows from the sizes of the model before"
        raise compression_error("Q705", f"a spec with a parametrization cannot be cut: {why}")
    data: Data = plain(parse(expand(spec, graph), "<expanded>"))
    return {key: value for key, value in data.items() if key not in _LOST}


def _stack(data: Data, name: str) -> Data:
    found: Data = {**data.get("encoders", {}), **data.get("decoders", {})}[name]
    return found


def _components(data: object, kinds: Sequence[str]) -> Iterator[Data]:
    """Components of some kinds, at any depth."""
    if isinstance(data, dict) and data.get("kind") in kinds:
        yield data
    elif isinstance(data, dict | list):
        for item in data.values() if isinstance(data, dict) else data:
            yield from _components(item, kinds)


def _inside(body: Data) -> Iterator[Data]:
    """Components that are options of a component."""
    yield from (value for value in body.values() if isinstance(value, dict))
