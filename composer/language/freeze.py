"""`freeze`: the parameters that training leaves as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from composer.diagnostics import Problems, Span

from .document import Mapping, get
from .fields import Fields
from .paths import TensorPath, paths_in
from .validate import validate


class FreezeFields(Fields):
    """What is frozen, where some of it is not."""

    parts: Any = Field(description="Paths of what is frozen.")
    except_: Any = Field(default=None, alias="except", description="Paths of what of it is not.")


@dataclass(frozen=True)
class FreezeSpec:
    """Paths of what is frozen, less those of what is not."""

    parts: tuple[TensorPath, ...]
    unless: tuple[TensorPath, ...]
    span: Span


def freeze_in(tree: Mapping, problems: Problems) -> FreezeSpec | None:
    """What a spec freezes, if anything; what is wrong with it is added to the problems."""
    section = get(tree, ("freeze",))
    if section is None:
        return None
    if not isinstance(section, Mapping):
        return FreezeSpec(paths_in(section, "freeze", problems), (), section.span)
    if validate(FreezeFields, section, problems, where="freeze", dims={}) is None:
        return None
    parts, unless = (get(section, (key,)) for key in ("parts", "except"))
    assert parts is not None, "a mapping without parts is not valid"
    less = () if unless is None else paths_in(unless, "except", problems)
    return FreezeSpec(paths_in(parts, "parts", problems), less, section.span)
