"""What self- and cross-attention have in common: heads, projections, and what these cost."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, LinearMap, OptionError, Role, Tensors
from .costs import Operand, Product, Working
from .norms import HeadNorm
from .options import Positive, PositiveNumber, Probability
from .placed import Placed, place
from .splits import Split, Style

Projection = Literal["q", "k", "v", "o"]


class MultiHead(Component):
    """What self- and cross-attention share: heads, their widths, and the four projections."""

    role: ClassVar[Role] = "attention"
    module: ClassVar[str] = "Attention"
    cached: ClassVar[str] = "CachedAttention"
    takes: ClassVar[tuple[str, ...]] = ("before",)
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

    def _maps(self, axes: Axes, source: Size) -> dict[str, LinearMap]:
        """The four projections; keys and values are of `source` vectors."""
        rows, read = axes.batch * axes.time, axes.batch * source
        return {
            "q": LinearMap("q", rows),
            "k": LinearMap("k", read),
            "v": LinearMap("v", read),
            "o": LinearMap("o", rows),
        }

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

    def split(self, axes: Axes) -> Split:
        """By heads, where all that is learned of heads is learned of all alike."""
        if self.sinks:
            return Split(why="each head has a sink of its own")
        if self.qk_norm is not None and (
            self.qk_norm_over == "full" or isinstance(self.qk_norm, HeadNorm)
        ):
            return Split(why="its qk_norm needs all heads")
        styles: dict[str, Style] = {"q": "columns", "k": "columns", "v": "columns", "o": "rows"}
        if self.qk_norm is not None:
            styles |= {"q_norm": "heads", "k_norm": "heads"}
        return Split(styles, {"num_heads": axes.num_heads, "num_kv_heads": axes.num_kv_heads})

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

    def _products(
        self, axes: Axes, source: Size, memory_width: int, memory: str
    ) -> tuple[Product, ...]:
        inner, groups = axes.num_heads * axes.head_dim, axes.num_kv_heads * axes.head_dim
        queries = 2 * axes.batch * axes.time * axes.d_model * inner
        keys = 2 * axes.batch * source * memory_width * groups
        scores = 2 * axes.batch * axes.num_heads * axes.time * source * axes.head_dim
        q, k, v = ("x", "q", "q_norm"), (memory, "k", "k_norm"), (memory, "v")
        weights = tuple(dict.fromkeys([*q, *k, "sinks", "position", "position_bias"]))
        return (
            Product(queries, ("x",), ("q.weight",)),
            Product(keys, (memory,), ("k.weight",)),
            Product(keys, (memory,), ("v.weight",)),
            Product(scores, q, k),
            Product(scores, weights, v),
            Product(queries, tuple(dict.fromkeys([*weights, *v])), ("o.weight",)),
        )

    def _kept(
        self, axes: Axes, source: int, *, mask: int, weights: bool, biased: bool, copied: bool
    ) -> int:
        """Numbers kept within: heads, scores, and what the norms of heads keep.

        Fused attention keeps a number a step and a mask, whose size is `mask`, as numbers; dropout
        and biases of the scores need all of the scores.
        """
        rows, keys = axes.batch * axes.num_heads * axes.time, axes.batch * source
        pairs, out = rows * source, rows * axes.head_dim
        explicit = weights or self.softcap is not None or self.sinks
        fused = not (explicit or biased or self.dropout)
        groups = axes.num_kv_heads if fused else axes.num_heads
        kept = 2 * out + 2 * keys * groups * axes.head_dim
        if self.clip_qkv is not None:
            kept += out + 2 * keys * axes.num_kv_heads * axes.head_dim
        if fused:
            kept += rows + mask
            kept += out if copied or self._normed_by_head else 0
        else:
            turned = (self.softcap is not None) + 2 * bool(self.dropout)
            plain = explicit and not self.sinks and not self.dropout
            kept += pairs * (1 + turned + plain) + (rows if self.sinks else 0)
        for name, part in MultiHead.parts(self, axes).items():  # a plain norm is placed at one head
            size = out if name == "q_norm" else keys * axes.num_kv_heads * axes.head_dim
            kept += part.inside() * size // part.size
        return kept

    def _mixed(self, axes: Axes, *, weights: bool, biased: bool) -> tuple[Operand, ...]:
        """What the last projection reads, which fused attention keeps for itself, too."""
        explicit = weights or self.softcap is not None or self.sinks
        if not (explicit or biased or self.dropout):
            return ()
        numbers = axes.batch * axes.num_heads * axes.time * axes.head_dim
        return (Operand(("o.weight",), (), numbers),)

    def _working(
        self, axes: Axes, source: int, *, mask: int, weights: bool, biased: bool, turned: bool
    ) -> Working:
        """Gradients of the heads, and where attention is not fused, those of the scores.

        A fused backward pass holds two blocks of scores in each thread; one thread is counted.
        """
        rows, keys = axes.batch * axes.num_heads * axes.time, axes.batch * source
        pairs, out = rows * source, rows * axes.head_dim
        softcap = self.softcap is not None
        explicit = weights or softcap or self.sinks
        forward = self._forward(axes, source, mask, explicit=explicit, biased=biased, turned=turned)
        if not (explicit or biased or self.dropout):
            heads = 2 * out + 2 * keys * axes.num_kv_heads * axes.head_dim
            blocks = 2 * min(axes.time, _block(axes.time)) * min(source, 512) + axes.time
            return Working(0, 0, heads + blocks, forward)
        returned = pairs if weights else 0
        if self.dropout:
            return Working(0, 0, returned + pairs + (2 + softcap) * out, forward)
        if softcap:
            return Working(0, 0, returned + 2 * pairs + 2 * out, forward)
        return Working(0, 0, max(returned + 2 * pairs, pairs + 2 * out), forward)

    def _forward(
        self, axes: Axes, source: int, mask: int, *, explicit: bool, biased: bool, turned: bool
    ) -> int:
        """Numbers within a forward pass that keeps nothing: heads, their copies, and scores."""
        rows = axes.batch * axes.num_heads * axes.time
        pairs, out, result = (
            rows * source,
            rows * axes.head_dim,
            axes.batch * axes.time * axes.d_model,
        )
        keys = 2 * axes.batch * source * axes.num_kv_heads * axes.head_dim
        held = 2 * out + keys
        if explicit:
            repeated = 2 * axes.batch * source * axes.num_heads * axes.head_dim
            made = out + repeated + max(3 * pairs - result, pairs + 2 * out)
            held = max(held, 3 * (pairs + rows) + 3 * out - result, made)
        elif biased:
            hidden = pairs // axes.batch if mask else 0
            repeated = (
                2 * axes.batch * source * (axes.num_heads - axes.num_kv_heads) * axes.head_dim
            )
            held = max(held, 2 * pairs + 7 * out + hidden + repeated - result)
        if turned or self.qk_norm is not None:
            held = max(held, 4 * out + keys - result)
        if self.clip_qkv is not None:
            held = max(held, 2 * (out + keys) - result)
        if before := keys_before(axes):  # copied behind them
            less = 2 * axes.batch * before * axes.num_kv_heads * axes.head_dim
            held = max(held + keys - less, out + 2 * keys - less)
        return held + mask  # which becomes numbers

    def _mask_size(self, axes: Axes, source: int, *, masked: bool) -> int:
        """Entries of the mask that a stack makes, or keys before; 0 where nobody makes one."""
        window, causal = getattr(self, "window", None), getattr(self, "causal", False)
        if not masked and window is None and not (causal and keys_before(axes)):
            return 0
        steps = axes.time if window is not None or causal else 1
        return (axes.batch if masked else 1) * steps * source

    @property
    def _normed_by_head(self) -> bool:
        return self.qk_norm is not None and self.qk_norm_over == "head"

    def _detail(self) -> str:
        notes = [f"{self.num_heads} heads × {self.head_dim}"]
        if self.num_kv_heads != self.num_heads:
            notes.append(f"{self.num_kv_heads} KV" + (" head" if self.num_kv_heads == 1 else ""))
        if self.qk_norm is not None:
            notes.append("QK norm")
        return ", ".join(notes)


def keys_before(axes: Axes) -> int:
    """Learned keys that stand before those of the sequence."""
    number: int = axes.before if "before" in axes else 0
    return number


def _block(steps: int) -> int:
    """Queries that torch's fused attention takes at once on a CPU."""
    return 256 if steps >= 768 else 64 if steps >= 192 else 32  # noqa: PLR2004


def _nearest_divisor(option: str, wanted: int, number: int) -> str:
    small = [n for n in range(1, isqrt(number) + 1) if number % n == 0]
    divisors = sorted({*small, *(number // n for n in small)})
    best = sorted(divisors, key=lambda n: (abs(n - wanted), -n))[:2]
    return f"{option}: " + " or ".join(str(n) for n in sorted(best))
