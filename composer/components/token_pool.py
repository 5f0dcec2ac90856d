"""The state at one token of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Label, Role
from .costs import Kept
from .options import Natural


class TokenPool(Component):
    """The state where a token first stands, e.g. at the end of the text, as in CLIP.

    The first state, where it stands nowhere.
    """

    kind: Literal["token_pool"] = "token_pool"
    role: ClassVar[Role] = "head"
    signature: ClassVar[str] = "x[batch time d_model], tokens[batch time] -> [batch d_model]"
    mixes_time: ClassVar[bool] = True
    ends_mask: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"token": 3},)
    example_inputs = {"x": (2, 6, 32), "tokens": (2, 6)}

    token: Natural = Field(description="Id of the token.")

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"token": self.token}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x",), others=8 * axes.batch)

    def label(self, axes: Axes) -> Label:
        return Label("Token Pool", f"at token {self.token}")
