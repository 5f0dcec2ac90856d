"""Sharing: which tensors are one, and which name is the first of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.diagnostics import Note, Problems, Span
from composer.language.document import value_span
from composer.language.spec import ModelSpec, SharedSpec
from composer.language.validate import guess
from composer.language.wants import listed
from composer.shapes import show

from .graph import Part, Share, Stack
from .tensors import TensorNames, set_owner


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
    tensors = TensorNames()
    for connection in spec.connections:
        if not isinstance(connection, SharedSpec):
            continue
        if connection.within is not None:
            found = _within(connection, made, tensors, links, problems)
        else:
            found = _between(connection, made, tensors, links, problems)
        if found is not None:
            shares.append(found)
    return Shared(made, tuple(shares), _aliases(links, made))


def _within(
    spec: SharedSpec,
    parts: dict[str, Part],
    tensors: TensorNames,
    links: list[tuple[str, str]],
    problems: Problems,
) -> Share | None:
    """The layers of one stack, or a part of each, in sets that are one."""
    span = value_span(spec.tree, ("within",))
    assert spec.within is not None
    match = re.fullmatch(r"(\w+)\.layers(?:\.\*\.([\w.]+))?", spec.within)
    stack = parts.get(match[1]) if match else None
    if match is None or not isinstance(stack, Stack):
        _no_layers(spec.within, parts, span, problems)
        return None
    count = len(stack.layers)
    every = count if spec.every == "all" else int(spec.every or 1)
    if count % every:
        sizes = [n for n in range(2, count) if count % n == 0]
        problems.add(
            "G205",
            f"the {count} layers of '{stack.name}' do not divide into sets of {every}",
            value_span(spec.tree, ("every",)),
            fix="every: " + " or ".join([*map(str, sizes), "all"]),
        )
        return None
    if every == 1:
        problems.add(
            "G205",
            "sets of one layer share nothing",
            value_span(spec.tree, ("every",)),
            fix="remove it",
        )
        return None
    owners = [index - index % every for index in range(count)]
    part = match[2]
    if part is None:
        if any(
            stack.layers[i].kind is not stack.layers[owner].kind for i, owner in enumerate(owners)
        ):
            problems.add(
                "G205",
                f"layers of '{stack.name}' differ, so they cannot be one",
                span,
                [Note(f"'{stack.name}' is written here", stack.span)],
                f"share a part that they have in common: {{within: {stack.name}.layers.*.feed_forward, every: ...}}",
            )
            return None
        parts[stack.name] = replace(stack, layer_sets=tuple(owners))
    else:
        tensors.add(stack)
        if not any(tensors.below(f"{stack.name}.layers.{index}.{part}") for index in range(count)):
            _nothing(spec.within, stack, tensors, span, problems)
            return None
        for index, owner in enumerate(owners):
            pair = (f"{stack.name}.layers.{owner}.{part}", f"{stack.name}.layers.{index}.{part}")
            if index != owner and not _link(pair, tensors, links, span, problems, strict=True):
                return None
    return Share((spec.within,), spec.tree.span)


def _no_layers(path: str, parts: Mapping[str, Part], span: Span, problems: Problems) -> None:
    """A path that names the layers of no stack."""
    stacks = [name for name, part in parts.items() if isinstance(part, Stack)]
    name = path.split(".", maxsplit=1)[0]
    if name not in parts:
        fix = guess(name, stacks) or f"stacks: {listed(stacks)}"
        problems.add("G201", f"nothing is called '{name}'", span, fix=fix)
        return
    fix = f"within: {name}.layers" if name in stacks else f"stacks: {listed(stacks)}"
    problems.add("G205", f"'{path}' is not the layers of a stack", span, fix=fix)


def _between(
    spec: SharedSpec,
    parts: Mapping[str, Part],
    tensors: TensorNames,
    links: list[tuple[str, str]],
    problems: Problems,
) -> Share | None:
    """Several paths that are one, their layers one by one."""
    lists: list[list[str]] = []
    found = len(problems)
    for index, path in enumerate(spec.paths):
        span = value_span(spec.tree, (index,))
        name = path.split(".")[0]
        part = parts.get(name)
        if part is None:
            fix = guess(name, parts) or f"names: {listed(parts)}"
            problems.add("G201", f"nothing is called '{name}'", span, fix=fix)
            continue
        tensors.add(part)
        expanded = _expand(path, part)
        if expanded is None or not any(tensors.below(prefix) for prefix in expanded):
            _nothing(path, part, tensors, span, problems)
        else:
            lists.append(expanded)
    if len(problems) > found:
        return None
    whole = all(path.endswith(".layers") for path in spec.paths)
    for index, column in enumerate(lists[1:], 1):
        span = value_span(spec.tree, (index,))
        if len(column) != len(lists[0]):
            counts = (f"'{spec.paths[i]}' is {len(lists[i])}" for i in (0, index))
            problems.add(
                "G205",
                f"only as many parts can be shared one by one: {', '.join(counts)}",
                span,
                fix="share stacks of equally many layers",
            )
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
    pair: tuple[str, str],
    tensors: TensorNames,
    links: list[tuple[str, str]],
    span: Span,
    problems: Problems,
    *,
    strict: bool,
) -> bool:
    """Links the tensors below two prefixes that have the same names below them."""
    first, other = (tensors.below(prefix) for prefix in pair)
    common = [suffix for suffix in first if suffix in other]
    alone = sorted(set(first) ^ set(other))
    for suffix in common:
        if first[suffix] != other[suffix]:
            problems.add(
                "G205",
                f"'{pair[1]}{suffix}' is {show(other[suffix])}, but '{pair[0]}{suffix}' is "
                f"{show(first[suffix])}",
                span,
                fix="only what has one shape can be one",
            )
            return False
    matrices = [suffix for suffix in common if suffix.endswith("weight")]
    if not common or (
        strict and alone and not (matrices and all(s.endswith("bias") for s in alone))
    ):
        missing = f": only one has {', '.join(s.lstrip('.') for s in alone[:3])}" if alone else ""
        problems.add(
            "G205",
            f"'{pair[0]}' and '{pair[1]}' are unlike{missing}",
            span,
            fix="name parts that have the same inside",
        )
        return False
    links += [(pair[0] + suffix, pair[1] + suffix) for suffix in common]
    return True


def _nothing(path: str, part: Part, tensors: TensorNames, span: Span, problems: Problems) -> None:
    """A path at which there are no parameters."""
    name = path.split(".", maxsplit=1)[0]
    number = re.match(r"\w+\.layers\.(\d+)", path)
    if number is not None and isinstance(part, Stack) and int(number[1]) >= len(part.layers):
        last = len(part.layers) - 1
        message = f"'{name}' has no layer {int(number[1])}, only 0 to {last}"
        problems.add("G205", message, span, fix=f"a layer from 0 to {last}")
        return
    known = dict.fromkeys(
        prefix
        for suffix in tensors.below(name)
        for prefix in _prefixes(name + re.sub(r"^\.layers\.\d+\.", ".layers.*.", suffix))
    )
    plain = re.sub(r"\.layers\.\d+\b", ".layers.*", path)
    hint = guess(plain, known)
    if hint and number is not None:
        hint = hint.replace(".layers.*", f".layers.{number[1]}")
    parts = [prefix for prefix in known if prefix.count(".") == 1 + 2 * (".layers." in prefix)]
    fix = hint or (f"parts: {listed(parts, 8)}" if parts else None)
    problems.add("G205", f"'{path}' holds no parameters", span, fix=fix)


def _prefixes(tensor: str) -> Iterator[str]:
    """Everything that a tensor is a part of, below its stack or module."""
    words = tensor.split(".")
    for count in range(2, len(words)):
        if words[:count][-1] not in {"layers", "*"}:
            yield ".".join(words[:count])


def _aliases(links: list[tuple[str, str]], parts: Mapping[str, Part]) -> dict[str, str]:
    """First name of every tensor that has several, by each further one."""
    owner: dict[str, str] = {}

    def find(name: str) -> str:
        name = set_owner(name, parts)
        while name in owner:
            name = owner[name]
        return name

    for first, other in links:
        a, b = find(first), find(other)
        if a != b:
            owner[b] = a
    names = dict.fromkeys(set_owner(other, parts) for _, other in links)
    return {name: find(name) for name in names if find(name) != name}
