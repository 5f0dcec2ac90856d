"""Embeddings of a stack's input, and the positions added to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, OptionError, Role, Tensors
from .costs import Kept, Working
from .options import Natural, Positive, PositiveNumber, Probability
from .placed import Placed, place
from .splits import Split


class _Embedding(Component):
    """What embeddings of tokens and of vectors share."""

    role: ClassVar[Role] = "embedding"
    slots: ClassVar[tuple[str, ...]] = ("embed", "module")

    position: Component | None = Field(
        default=None,
        description="Positions that are added: `learned` or `sinusoidal`. Default: none.",
        json_schema_extra={"slot": "position"},
    )
    norm: Component | None = Field(
        default=None,
        description="A norm of the sum.",
        json_schema_extra={"slot": "norm"},
    )
    dropout: Probability | None = Field(
        default=None, description="Dropout on the sum. Default: the stack's dropout."
    )

    def parts(self, axes: Axes) -> dict[str, Placed]:
        shape = (axes.batch, axes.time, axes.d_model)
        return {
            name: place(part, {"x": shape}, **dict(axes))
            for name in ("position", "norm")
            if (part := getattr(self, name)) is not None
        }

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        norms = [part.inside() for name, part in self.parts(axes).items() if name == "norm"]
        dropped = axes.batch * axes.time * axes.d_model if self.dropout else 0
        tokens = ("tokens",) if self.kind == "token_embedding" else ()
        return Kept(tokens, sum(norms) + dropped)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        parts = [part for name, part in self.parts(axes).items() if name == "norm"]
        return Working(results=max([1, *(p.component.working(p.axes).inputs for p in parts)]))


class TokenEmbedding(_Embedding):
    """One learned vector a token, with positions, norm and dropout as asked."""

    kind: Literal["token_embedding"] = "token_embedding"
    cached: ClassVar[str] = "CachedTokenEmbedding"
    signature: ClassVar[str] = "tokens[batch time] -> [batch time d_model]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"vocab_size": 50, "d_model": 16},
        {"vocab_size": 50, "d_model": 16, "scale": 4.0, "position": {"kind": "sinusoidal"}},
        {
            "vocab_size": 50,
            "d_model": 16,
            "position": {"kind": "learned", "max_length": 12},
            "norm": {"kind": "layernorm"},
            "dropout": 0.1,
        },
    )
    example_inputs = {"tokens": (2, 6)}

    vocab_size: Positive | None = Field(
        default=None, description="Number of tokens. Default: the input's vocab_size."
    )
    d_model: Positive | None = Field(
        default=None, description="Width of a vector. Default: the stack's d_model."
    )
    scale: PositiveNumber = Field(
        default=1.0, description="Factor of the vectors, before positions are added."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place).model_copy(update=_no_dropout(self, place))
        for option, value in (("vocab_size", 32_000), ("d_model", 512)):
            if getattr(made, option) is None:
                message = f"a token embedding needs a {option} here"
                raise OptionError(option, message, f"{option}: {value}")
        return made

    def tensors(self, axes: Axes) -> Tensors:
        return {"tokens.weight": (axes.vocab_size, axes.d_model)}

    def split(self, axes: Axes) -> Split:
        return Split({"tokens": "vocabulary"})

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "vocab_size": axes.vocab_size,
            "d_model": axes.d_model,
            "scale": self.scale,
            "dropout": self.dropout,
        }

    def label(self, axes: Axes) -> Label:
        size = f"{axes.vocab_size:,} × {axes.d_model}".replace(",", " ")
        square = round(self.scale**2)
        if self.scale == 1:
            return Label("Token Embedding", size)
        root = f"√{square}" if abs(square**0.5 - self.scale) < 1e-9 else f"{self.scale:g}"  # noqa: PLR2004
        return Label("Token Embedding", f"{size}, scaled {root}")


class SequenceEmbedding(_Embedding):
    """Positions, norm and dropout for a sequence that is vectors already."""

    kind: Literal["sequence_embedding"] = "sequence_embedding"
    cached: ClassVar[str] = "CachedSequenceEmbedding"
    signature: ClassVar[str] = "x[batch time d_model] -> [batch time d_model]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"position": {"kind": "sinusoidal"}},
        {
            "position": {"kind": "learned", "max_length": 12},
            "norm": {"kind": "rmsnorm"},
            "dropout": 0.1,
        },
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        return super().complete(place).model_copy(update=_no_dropout(self, place))

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"dropout": self.dropout}

    def label(self, axes: Axes) -> Label:
        return Label("Embedding")


class Learned(Component):
    """One learned vector a position (Gehring et al., 2017, arXiv:1705.03122)."""

    kind: Literal["learned"] = "learned"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("position",)
    signature: ClassVar[str] = "x[batch time d_model] -> [time d_model]"
    module: ClassVar[str] = "LearnedPosition"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"max_length": 12},
        {"max_length": 12, "offset": 2},
    )

    max_length: Positive | None = Field(
        default=None,
        description="Longest sequence. Default: the input's length, where that is a number.",
    )
    offset: Natural = Field(
        default=0,
        description="Rows before that of the first step, which no step uses, as in BART, OPT and "
        "RoBERTa (2).",
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        length = place.get("time")
        longest = self.max_length or (length if isinstance(length, int) else None)
        if longest is None:
            raise OptionError(
                "position",
                f"learned positions need a longest length, and '{length}' is not a number",
                "position: {kind: learned, max_length: 512}",
            )
        if isinstance(length, int) and length > longest:
            raise OptionError(
                "position",
                f"max_length {longest} is shorter than the sequence, which has {length} steps",
                f"max_length: {length}",
            )
        return self.model_copy(update={"max_length": longest})

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.max_length + self.offset, axes.d_model)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        rows = axes.max_length + self.offset
        return {"rows": rows, "d_model": axes.d_model, "offset": self.offset}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept()

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """The input gives its shape alone."""
        return Working(inputs=0)

    def label(self, axes: Axes) -> Label:
        return Label("Positional", f"learned, {axes.max_length} × {axes.d_model}")


class Sinusoidal(Component):
    """Sines and cosines of falling frequency (Vaswani et al., 2017)."""

    kind: Literal["sinusoidal"] = "sinusoidal"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("position",)
    signature: ClassVar[str] = "x[batch time d_model] -> [time d_model]"
    module: ClassVar[str] = "SinusoidalPosition"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"theta": 500.0},
        {"layout": "concat"},
    )

    theta: PositiveNumber = Field(default=10_000.0, description="Base of the frequencies.")
    layout: Literal["interleaved", "concat"] = Field(
        default="interleaved",
        description="Whether sines and cosines take turns, or all sines come first, as in Marian.",
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        if isinstance(width := place["d_model"], int) and width % 2:
            raise OptionError(
                "position",
                f"sinusoidal positions come in pairs, but d_model {width} is odd",
                f"d_model: {width + 1}",
            )
        return super().complete(place)

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"theta": self.theta, "layout": self.layout}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept()

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """The input gives its shape alone."""
        return Working(inputs=0)

    def label(self, axes: Axes) -> Label:
        return Label("Positional", "sinusoidal")


def _no_dropout(embedding: _Embedding, place: Mapping[str, Any]) -> dict[str, float]:
    return {} if embedding.dropout is not None else {"dropout": place.get("dropout") or 0.0}
