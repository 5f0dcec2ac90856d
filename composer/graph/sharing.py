"""Sharing: which tensors are one, and which name is the first of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from composer.diagnostics import Note, Problems, Span
from composer.language.document import value_span
from composer.language.spec import ModelSpec, SharedSpec
from composer.shapes import show

from .graph import Module, Output, Part, Share, Stack

Tensors = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Shared:
    """What `share` finds: parts whose layers know their set, groups for people, and aliases."""

    parts: dict[str, Part]
    shares: tuple[Share, ...]
    aliases: dict[str, str]


def share(spec: ModelSpec, parts: Mapping[str, Part], problems: Problems) -> Shared:
    """Applies every `shared` connection; the first name of a tensor owns it."""
    made = dict(parts)
    shares: list[Share] = []
    links: list[tuple[str, str]] = []
    for connection in spec.connections:
        if not isinstance(connection, SharedSpec):
            continue
        if connection.within is not None:
            found = _within(connection, made, links, problems)
        else:
            found = _between(connection, made, links, problems)
        if found is not None:
            shares.append(found)
    return Shared(made, tuple(shares), _aliases(links, made))


def _within(
    spec: SharedSpec, parts: dict[str, Part], links: list[tuple[str, str]], problems: Problems
) -> Share | None:
    span = value_span(spec.tree, ("within",))
    assert spec.within is not None
    match = re.fullmatch(r"(\w+)\.layers(?:\.\*\.([\w.]+))?", spec.within)
    stack = parts.get(match[1]) if match else None
    if match is None or not isinstance(stack, Stack):
        stacks = ", ".join(name for name, part in parts.items() if isinstance(part, Stack))
        problems.add(
            "G205", f"'{spec.within}' is not the layers of a stack", span,
            fix=f"within: STACK.layers or STACK.layers.*.PART (stacks: {stacks})",
        )  # fmt: skip
        return None
    count = len(stack.layers)
    every = count if spec.every == "all" else int(spec.every or 1)
    if count % every:
        problems.add(
            "G205", f"{count} layers do not divide into sets of {every}", value_span(spec.tree, ("every",))
        )
        return None
    owners = [index - index % every for index in range(count)]
    part = match[2]
    if part is None:
        if any(stack.layers[i].kind is not stack.layers[owner].kind for i, owner in enumerate(owners)):
            problems.add("G205", "layers of different types cannot be one", span, fix="share layers of one type")
            return None
        parts[stack.name] = replace(stack, layer_sets=tuple(owners))
    else:
        tensors = _all_tensors(stack)
        for index, owner in enumerate(owners):
            pair = (f"{stack.name}.layers.{owner}.{part}", f"{stack.name}.layers.{index}.{part}")
            if index != owner and not _link(pair, tensors, links, span, problems, strict=True):
                return None
        if not _below(f"{stack.name}.layers.0.{part}", tensors):
            _nothing(spec.within, tensors, span, problems)
            return None
    return Share((spec.within,), spec.tree.span)


def _between(
    spec: SharedSpec, parts: Mapping[str, Part], links: list[tuple[str, str]], problems: Problems
) -> Share | None:
    tensors: dict[str, tuple[int, ...]] = {}
    lists: list[list[str]] = []
    for index, path in enumerate(spec.paths):
        span = value_span(spec.tree, (index,))
        name = path.split(".")[0]
        part = parts.get(name)
        if part is None:
            problems.add("G201", f"nothing is called '{name}'", span, fix=f"names: {', '.join(parts)}")
            return None
        tensors |= _all_tensors(part)
        expanded = _expand(path, part)
        if expanded is None or not any(_below(prefix, tensors) for prefix in expanded):
            _nothing(path, tensors, span, problems)
            return None
        lists.append(expanded)
    whole = all(path.endswith(".layers") for path in spec.paths)
    for index, column in enumerate(lists[1:], 1):
        span = value_span(spec.tree, (index,))
        if len(column) != len(lists[0]):
            problems.add(
                "G205", f"'{spec.paths[index]}' are {len(column)}, '{spec.paths[0]}' are {len(lists[0])}", span,
                fix="share stacks of equally many layers",
            )  # fmt: skip
            return None
        for first, other in zip(lists[0], column, strict=True):
            if not _link((first, other), tensors, links, span, problems, strict=not whole):
                return None
    return Share(spec.paths, spec.tree.span)


def _expand(path: str, part: Part) -> list[str] | None:
    """The prefixes that a path stands for: one, or one for each layer."""
    match = re.fullmatch(r"(\w+)\.layers(?:\.\*)?(\..+)?", path)
    if match is None or not isinstance(part, Stack) or re.match(r"\.\d", match[2] or ""):
        return None if "*" in path else [path]
    return [f"{match[1]}.layers.{n}{match[2] or ''}" for n in range(len(part.layers))]


def _link(
    pair: tuple[str, str], tensors: Tensors, links: list[tuple[str, str]], span: Span,
    problems: Problems, *, strict: bool,
) -> bool:  # fmt: skip
    """Links the tensors below two prefixes that have the same names below them."""
    first, other = (_below(prefix, tensors) for prefix in pair)
    common = [suffix for suffix in first if suffix in other]
    alone = sorted(set(first) ^ set(other))
    for suffix in common:
        if first[suffix] != other[suffix]:
            problems.add(
                "G205", f"'{pair[1]}{suffix}' is {show(other[suffix])}, but '{pair[0]}{suffix}' is "
                f"{show(first[suffix])}", span, fix="only what has one shape can be one",
            )  # fmt: skip
            return False
    matrices = [suffix for suffix in common if suffix.endswith("weight")]
    if not common or (strict and alone and not (matrices and all(s.endswith("bias") for s in alone))):
        missing = f": {', '.join(s.lstrip('.') for s in alone[:3])} is in one only" if alone else ""
        problems.add("G205", f"'{pair[0]}' and '{pair[1]}' are unlike{missing}", span, [Note("both must have the same parts")])
        return False
    links += [(pair[0] + suffix, pair[1] + suffix) for suffix in common]
    return True


def _below(prefix: str, tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Tensors below a prefix, by what follows it."""
    return {
        name[len(prefix) :]: shape
        for name, shape in tensors.items()
        if name == prefix or name.startswith(prefix + ".")
    }


def _nothing(path: str, tensors: Tensors, span: Span, problems: Problems) -> None:
    name = path.split(".")[0]
    known = dict.fromkeys(
        re.sub(r"\.layers\.\d+\.", ".layers.*.", tensor).rsplit(".", 1)[0] for tensor in tensors
        if tensor.startswith(name + ".")
    )  # fmt: skip
    problems.add(
        "G205", f"'{path}' holds no parameters", span,
        fix=f"parts: {', '.join(list(known)[:8])}" if known else None,
    )  # fmt: skip


def _all_tensors(part: Part) -> dict[str, tuple[int, ...]]:
    """Every tensor of a part by its full name, each layer with its own."""
    found: dict[str, tuple[int, ...]] = {}
    if isinstance(part, Stack):
        whole = replace(part, layer_sets=tuple(range(len(part.layers))))
        nodes = [(f"{part.name}.{path}", node) for path, node in whole.nodes()]
    elif isinstance(part, Module):
        nodes = [(part.name, part.node)]
    elif isinstance(part, Output) and part.head is not None:
        nodes = [(part.name, part.head)]
    else:
        nodes = []
    for path, node in nodes:
        found |= {f"{path}.{name}": shape for name, shape in node.placed.tensors.items()}
    return found


def _aliases(links: list[tuple[str, str]], parts: Mapping[str, Part]) -> dict[str, str]:
    """First name of every tensor that has several, by each further one."""
    owner: dict[str, str] = {}

    def find(name: str) -> str:
        name = _set_owner(name, parts)
        while name in owner:
            name = owner[name]
        return name

    for first, other in links:
        a, b = find(first), find(other)
        if a != b:
            owner[b] = a
    names = dict.fromkeys(_set_owner(other, parts) for _, other in links)
    return {name: find(name) for name in names if find(name) != name}


def _set_owner(name: str, parts: Mapping[str, Part]) -> str:
    """A tensor's name in the first layer of its set."""
    match = re.match(r"(\w+)\.layers\.(\d+)\.", name)
    stack = parts.get(match[1]) if match else None
    if match is None or not isinstance(stack, Stack):
        return name
    first = stack.layer_sets[int(match[2])]
    return f"{match[1]}.layers.{first}.{name[match.end() :]}"
