"""Heads: from states to what a model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, LinearMap, Mask, Name, Role, Tensors
from .costs import Kept, Operand, Product, Working
from .feed_forward import ACTIVATIONS, KEPT, Activation
from .modules import Pool
from .norms import LayerNorm
from .options import Positive, PositiveNumber
from .placed import Placed, place
from .splits import Split


class Lm(Component):
    """Scores of each token of the vocabulary at each step."""

    kind: Literal["lm"] = "lm"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("head", "module")
    signature: ClassVar[str] = "x[batch time d_model] -> [batch time vocab_size]"
    module: ClassVar[str] = "LmHead"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"vocab_size": 50},
        {"vocab_size": 50, "bias": True, "scale": 0.5, "softcap": 30},
        {"vocab_size": 50, "bias": "fixed"},
    )

    vocab_size: Positive | None = Field(
        default=None, description="Number of tokens. Default: that of the decoder's input."
    )
    bias: bool | Literal["fixed"] = Field(
        default=False,
        description="Whether a learned offset is added; `fixed` for one that comes with weights "
        "and is not trained, as in BART.",
    )
    scale: PositiveNumber = Field(default=1.0, description="Factor of the scores.")
    softcap: PositiveNumber | None = Field(
        default=None, description="Scores are bent to stay within this (tanh), as in Gemma 2."
    )

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {"head.weight": (axes.vocab_size, axes.d_model)}
        return {**tensors, "head.bias": (axes.vocab_size,)} if self.bias is True else tensors

    def buffers(self, axes: Axes) -> Tensors:
        return {"bias": (axes.vocab_size,)} if self.bias == "fixed" else {}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return {"head": LinearMap("head", axes.batch * axes.time)}

    def split(self, axes: Axes) -> Split:
        return Split({"head": "scores"})

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "vocab_size": axes.vocab_size,
            "bias": self.bias is True,
            "fixed_bias": self.bias == "fixed",
            "scale": self.scale,
            "softcap": self.softcap,
        }

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.batch * axes.time * axes.d_model * axes.vocab_size

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        scores = 0 if self.softcap is None else axes.batch * axes.time * axes.vocab_size
        return Kept(("x",), scores, operands=(Operand(("head.weight",), ("x",)),))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        if self.softcap is None:
            return Working(results=int(self.scale != 1))
        scores = axes.batch * axes.time * axes.vocab_size
        return Working(0, 1, max(scores, axes.batch * axes.time * axes.d_model))

    def label(self, axes: Axes) -> Label:
        return Label("Linear", f"{axes.d_model} → {axes.vocab_size:,}".replace(",", " "))


class MaskedLm(Component):
    """Scores of each token at each step, by a map of its own before the vocabulary's.

    The head of masked language models (Devlin et al., 2019, arXiv:1810.04805): a linear map, an
    activation, a norm, and the scores, whose matrix is most often that of the words.
    """

    kind: Literal["masked_lm"] = "masked_lm"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("head", "module")
    signature: ClassVar[str] = "x[batch time d_model] -> [batch time vocab_size]"
    module: ClassVar[str] = "MaskedLmHead"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"vocab_size": 50},
        {"vocab_size": 50, "width": 16, "norm": {"kind": "layernorm", "eps": 1e-12}},
        {"vocab_size": 50, "activation": "relu", "dense_bias": False, "bias": False},
    )

    vocab_size: Positive | None = Field(
        default=None, description="Number of tokens. Default: that of the stack's input."
    )
    width: Positive | None = Field(
        default=None, description="Width before the scores, that of the words. Default: d_model."
    )
    activation: Activation = Field(default="gelu", description="After the first linear map.")
    norm: Component | None = Field(
        default=None,
        description="The norm after the activation. Default: layernorm.",
        json_schema_extra={"slot": "norm"},
    )
    dense_bias: bool = Field(default=True, description="Whether the first linear map has a bias.")
    bias: bool = Field(default=True, description="Whether a learned offset is added to the scores.")

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        width = place["d_model"] if made.width is None else made.width
        return made.model_copy(update={"width": width, "norm": made.norm or LayerNorm()})

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {"dense.weight": (axes.width, axes.d_model)}
        if self.dense_bias:
            tensors["dense.bias"] = (axes.width,)
        tensors["head.weight"] = (axes.vocab_size, axes.width)
        return {**tensors, "head.bias": (axes.vocab_size,)} if self.bias else tensors

    def parts(self, axes: Axes) -> dict[str, Placed]:
        assert self.norm is not None, "complete() sees to it"
        return {"norm": place(self.norm, {"x": (axes.batch, axes.time, axes.width)})}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows = axes.batch * axes.time
        return {"dense": LinearMap("project", rows), "head": LinearMap("head", rows)}

    def split(self, axes: Axes) -> Split:
        return Split({"head": "scores"})

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "vocab_size": axes.vocab_size,
            "width": axes.width,
            "activation": Name(ACTIVATIONS[self.activation]),
            "dense_bias": self.dense_bias,
            "bias": self.bias,
        }

    def products(self, axes: Axes) -> tuple[Product, ...]:
        each: Size = 2 * axes.batch * axes.time * axes.width
        return (
            Product(each * axes.d_model, ("x",), ("dense.weight",)),
            Product(each * axes.vocab_size, ("x", "dense", "norm"), ("head.weight",)),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        mapped = KEPT.get(self.activation, 2) * axes.batch * axes.time * axes.width
        return Kept(("x",), mapped + self.parts(axes)["norm"].inside())

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        norm = self.parts(axes)["norm"]
        each = norm.component.working(norm.axes).inputs
        return Working(results=0, numbers=(each - 1) * norm.size)

    def label(self, axes: Axes) -> Label:
        sizes = f"{axes.d_model} → {axes.width} → {axes.vocab_size:,}"
        return Label("Linear, Norm, Linear", sizes.replace(",", " "))


class Linear(Component):
    """A linear map of each step."""

    kind: Literal["linear"] = "linear"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("head", "module")
    signature: ClassVar[str] = "x[batch time d_model] -> [batch time out_features]"
    module: ClassVar[str] = "LinearHead"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"out_features": 7},
        {"out_features": 7, "bias": False, "scale": 0.5},
    )

    out_features: Positive = Field(description="Width of the result.")
    bias: bool = Field(default=True, description="Whether a learned offset is added.")
    scale: PositiveNumber = Field(default=1.0, description="Factor of the scores.")

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {"head.weight": (axes.out_features, axes.d_model)}
        return {**tensors, "head.bias": (axes.out_features,)} if self.bias else tensors

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return {"head": LinearMap("head", axes.batch * axes.time)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "out_features": axes.out_features,
            "bias": self.bias,
            "scale": self.scale,
        }

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.batch * axes.time * axes.d_model * axes.out_features

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x",), operands=(Operand(("head.weight",), ("x",)),))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(results=int(self.scale != 1))

    def label(self, axes: Axes) -> Label:
        return Label("Linear", f"{axes.d_model} → {axes.out_features}")


class Classification(Component):
    """Scores of each class for a whole sequence, from its pooled state."""

    kind: Literal["classification"] = "classification"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("head", "module")
    signature: ClassVar[str] = "x[batch time d_model] -> [batch num_classes]"
    module: ClassVar[str] = "ClassificationHead"
    mixes_time: ClassVar[bool] = True
    ends_mask: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_classes": 5},
        {"num_classes": 5, "pool": "first", "bias": False, "scale": 0.5},
    )

    num_classes: Positive = Field(description="Number of classes.")
    pool: Literal["mean", "max", "first", "last"] = Field(
        default="mean", description="What stands for the sequence: a mean, a maximum, or one step."
    )
    bias: bool = Field(default=True, description="Whether a learned offset is added.")
    scale: PositiveNumber = Field(default=1.0, description="Factor of the scores.")

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {"head.weight": (axes.num_classes, axes.d_model)}
        return {**tensors, "head.bias": (axes.num_classes,)} if self.bias else tensors

    def parts(self, axes: Axes) -> dict[str, Placed]:
        return {"pool": place(Pool(by=self.pool), {"x": (axes.batch, axes.time, axes.d_model)})}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        return {"head": LinearMap("head", axes.batch)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "num_classes": axes.num_classes,
            "bias": self.bias,
            "scale": self.scale,
        }

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return Pool(by=self.pool).masks(axes)

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.batch * axes.d_model * axes.num_classes

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        pool = Pool(by=self.pool).kept(axes, masked=masked)
        pooled = axes.batch * axes.d_model if self.pool != "first" else 0
        return Kept(pool.ports, pool.numbers + pooled, pool.others)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        pool = Pool(by=self.pool).working(axes)
        return Working(pool.inputs, pool.results, axes.batch * axes.d_model)

    def label(self, axes: Axes) -> Label:
        return Label(
            f"{self.pool.title()} Pool, Linear", f"{axes.d_model} → {axes.num_classes} classes"
        )
