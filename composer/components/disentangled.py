"""Attention that scores contents and relative positions apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, Size

from .component import Component, Inputs, Label, LinearMap, Mask, OptionError, Role, Tensors
from .costs import Kept, Product, Working
from .options import Positive, PositiveNumber, Probability
from .placed import Placed, place


class RelativeEmbedding(Component):
    """A learned vector for each distance, far ones in buckets, for all layers of a stack.

    It stands in a `disentangled` attention. Half of the buckets of a direction are one step each,
    the others grow with the logarithm of the distance (He et al., 2021, arXiv:2111.09543).
    """

    kind: Literal["relative_embedding"] = "relative_embedding"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("disentangled_position",)
    signature: ClassVar[str] = "x[batch time d_model] -> relative[rows d_model], buckets[time time]"
    indices: ClassVar[tuple[str, ...]] = ("buckets",)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_buckets": 8, "max_distance": 24},
        {"num_buckets": 4, "max_distance": 6, "norm": {"kind": "layernorm", "eps": 1e-7}},
    )

    num_buckets: Annotated[Positive, Field(ge=4)] = Field(
        default=256, description="Different distances to either side."
    )
    max_distance: Positive = Field(
        default=512, description="Distance from which on all are in the last bucket."
    )
    norm: Component | None = Field(
        default=None,
        description="A norm of the vectors. Default: none.",
        json_schema_extra={"slot": "norm"},
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        exact = self.num_buckets // 2
        if self.max_distance <= exact + 1:
            raise OptionError(
                "position",
                f"{exact} buckets are one step each, so max_distance {self.max_distance} is too near",
                f"max_distance: {2 * self.num_buckets}",
            )
        return super().complete(place)

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        """As many rows as there are buckets to both sides."""
        bound = self.parsed.bind(inputs)  # type: ignore[arg-type]  # one shape a port here
        axes = Axes({**bound, "rows": 2 * self.num_buckets})
        made = self.complete({**place, **axes})
        outputs: dict[str, Shape] = {
            "relative": (axes.rows, axes.d_model),
            "buckets": (axes.time, axes.time),
        }
        return made, axes, outputs

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.rows, axes.d_model)}

    def parts(self, axes: Axes) -> dict[str, Placed]:
        if self.norm is None:
            return {}
        return {"norm": place(self.norm, {"x": (axes.batch, axes.rows, axes.d_model)})}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
        }

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        parts = self.parts(axes).values()  # one example's, as the vectors are those of all
        return Kept(numbers=sum(p.component.kept(p.axes).numbers for p in parts) // axes.batch)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """The input gives its shape alone."""
        return Working(0, len(self.parts(axes)))

    def label(self, axes: Axes) -> Label:
        return Label("relative embedding", f"2 × {self.num_buckets} buckets")


class Disentangled(Component):
    """Disentangled self-attention (DeBERTa, He et al., 2020, arXiv:2006.03654).

    A score is the sum of content with content, content with the distance of the two steps, and
    distance with content. The same linear maps make queries and keys of contents and of distances.
    """

    kind: Literal["disentangled"] = "disentangled"
    role: ClassVar[Role] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    module: ClassVar[str] = "DisentangledAttention"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4, "position": {"kind": "relative_embedding"}},
        {
            "num_heads": 2,
            "bias": False,
            "dropout": 0.1,
            "qk_scale": 0.2,
            "position": {
                "kind": "relative_embedding",
                "num_buckets": 4,
                "max_distance": 6,
                "norm": {"kind": "layernorm"},
            },
        },
    )

    num_heads: Positive = Field(description="Number of heads.")
    head_dim: Positive | None = Field(
        default=None, description="Width of a head. Default: d_model / num_heads."
    )
    bias: bool = Field(default=True, description="Whether the four projections have a bias.")
    dropout: Probability = Field(default=0.0, description="Dropout on the attention weights.")
    qk_scale: PositiveNumber | None = Field(
        default=None, description="Factor of the scores. Default: (3 * head_dim)^-0.5."
    )
    position: Component | None = Field(
        default=None,
        description="The vectors of the distances. Default: relative_embedding.",
        json_schema_extra={"slot": "disentangled_position", "default": "relative_embedding"},
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if place.get("causal"):
            raise OptionError(
                "kind",
                "disentangled attention reads later steps, too, so it cannot stand in a decoder",
                "put the stack under encoders",
            )
        width = place["d_model"]
        if made.head_dim is None and isinstance(width, int):
            if width % made.num_heads:
                raise OptionError(
                    "num_heads",
                    f"d_model {width} is not a multiple of num_heads {made.num_heads}",
                    f"head_dim: {max(width // made.num_heads, 1)}",
                )
            made = made.model_copy(update={"head_dim": width // made.num_heads})
        scale = (3 * made.head_dim) ** -0.5 if made.head_dim else made.qk_scale
        given = {
            "qk_scale": made.qk_scale or scale,
            "position": made.position or RelativeEmbedding(),
        }
        return made.model_copy(update=given)

    def tensors(self, axes: Axes) -> Tensors:
        inner, tensors = axes.num_heads * axes.head_dim, Tensors()
        for name in ("q", "k", "v", "o"):
            shape = (axes.d_model, inner) if name == "o" else (inner, axes.d_model)
            tensors[f"{name}.weight"] = shape
            if self.bias:
                tensors[f"{name}.bias"] = shape[:1]
        return tensors

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows = axes.batch * axes.time
        both = rows + next(iter(self.tables(axes).values())).axes["rows"]
        return {
            "q": LinearMap("q", both),
            "k": LinearMap("k", both),
            "v": LinearMap("v", rows),
            "o": LinearMap("o", rows),
        }

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "scale": self.qk_scale,
            "bias": self.bias,
            "dropout": self.dropout,
        }

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask()}

    def tables(self, axes: Axes) -> dict[str, Placed]:
        assert self.position is not None, "complete() sees to it"
        table = place(self.position, {"x": (axes.batch, axes.time, axes.d_model)})
        return {"relative": table}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        inner, rows = axes.num_heads * axes.head_dim, self._rows(axes)
        content: Size = 2 * axes.batch * axes.time * axes.d_model * inner
        distance: Size = 2 * rows * axes.d_model * inner
        scores: Size = 2 * axes.batch * axes.time * inner
        weights = ("x", "q", "k", "relative")
        return (
            *(Product(content, ("x",), (f"{name}.weight",)) for name in ("q", "k", "v")),
            *(Product(distance, ("relative",), (f"{name}.weight",)) for name in ("q", "k")),
            Product(scores * rows, ("x", "q"), ("relative", "k")),
            Product(scores * rows, ("x", "k"), ("relative", "q")),
            Product(scores * axes.time, ("x", "q"), ("x", "k")),
            Product(scores * axes.time, weights, ("x", "v")),
            Product(content, (*weights, "v"), ("o.weight",)),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """Queries and keys twice, once scaled; the far ones for each example; scores unfused."""
        inner, rows = axes.num_heads * axes.head_dim, self._rows(axes)
        steps = axes.batch * axes.time
        contents = 6 * steps * inner
        distances = 2 * axes.batch * rows * inner + 2 * steps * axes.num_heads * rows
        pairs = steps * axes.num_heads * axes.time * (3 if self.dropout else 1)
        hidden = steps if masked else 0
        return Kept(("x", "relative"), contents + distances + pairs, hidden)

    def _rows(self, axes: Axes) -> int:
        rows = self.tables(axes)["relative"].axes["rows"]
        assert isinstance(rows, int), "the number of buckets is an option"
        return rows

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        steps, inner = axes.batch * axes.time, axes.num_heads * axes.head_dim
        far, pairs = steps * axes.num_heads * self._rows(axes), steps * axes.num_heads * axes.time
        both = 3 * steps * inner + 2 * self._rows(axes) * inner
        forward = both + max(far + 2 * pairs + 2 * steps * inner, 5 * pairs)
        return Working(0, 0, max(far, 5 * pairs) + 2 * steps * inner, forward)

    def label(self, axes: Axes) -> Label:
        detail = f"{self.num_heads} heads × {self.head_dim}, relative positions"
        return Label("Disentangled Self-Attention", detail)
