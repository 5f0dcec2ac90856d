"""Multi-head attention within a sequence and from one into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, LinearMap, Mask, OptionError, Tensors
from .costs import Cache, Kept, Operand, Product, Working
from .multi_head import MultiHead, keys_before
from .options import Positive
from .placed import Placed, place
from .rope import Rope


class Attention(MultiHead):
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

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return self._maps(axes, axes.time)

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

    @property
    def _biased_scores(self) -> bool:
        return self.position is not None and not isinstance(self.position, Rope)

    def _positions(self, axes: Axes) -> Placed:
        assert self.position is not None
        shape = (axes.batch, axes.time, axes.d_model)
        given = {"head_dim": axes.head_dim, "num_heads": axes.num_heads, "causal": self.causal}
        return place(self.position, {"x": shape}, **given)

    def products(self, axes: Axes) -> tuple[Product, ...]:
        return self._products(axes, axes.time, axes.d_model, "x")

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        turned = isinstance(self.position, Rope)
        turn = self.position.turn(axes.head_dim) if isinstance(self.position, Rope) else None
        keys = axes.time + keys_before(axes)
        mask = self._mask_size(axes, keys, masked=masked)
        numbers = self._kept(
            axes, keys, mask=mask, weights=weights,
            biased=self._biased_scores, copied=turn is not None,
        )  # fmt: skip
        explicit = weights or self.softcap is not None or self.sinks
        hidden = (mask or (axes.time * keys if self.causal else 0)) if explicit else 0
        hidden += (
            mask if self._biased_scores and not explicit else 0
        )  # what the mask hides of the biases
        position = self.parts(axes).get("position")
        if position is not None:
            hidden += position.component.kept(position.axes).others
        read = Operand(("q.weight", "k.weight", "v.weight"), ("x",))
        operands = (read, *self._mixed(axes, weights=weights, biased=self._biased_scores))
        ports = ("x", "rope") if turned else ("x",)
        return Kept(ports, numbers, hidden, operands=operands)

    def cache(self, axes: Axes) -> Cache:
        keys = axes.batch * axes.num_kv_heads * axes.head_dim
        return Cache(2 * keys, self.window) if self.causal else Cache()

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        keys = axes.time + keys_before(axes)
        mask, biased = self._mask_size(axes, keys, masked=masked), self._biased_scores
        explicit = weights or self.softcap is not None or self.sinks
        if masked and biased and not explicit and not self._positions(axes).tensors:
            # Biases that no gradient reaches are a mask of each example: attention is fused.
            mask, biased = axes.num_heads * mask, False
        return self._working(
            axes, keys, mask=mask, weights=weights,
            biased=biased, turned=isinstance(self.position, Rope),
        )  # fmt: skip

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


class CrossAttention(MultiHead):
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

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return self._maps(axes, axes.source)

    def arguments(self, axes: Axes) -> dict[str, Any]:
        width = axes.width if axes.width != axes.d_model else None
        return {**self._arguments(axes), "memory_width": width, "causal": self.causal}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(causal=self.causal, over="memory")}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        return self._products(axes, axes.source, axes.width, "memory")

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        keys = axes.source + keys_before(axes)
        mask = self._mask_size(axes, keys, masked=masked)
        numbers = self._kept(axes, keys, mask=mask, weights=weights, biased=False, copied=False)
        read = (
            Operand(("q.weight",), ("x",)),
            Operand(("k.weight", "v.weight"), ("memory",)),
        )
        operands = (*read, *self._mixed(axes, weights=weights, biased=False))
        hidden = mask + (axes.time * keys) * self.causal
        return Kept(("x", "memory"), numbers, hidden, operands=operands)

    def cache(self, axes: Axes) -> Cache:
        return Cache(fixed=2 * axes.batch * axes.source * axes.num_kv_heads * axes.head_dim)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        keys = axes.source + keys_before(axes)
        mask = self._mask_size(axes, keys, masked=masked)
        return self._working(axes, keys, mask=mask, weights=weights, biased=False, turned=False)

    def label(self, axes: Axes) -> Label:
        return Label("Cross-Attention", self._detail())


_THETA = Rope.model_fields["theta"].default
