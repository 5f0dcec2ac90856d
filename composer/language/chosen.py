"""`on`: the linear maps that a change is for, by their paths or by what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import Field

from composer.components.component import LinearRole

from .document import Mapping, Scalar, Sequence, Tree, get
from .fields import Fields
from .paths import Chosen, paths_in
from .slots import Checking
from .validate import describe, guess, validate
from .wants import listed


class RoleFields(Fields):
    """Linear maps by what they are for."""

    role: Any = Field(description="What they are for: q, k, v, o, ffn_in, ffn_out, head, ...")
    in_: Any = Field(default=None, alias="in", description="Where: paths. Default: everywhere.")


def chosen_in(written: Tree, check: Checking) -> Chosen | None:
    """What `on` says, or None with the reason as a problem."""
    if isinstance(written, Mapping):
        return _by_role(written, check)
    paths = paths_in(written, "on", check.problems)
    return Chosen(paths) if paths else None


def _by_role(written: Mapping, check: Checking) -> Chosen | None:
    if validate(RoleFields, written, check.problems, where="'on'", dims={}) is None:
        return None
    inside = get(written, ("in",))
    paths = () if inside is None else paths_in(inside, "in", check.problems)
    role = get(written, ("role",))
    assert role is not None, "a mapping without role is not valid"
    roles = tuple(_roles(role, check))
    return Chosen(paths, roles) if roles and (paths or inside is None) else None


def _roles(written: Tree, check: Checking) -> Iterator[str]:
    known = get_args(LinearRole)
    for item in written.items if isinstance(written, Sequence) else (written,):
        word = item.value if isinstance(item, Scalar) else None
        if isinstance(word, str) and word in known:
            yield word
            continue
        said = f"'{word}'" if isinstance(word, str) else describe(item)
        fix = (guess(word, known) if isinstance(word, str) else None) or f"roles: {listed(known)}"
        if word in {"embed", "embedding"}:
            fix = 'embeddings are no linear maps; to train one: freeze: {parts: "*", except: decoder.embed}'
        check.problems.add(
            "C105", f"role wants what a linear map is for, not {said}", item.span, fix=fix
        )
