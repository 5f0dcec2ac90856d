"""The settings in which models are compared: a built model, its rivals, and a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import composer
from bench import handwritten
from bench.sizes import LlamaSize, Size, TransformerSize
from bench.specs import LLAMA, TRANSFORMER
from bench.torch_transformer import TorchTransformer
from bench.weights import LLAMA_RENAMES, TRANSFORMER_RENAMES, copy_renamed, copy_to_torch

BUILT = "composer"
TIGHT = "hand-written"
AGAIN = "hand-written, again"
TORCH = "torch.nn.Transformer"


@dataclass(frozen=True)
class Contender:
    """A model, and how it is asked for its logits."""

    model: nn.Module
    logits: Callable[..., Tensor]


@dataclass(frozen=True)
class Setting:
    """Models of the same weights, and what they all read and are to predict."""

    name: str
    about: str
    contenders: Mapping[str, Contender]
    inputs: Mapping[str, Tensor]
    labels: Tensor


def setting(name: str, size: Size) -> Setting:
    """Models of a size with weights copied, their outputs and gradients found equal.

    Raises AssertionError where one of them computes something else.
    """
    torch.manual_seed(0)
    if isinstance(size, LlamaSize):
        built, rivals = _llamas(size)
        inputs = {"tokens": _tokens(size)}
    else:
        built, rivals = _transformers(size)
        inputs = {"source": _tokens(size), "target": _tokens(size)}
        if size.padded:
            inputs |= {"source_mask": _real(size), "target_mask": _real(size)}
    made = Setting(name, size.text(), _contenders(built, rivals), inputs, _tokens(size))
    _require_equal(made)
    return made


def _transformers(size: TransformerSize) -> tuple[nn.Module, dict[str, nn.Module]]:
    """`specs/transformer.yaml` at a size, without dropout, and its rivals."""
    overrides = [
        f"dims.vocab_size={size.vocab_size}",
        f"dims.d_model={size.d_model}",
        f"defaults.attention.num_heads={size.num_heads}",
        "defaults.dropout=0",
        f"encoder.num_layers={size.num_layers}",
        f"decoder.num_layers={size.num_layers}",
    ]
    built = composer.build(TRANSFORMER, overrides=overrides, seed=0)
    tight, again = handwritten.Transformer(size), handwritten.Transformer(size)
    of_torch = TorchTransformer(size)
    copy_renamed(built, tight, TRANSFORMER_RENAMES)
    copy_renamed(built, again, TRANSFORMER_RENAMES)
    copy_to_torch(built, of_torch)
    return built, {TIGHT: tight, AGAIN: again, TORCH: of_torch}


def _llamas(size: LlamaSize) -> tuple[nn.Module, dict[str, nn.Module]]:
    """The decoder-only spec at a size, and its rivals."""
    overrides = [
        f"tokens.vocab_size={size.vocab_size}",
        f"decoder.d_model={size.d_model}",
        f"decoder.num_layers={size.num_layers}",
        f"decoder.attention.num_heads={size.num_heads}",
        f"decoder.attention.num_kv_heads={size.num_kv_heads}",
        f"decoder.feed_forward.d_ff={size.d_ff}",
    ]
    built = composer.build(LLAMA, overrides=overrides, seed=0)
    tight, again = handwritten.Llama(size), handwritten.Llama(size)
    copy_renamed(built, tight, LLAMA_RENAMES)
    copy_renamed(built, again, LLAMA_RENAMES)
    return built, {TIGHT: tight, AGAIN: again}


def _contenders(built: nn.Module, rivals: Mapping[str, nn.Module]) -> dict[str, Contender]:
    def logits(**inputs: Tensor) -> Tensor:
        return built(**inputs).logits

    found = {BUILT: Contender(built, logits)}
    return found | {name: Contender(model, model) for name, model in rivals.items()}


def _tokens(size: Size) -> Tensor:
    return torch.randint(size.vocab_size, (size.batch, size.time))


def _real(size: Size) -> Tensor:
    """Which tokens are real: all of the first sequence, fewer of each that follows."""
    lengths = torch.linspace(size.time, size.time // 2, size.batch).long()
    return torch.arange(size.time) < lengths[:, None]


def _require_equal(made: Setting) -> None:
    """Refuses a comparison of models that do not compute the same, forward or backward."""
    wanted = _computed(made.contenders[TIGHT], made)
    for name, contender in made.contenders.items():
        found = _computed(contender, made)
        for what in ("logits", "gradient"):
            close = torch.allclose(found[what], wanted[what], rtol=1e-3, atol=1e-4)
            assert close, f"{made.name}: the {what} of {name} differs from that of {TIGHT}"


def _computed(contender: Contender, made: Setting) -> dict[str, Tensor]:
    """The logits, and the gradient of the embedding table, which all of the model reaches."""
    logits = contender.logits(**made.inputs)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), made.labels.flatten())
    table = next(m for m in contender.model.modules() if isinstance(m, nn.Embedding)).weight
    (gradient,) = torch.autograd.grad(loss, table)
    return {"logits": logits.detach(), "gradient": gradient}
