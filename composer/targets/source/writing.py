"""Small pieces of Python text: literals, calls, conditions on a layer's number, comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from composer.components.component import Name
from composer.components.placed import Placed

from .library import default_arguments

WIDTH = 100


def literal(value: object) -> str:
    """A value as a person writes it: `37_000`, `512**0.5`, `"mean"`.

    >>> literal(37000), literal(512**0.5), literal(0.1)
    ('37_000', '512**0.5', '0.1')
    """
    if isinstance(value, Name):
        return value.text
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)  # noqa: PLR2004
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, str):
        return quoted(value)
    assert isinstance(value, tuple), value
    return "(" + ", ".join(literal(item) for item in value) + ")"


def quoted(text: str) -> str:
    """Text as a double-quoted ASCII literal."""
    body = ascii(text)[1:-1]
    return '"' + body.replace("\\'", "'").replace('"', '\\"') + '"'


def _decimal(value: float) -> str:
    if value.is_integer() and abs(value) >= 10_000:  # noqa: PLR2004
        return f"{value:_.1f}"
    text = repr(value).replace("e-0", "e-")
    if len(text) <= 8:  # noqa: PLR2004 - a short decimal is what was meant
        return text
    for power in (0.5, -0.5):
        square = round(value ** (1 / power)) if 1e-3 < value < 1e6 else 0  # noqa: PLR2004
        if square > 1 and square**power == value:
            return f"{square}**{power}"
    return text


def constructor(placed: Placed, **more: object) -> str:
    """The call that makes a component's torch half, its parts inside."""
    arguments: dict[str, Any] = {**placed.component.arguments(placed.axes), **more}
    defaults = default_arguments(placed.component)
    written = {
        name: literal(value)
        for name, value in arguments.items()
        if name not in defaults
        or defaults[name] != value
        or type(defaults[name]) is not type(value)
    }
    parts = {name: constructor(part) for name, part in placed.parts.items()}
    numbered = [text for name, text in parts.items() if "." in name]  # of a list, by position
    written |= {name: text for name, text in parts.items() if "." not in name}
    written |= {  # empty, until the adapters are put into the model
        adapter.linear: f"{adapter.placed.component.holder}()"
        for adapter in placed.adapters
        if adapter.linear in placed.component.takes
    }
    module = placed.component.half
    if module.startswith("nn."):
        return f"{module}({', '.join(_torch_arguments(module, arguments))})"
    named = [f"{name}={text}" for name, text in written.items()]
    return f"{module}({', '.join([*numbered, *named])})"


def cached_constructor(placed: Placed) -> str:
    """The call that makes a component's form for decoding, where it has one."""
    made, cached = constructor(placed), placed.component.cached
    return made.replace(placed.component.half, cached, 1) if cached else made


_TORCH: dict[str, dict[str, object]] = {
    "nn.LayerNorm": {"eps": 1e-5, "bias": True},
    "nn.RMSNorm": {},
    "nn.Linear": {"bias": True},
}


def _torch_arguments(module: str, arguments: Mapping[str, Any]) -> Iterable[str]:
    """Arguments of torch's own modules: sizes by position, defaults left out."""
    defaults = _TORCH.get(module, {})
    for name, value in arguments.items():
        if name in {"normalized_shape", "in_features", "out_features"}:
            yield literal(value)
        elif name not in defaults or defaults[name] != value:
            yield f"{name}={literal(value)}"


def call(prefix: str, arguments: Sequence[str], indent: int, suffix: str = "") -> list[str]:
    """`prefix(arguments)suffix` on one line, or one argument a line where that is too long."""
    pad = " " * indent
    one = f"{pad}{prefix}({', '.join(arguments)}){suffix}"
    if len(one) <= WIDTH:
        return [one]
    inner = f"{pad}    {', '.join(arguments)}"
    if len(inner) <= WIDTH:
        return [f"{pad}{prefix}(", inner, f"{pad}){suffix}"]
    return [f"{pad}{prefix}(", *(f"{pad}    {a}," for a in arguments), f"{pad}){suffix}"]


def assign(target: str, value: str) -> list[str]:
    """`target = value` in a constructor, a long call wrapped."""
    line = f"        {target} = {value}"
    if len(line) <= WIDTH:
        return [line]
    head, _, rest = value.partition("(")
    return call(f"{target} = {head}", split(rest[:-1]), 8)


def split(arguments: str) -> list[str]:
    """Arguments of a call, split at commas outside brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(arguments):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(arguments[start:at].strip())
            start = at + 1
    return [*parts, arguments[start:].strip()]


def docstring(text: str, indent: int) -> list[str]:
    """A docstring of one line, or wrapped after its first sentence."""
    pad = " " * indent
    safe = text.replace("\\", "\\\\").replace('"""', "'''")
    if len(pad) + len(safe) + 6 <= WIDTH and "\n" not in safe:
        return [f'{pad}"""{safe}"""']
    first, _, rest = safe.partition("\n")
    quotes = 3 if rest else 6  # formatters put closing quotes after a text of one line
    lines = textwrap.wrap(first, WIDTH - indent - quotes) or [""]
    parts = rest.split("\n") if rest else []
    body = [line for part in parts for line in (textwrap.wrap(part, WIDTH - indent) or [""])]
    wrapped = [f'{pad}"""{lines[0]}', *(pad + line for line in lines[1:])]
    return [*wrapped, *((pad + line).rstrip() for line in body), f'{pad}"""']


def condition(numbers: Sequence[int], count: int) -> str | None:
    """A test of `i`, true for `numbers` of range(count) only; None where it is true for all.

    >>> condition([0, 2, 4], 6), condition([0, 1], 6), condition([1, 4], 6), condition([0, 5], 6)
    ('i % 2 == 0', 'i < 2', 'i % 3 == 1', 'i in (0, 5)')
    """
    wanted = list(numbers)
    if len(wanted) == count:
        return None
    if len(wanted) == 1:
        return f"i == {wanted[0]}"
    if wanted == list(range(len(wanted))):
        return f"i < {len(wanted)}"
    if wanted == list(range(count - len(wanted), count)):
        return f"i >= {wanted[0]}"
    for period in range(2, (count + 1) // 2 + 1):
        residues = sorted({n % period for n in wanted})
        if [n for n in range(count) if n % period in residues] == wanted:
            if len(residues) == 1:
                return f"i % {period} == {residues[0]}"
            if len(residues) == period - 1:
                return f"i % {period} != {(set(range(period)) - set(residues)).pop()}"
            return f"i % {period} in ({', '.join(map(str, residues))})"
    return f"i in ({', '.join(map(str, wanted))})"


def index_of(pairs: Mapping[int, int]) -> str:
    """An expression in `i` that gives the second number of each pair for the first.

    >>> index_of({0: 0, 1: 1}), index_of({0: 5, 1: 4}), index_of({0: 2, 1: 5, 2: 0})
    ('i', '5 - i', '{0: 2, 1: 5, 2: 0}[i]')
    """
    if len(set(pairs.values())) == 1:
        return str(next(iter(pairs.values())))
    rise = {value - key for key, value in pairs.items()}
    if len(rise) == 1:
        (step,) = rise
        return "i" if step == 0 else f"i {'+' if step > 0 else '-'} {abs(step)}"
    fall = {value + key for key, value in pairs.items()}
    if len(fall) == 1:
        return f"{fall.pop()} - i"
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}[i]"
