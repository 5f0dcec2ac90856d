"""Learned keys and values before those of an attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes, Size

from .component import Component, Label, Role, Tensors
from .costs import Kept, Product
from .multi_head import keys_before
from .options import Positive


class Prefix(Component):
    """Learned keys and values that every query may read (Li & Liang, 2021, arXiv:2101.00190).

    They stand before those of the sequence, without positions of their own, and are learned as
    they are, not through a network.
    """

    kind: Literal["prefix"] = "prefix"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("attention_adapter",)
    held: ClassVar[str] = "before"
    signature: ClassVar[str] = (
        "q[batch num_heads time head_dim], k[batch num_kv_heads source head_dim]"
        " -> [batch num_kv_heads source head_dim]"
    )
    example_inputs = {"q": (2, 4, 5, 8), "k": (2, 2, 6, 8)}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"length": 3},)

    length: Positive = Field(description="Number of keys and values that are put before.")

    @property
    def holder(self) -> str:
        """The class of what an attention holds: several of them, of which some are active."""
        return "Prefixes"

    def tensors(self, axes: Axes) -> Tensors:
        shape = (axes.num_kv_heads, self.length, axes.head_dim)
        return {"k": shape, "v": shape}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "num_heads": axes.num_kv_heads,
            "length": self.length,
            "head_dim": axes.head_dim,
        }

    def adapted(
        self, found: tuple[Product, ...], axes: Axes, path: str, linear: str
    ) -> tuple[Product, ...]:
        """Scores and what they weigh are products of so many more keys and values."""
        more = self.further_flops(axes) // 2
        k, v = f"{path}.k", f"{path}.v"

        def longer(product: Product) -> Product:
            if "k" in product.right:
                return replace(product, flops=product.flops + more, right=(*product.right, k))
            if "k" in product.left and "v" in product.right:
                left, right = (*product.left, k), (*product.right, v)
                return replace(product, flops=product.flops + more, left=left, right=right)
            if "k" in product.left:
                return replace(product, left=(*product.left, k, v))
            return product

        return tuple(longer(product) for product in found)

    def further_flops(self, axes: Axes) -> Size:
        return 4 * axes.batch * axes.num_heads * axes.time * self.length * axes.head_dim

    def around(self, axes: Axes) -> Axes:
        """Keys `before` those of the sequence; what the attention keeps is known of all of them."""
        return Axes({**axes, "before": keys_before(axes) + self.length})

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept()

    def label(self, axes: Axes) -> Label:
        return Label("prefix", f"{self.length}")
