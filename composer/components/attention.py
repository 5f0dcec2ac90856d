"""Multi-head attention within a sequence and from one into another."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, Mask, OptionError, Placed, Role, Tensors, place
from .norms import HeadNorm
from .options import Positive, PositiveNumber, Probability
from .rope import Rope

Projection = Literal["q", "k", "v", "o"]


class _Heads(Component):
    """What self- and cross-attention share: heads, their widths, and the four projections."""

    role: ClassVar[Role] = "attention"
    module: ClassVar[str] = "Attention"
    cached: ClassVar[str] = "CachedAttention"
    optional: ClassVar[tuple[str, ...]] = ("weights",)

    num_heads: Positive = Field(description="Number of query heads.")
    num_kv_heads: Positive | None = Field(
        default=None,
        description="Key and value heads; fewer than num_heads is grouped-query attention, "
        "1 is multi-query. Default: num_heads.",
    )
    head_dim: Positive | None = Field(
        default=None, description="Width of a head. Default: d_model / num_heads."
    )
    bias: bool | list[Projection] = Field(
        default=True,
        description="Whether the four projections have a bias, or which of q, k, v and o have one.",
    )
    dropout: Probability = Field(default=0.0, description="Dropout on the attention weights.")
    qk_scale: PositiveNumber | None = Field(
        default=None, description="Factor of the scores. Default: head_dim^-0.5."
    )
    qk_norm: Component | None = Field(
        default=None,
        description="A norm on queries and keys (Dehghani et al., 2023); true is an RMS norm.",
        json_schema_extra={"slot": "qk_norm", "default": "rmsnorm"},
    )
    qk_norm_over: Literal["head", "full"] = Field(
        default="head", description="Whether each head is normed by itself, or all of them as one."
    )
    clip_qkv: PositiveNumber | None = Field(
        default=None, description="Queries, keys and values are clipped to within this, as in MPT."
    )
    softcap: PositiveNumber | None = Field(
        default=None, description="Scores are bent to stay within this (tanh), as in Gemma 2."
    )
    sinks: bool = Field(
        default=False,
        description="A learned score a head that takes part in the softmax and is then dropped, "
        "as in gpt-oss (Xiao et al., 2023, arXiv:2309.17453).",
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        heads, groups = made.num_heads, made.num_kv_heads or made.num_heads
        if heads % groups:
            raise OptionError(
                "num_kv_heads",
                f"num_heads {heads} is not a multiple of num_kv_heads {groups}",
                _nearest_divisor("num_kv_heads", groups, heads),
            )
        if made.qk_norm_over == "full" and (
            made.qk_norm is None or isinstance(made.qk_norm, HeadNorm)
        ):
            raise OptionError(
                "qk_norm_over",
                "a norm over all heads needs a qk_norm of one width",
                "qk_norm: rmsnorm",
            )
        width = place["d_model"]
        if made.head_dim is None and isinstance(width, int):
            if width % heads:
                raise OptionError(
                    "num_heads",
                    f"d_model {width} is not a multiple of num_heads {heads}",
                    _nearest_divisor("num_heads", heads, width) + ", or give head_dim",
                )
            made = made.model_copy(update={"head_dim": width // heads})
        return made.model_copy(update={"num_kv_heads": groups})

    def _projections(self, axes: Axes, memory_width: int) -> Tensors:
        inner, groups = axes.num_heads * axes.head_dim, axes.num_kv_heads * axes.head_dim
        shapes = {
            "q": (inner, axes.d_model),
            "k": (groups, memory_width),
            "v": (groups, memory_width),
            "o": (axes.d_model, inner),
        }
        tensors: Tensors = {}
        for name, shape in shapes.items():
            tensors[f"{name}.weight"] = shape
            if self._biased(name):
                tensors[f"{name}.bias"] = shape[:1]
        # A module's own parameters come before those of the modules in it.
        return {"sinks": (axes.num_heads,), **tensors} if self.sinks else tensors

    def _biased(self, projection: str) -> bool:
        return self.bias if isinstance(self.bias, bool) else projection in self.bias

    def _bias_arguments(self) -> dict[str, bool]:
        """`bias` as most projections have it, and the projections that differ."""
        each = {name: self._biased(name) for name in ("q", "k", "v", "o")}
        usual = sum(each.values()) >= 2  # noqa: PLR2004 - half of four
        return {"bias": usual} | {f"{n}_bias": b for n, b in each.items() if b != usual}

    def parts(self, axes: Axes) -> dict[str, Placed]:
        if self.qk_norm is None:
            return {}
        made = {}
        for name, heads in (("q", axes.num_heads), ("k", axes.num_kv_heads)):
            width = heads * axes.head_dim if self.qk_norm_over == "full" else axes.head_dim
            shape: tuple[Size, ...] = (axes.batch, axes.time, width)
            if isinstance(self.qk_norm, HeadNorm):
                shape = (axes.batch, heads, axes.time, axes.head_dim)
            made[f"{name}_norm"] = place(self.qk_norm, {"x": shape})
        return made

    def _arguments(self, axes: Axes) -> dict[str, Any]:
        grouped = self.num_kv_heads != self.num_heads
        return {
            "d_model": axes.d_model,
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "num_kv_heads": self.num_kv_heads if grouped else None,
            **self._bias_arguments(),
            "dropout": self.dropout,
            "scale": self.qk_scale,
            "norm_over_all": self.qk_norm_over == "full",
            "clip_qkv": self.clip_qkv,
            "softcap": self.softcap,
            "has_sinks": self.sinks,
        }

    def _flops(self, axes: Axes, source: Size, memory_width: int) -> Size:
        inner, groups = axes.num_heads * axes.head_dim, axes.num_kv_heads * axes.head_dim
        queries = 2 * axes.batch * axes.time * axes.d_model * inner
        keys = 2 * axes.batch * source * memory_width * groups
        scores = 2 * axes.batch * axes.num_heads * axes.time * source * axes.head_dim
        return 2 * queries + 2 * keys + 2 * scores

    def _detail(self) -> str:
        notes = [f"{self.num_heads} heads × {self.head_dim}"]
        if self.num_kv_heads != self.num_heads:
            notes.append(f"{self.num_kv_heads} KV" + (" head" if self.num_kv_heads == 1 else ""))
        if self.qk_norm is not None:
            notes.append("QK norm")
        return ", ".join(notes)


class Attention(_Heads):
    """Multi-head self-attention (Vaswani et al., 2017, arXiv:1706.03762).

    Grouped-query attention (Ainslie et al., 2023, arXiv:2305.13245) with fewer `num_kv_heads`,
    a sliding window (Beltagy et al., 2020, arXiv:2004.05150) with `window`.
    """

    kind: Literal["attention"] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    mixes_time: ClassVar[bool] = True
    signature: ClassVar[str] = (
        "x[batch time d_model] -> [batch time d_model], weights[batch num_heads time time]"
    )
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 4, "num_kv_heads": 2, "head_dim": 12, "bias": False, "causal": True},
        {"num_heads": 4, "num_kv_heads": 1, "position": {"kind": "rope"}, "causal": True},
        {"num_heads": 2, "window": 3, "causal": True, "qk_norm": True, "qk_scale": 0.25},
        {"num_heads": 4, "num_kv_heads": 2, "bias": ["q", "v"], "qk_norm": {"kind": "head_norm"}},
        {"num_heads": 4, "num_kv_heads": 2, "qk_norm": "layernorm", "qk_norm_over": "full"},
        {"num_heads": 4, "bias": ["o"], "clip_qkv": 0.5, "position": "alibi", "causal": True},
        {"num_heads": 4, "num_kv_heads": 2, "softcap": 5.0, "sinks": True, "position": "alibi"},
        {
            "num_heads": 4,
            "position": {"kind": "rope", "fraction": 0.5, "layout": "interleaved"},
            "sinks": True,
            "window": 2,
            "causal": True,
        },
        {"num_heads": 2, "window": 2, "dropout": 0.1},
        {"num_heads": 4, "position": "relative_bias", "qk_scale": 1.0},
        {"num_heads": 4, "position": {"kind": "relative_bias", "num_buckets": 6}, "causal": True},
    )

    causal: bool | None = Field(
        default=None,
        description="Whether a step sees only itself and earlier ones. Default: true in decoders.",
    )
    window: Positive | None = Field(
        default=None,
        description="Sliding window: the number of steps seen, the present one included; without "
        "causality, the number to either side.",
    )
    position: Component | None = Field(
        default=None,
        description="Positions inside the attention, e.g. `rope`.",
        json_schema_extra={"slot": "attention_position"},
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        return made.model_copy(update={"causal": bool(made.causal)})

    def tensors(self, axes: Axes) -> Tensors:
        return self._projections(axes, axes.d_model)

    def parts(self, axes: Axes) -> dict[str, Placed]:
        held = super().parts(axes)
        if self.position is not None and getattr(self.position, "per_layer", False):
            held["position"] = self._positions(axes)
        return held

    def arguments(self, axes: Axes) -> dict[str, Any]:
        given = {**self._arguments(axes), "causal": self.causal}
        if isinstance(self.position, Rope):
            turn = self.position.turn(axes.head_dim)
            given |= {} if turn is None else {"turn": turn}
        return given

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(causal=bool(self.causal), window=self.window)}

    def tables(self, axes: Axes) -> dict[str, Placed]:
        if self.position is None or getattr(self.position, "per_layer", False):
            return {}
        table = self._positions(axes)
        return {next(iter(table.outputs)): table}

    def _positions(self, axes: Axes) -> Placed:
        assert self.position is not None
        shape = (axes.batch, axes.time, axes.d_model)
        given = {"head_dim": axes.head_dim, "num_heads": axes.num_heads, "causal": self.causal}
        return place(self.position, {"x": shape}, **given)

    def flops(self, axes: Axes) -> Size:
        return self._flops(axes, axes.time, axes.d_model)

    def label(self, axes: Axes) -> Label:
        notes = [self._detail()]
        if self.window is not None:
            notes.append(f"window {self.window}")
        elif self.causal:
            notes.append("causal")
        if self.position is not None:
            placed = self._positions(axes)
            said = placed.component.label(placed.axes)
            changed = isinstance(self.position, Rope) and self.position.theta != _THETA
            notes.append(f"{said.title} {said.detail}" if changed else said.title)
        return Label("Masked Self-Attention" if self.causal else "Self-Attention", ", ".join(notes))


class CrossAttention(_Heads):
    """Attention from a sequence into another one, whose width may differ (Vaswani et al., 2017)."""

    kind: Literal["cross_attention"] = "cross_attention"
    slots: ClassVar[tuple[str, ...]] = ("cross_attention", "module")
    signature: ClassVar[str] = (
        "x[batch time d_model], memory[batch source width]"
        " -> [batch time d_model], weights[batch num_heads time source]"
    )
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 4, "num_kv_heads": 2, "bias": False},
        {"num_heads": 4, "head_dim": 6, "qk_norm": True},
    )
    example_inputs = {"x": (2, 6, 32), "memory": (2, 5, 24)}

    causal: bool = Field(
        default=False,
        description="Whether step t reads only the first t steps of what it attends to, which "
        "must then be as long as its own sequence.",
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if self.causal and place.get("time") != place.get("source"):
            raise OptionError(
                "causal",
                f"a causal mask needs equal lengths, but {place.get('time')} steps read "
                f"{place.get('source')}",
                "leave out `causal`",
            )
        return made

    def tensors(self, axes: Axes) -> Tensors:
        return self._projections(axes, axes.width)

    def arguments(self, axes: Axes) -> dict[str, Any]:
        width = axes.width if axes.width != axes.d_model else None
        return {**self._arguments(axes), "memory_width": width, "causal": self.causal}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(causal=self.causal, over="memory")}

    def flops(self, axes: Axes) -> Size:
        return self._flops(axes, axes.source, axes.width)

    def label(self, axes: Axes) -> Label:
        return Label("Cross-Attention", self._detail())


_THETA = Rope.model_fields["theta"].default


def _nearest_divisor(option: str, wanted: int, number: int) -> str:
    small = [n for n in range(1, isqrt(number) + 1) if number % n == 0]
    divisors = sorted({*small, *(number // n for n in small)})
    best = sorted(divisors, key=lambda n: (abs(n - wanted), -n))[:2]
    return f"{option}: " + " or ".join(str(n) for n in sorted(best))
