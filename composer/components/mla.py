"""Attention whose keys and values are made of a small latent state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import (
    Component,
    Label,
    LinearMap,
    LinearRole,
    Mask,
    OptionError,
    Role,
    Scale,
    Tensors,
)
from .costs import Cache, Kept, Product, Working
from .norms import RmsNorm
from .options import Positive, PositiveNumber, Probability
from .placed import Placed, place
from .rope import Rope


class Mla(Component):
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434).

    Keys and values come from one latent state of width `kv_rank`; positions act on `rope_dim`
    further widths of each head, whose keys all heads share.
    """

    kind: Literal["mla"] = "mla"
    role: ClassVar[Role] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    module: ClassVar[str] = "LatentAttention"
    cached: ClassVar[str] = "CachedLatentAttention"
    mixes_time: ClassVar[bool] = True
    scales: ClassVar[Mapping[str, Scale]] = {"q_rank": "inner", "kv_rank": "inner"}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4, "kv_rank": 12, "head_dim": 8, "rope_dim": 4, "position": "rope"},
        {
            "num_heads": 4,
            "q_rank": 10,
            "kv_rank": 12,
            "head_dim": 8,
            "rope_dim": 4,
            "v_head_dim": 6,
            "bias": True,
            "qk_scale": 0.2,
            "causal": True,
            "position": {"kind": "rope", "layout": "interleaved"},
        },
    )

    num_heads: Positive = Field(description="Number of heads.")
    q_rank: Positive | None = Field(
        default=None, description="Width of the latent of queries. Default: none, they are direct."
    )
    kv_rank: Positive = Field(description="Width of the latent of keys and values.")
    head_dim: Positive = Field(description="Width of a head without positions.")
    rope_dim: Positive = Field(description="Width of a head with rotary positions.")
    v_head_dim: Positive | None = Field(
        default=None, description="Width of a head's values. Default: head_dim."
    )
    bias: bool = Field(
        default=False, description="Whether what leads into latents and out of heads has a bias."
    )
    eps: PositiveNumber = Field(default=1e-6, description="Of the norms of the latents.")
    dropout: Probability = Field(default=0.0, description="Dropout on the attention weights.")
    qk_scale: PositiveNumber | None = Field(
        default=None, description="Factor of the scores. Default: (head_dim + rope_dim)^-0.5."
    )
    causal: bool | None = Field(
        default=None,
        description="Whether a step sees only itself and earlier ones. Default: true in decoders.",
    )
    window: Positive | None = Field(default=None, description="Sliding window, as in attention.")
    position: Component = Field(
        description="Rotary positions.", json_schema_extra={"slot": "attention_position"}
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if not isinstance(made.position, Rope):
            raise OptionError("position", "latent attention has rotary positions", "position: rope")
        values = made.head_dim if made.v_head_dim is None else made.v_head_dim
        return made.model_copy(update={"causal": bool(made.causal), "v_head_dim": values})

    def tensors(self, axes: Axes) -> Tensors:
        width, heads = axes.d_model, axes.num_heads
        queries = heads * (axes.head_dim + axes.rope_dim)
        tensors: Tensors = {}
        if self.q_rank is None:
            tensors["q.weight"] = (queries, width)
        else:
            tensors |= self._linear("q_down", self.q_rank, width)
            tensors["q.weight"] = (queries, self.q_rank)
        tensors |= self._linear("kv_down", axes.kv_rank, width)
        tensors |= self._linear("k_rope", axes.rope_dim, width)
        tensors["k.weight"] = (heads * axes.head_dim, axes.kv_rank)
        tensors["v.weight"] = (heads * axes.v_head_dim, axes.kv_rank)
        return tensors | self._linear("o", width, heads * axes.v_head_dim)

    def _linear(self, name: str, out: int, into: int) -> Tensors:
        weight: Tensors = {f"{name}.weight": (out, into)}
        return {**weight, f"{name}.bias": (out,)} if self.bias else weight

    def parts(self, axes: Axes) -> dict[str, Placed]:
        norm, steps = RmsNorm(eps=self.eps), (axes.batch, axes.time)
        parts = {} if self.q_rank is None else {"q_norm": place(norm, {"x": (*steps, self.q_rank)})}
        return {**parts, "kv_norm": place(norm, {"x": (*steps, axes.kv_rank)})}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        roles: dict[str, LinearRole] = {
            "q_down": "q", "q": "q", "kv_down": "k", "k_rope": "k", "k": "k", "v": "v", "o": "o",
        }  # fmt: skip
        rows, tensors = axes.batch * axes.time, self.tensors(axes)
        return {n: LinearMap(r, rows) for n, r in roles.items() if f"{n}.weight" in tensors}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        names = ("num_heads", "q_rank", "kv_rank", "head_dim", "rope_dim", "v_head_dim", "bias",
                 "dropout", "causal")  # fmt: skip
        given = {"d_model": axes.d_model, **{name: getattr(self, name) for name in names}}
        assert isinstance(self.position, Rope)
        turn = self.position.turn(self.rope_dim)
        given |= {} if turn is None else {"turn": turn}
        return {**given, "scale": self.qk_scale}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(causal=bool(self.causal), window=self.window)}

    def tables(self, axes: Axes) -> dict[str, Placed]:
        shape = (axes.batch, axes.time, axes.d_model)
        return {"rope": place(self.position, {"x": shape}, head_dim=self.rope_dim)}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        shapes = {n: s for n, s in self.tensors(axes).items() if len(s) > 1}
        latent = ("x", "kv_down", "kv_norm")
        q = ("x", "q") if self.q_rank is None else ("x", "q_down", "q_norm", "q")
        k, v = (*latent, "k_rope", "k"), (*latent, "v")
        weights = tuple(dict.fromkeys([*q, *k]))
        reads = {"q": q[:-1], "k": latent, "v": latent, "o": tuple(dict.fromkeys([*weights, *v]))}
        linear = tuple(
            Product(
                2 * axes.batch * axes.time * out * into,
                reads.get(n.removesuffix(".weight"), ("x",)),
                (n,),
            )
            for n, (out, into) in shapes.items()
        )
        pairs: Size = 2 * axes.batch * axes.num_heads * axes.time * axes.time
        scores = Product(pairs * (axes.head_dim + axes.rope_dim), q, k)
        return (*linear, scores, Product(pairs * axes.v_head_dim, weights, v))

    def cache(self, axes: Axes) -> Cache:
        """The latent and the rotated key that all heads share, not the keys made of them."""
        step = axes.batch * (axes.kv_rank + axes.rope_dim)
        return Cache(step, self.window) if self.causal else Cache()

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """Heads whose keys and values differ in width have no fused attention."""
        rows, width = axes.batch * axes.time, axes.head_dim + axes.rope_dim
        heads = rows * axes.num_heads
        fused = width == axes.v_head_dim and not self.dropout
        scores = heads if fused else heads * axes.time * (1 + 2 * bool(self.dropout))
        if fused and (masked or self.window is not None):
            scores += (axes.batch if masked else 1) * axes.time**2
        latents = axes.kv_rank + (0 if self.q_rank is None else self.q_rank)
        within = heads * (2 * width + 3 * axes.v_head_dim) + rows * latents
        return Kept(("x", "rope"), within + scores + self._kept_by_norms(axes))

    def _kept_by_norms(self, axes: Axes) -> int:
        return sum(part.inside() for part in self.parts(axes).values())

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        rows, width = axes.batch * axes.time, axes.head_dim + axes.rope_dim
        heads = rows * axes.num_heads * (width + axes.v_head_dim)
        if width == axes.v_head_dim and not self.dropout:
            return Working(numbers=2 * heads)
        pairs = rows * axes.num_heads * axes.time
        return Working(0, 0, max(2 * pairs, pairs + heads))

    def label(self, axes: Axes) -> Label:
        detail = f"{self.num_heads} heads × {self.head_dim}+{self.rope_dim}, latent {self.kv_rank}"
        return Label("Latent Attention", detail + (", causal" if self.causal else ""))
