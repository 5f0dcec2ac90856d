"""The weights of a built model under the names of its rivals, so that all compute the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

Renames = Iterable[tuple[str, str]]

TRANSFORMER_RENAMES = (
    (r"(encoder|decoder)\.embed\.tokens", "embed"),
    (r"logits\.head", "head"),
    (r"(encoder|decoder)\.layers\.(\d+)\.", r"\1.\2."),
    (r"\.cross_attention\.", ".cross_"),
    (r"\.(attention|feed_forward)\.", "."),
    (r"(encoder\.\d+)\.feed_forward_norm", r"\1.norm2"),
    (r"\.attention_norm", ".norm1"),
    (r"\.cross_attention_norm", ".norm2"),
    (r"\.feed_forward_norm", ".norm3"),
)
"""From a built Transformer to `handwritten.Transformer`: patterns, applied in order."""

LLAMA_RENAMES = (
    (r"decoder\.embed\.tokens", "embed"),
    (r"logits\.head", "head"),
    (r"decoder\.", ""),
    (r"\.(attention|feed_forward)\.", "."),
    (r"\.attention_norm", ".norm1"),
    (r"\.feed_forward_norm", ".norm2"),
)
"""From a built llama-like model to `handwritten.Llama`."""

_TORCH_RENAMES = (
    (r"(encoder|decoder)\.embed\.tokens", "embed"),
    (r"logits\.head", "head"),
    (r"^(encoder|decoder)\.", r"transformer.\1."),
    (r"encoder\.layers\.(\d+)\.feed_forward_norm", r"encoder.layers.\1.norm2"),
    (r"\.cross_attention_norm", ".norm2"),
    (r"\.attention_norm", ".norm1"),
    (r"\.feed_forward_norm", ".norm3"),
    (r"\.cross_attention\.", ".multihead_attn."),
    (r"\.attention\.", ".self_attn."),
    (r"\.o\.(weight|bias)", r".out_proj.\1"),
    (r"\.feed_forward\.up", ".linear1"),
    (r"\.feed_forward\.down", ".linear2"),
)


def copy_renamed(built: nn.Module, rival: nn.Module, renames: Renames) -> None:
    """Gives `rival` the weights of `built`, each name changed by every pattern in turn."""
    rival.load_state_dict(_renamed(built.state_dict(), renames))


def copy_to_torch(built: nn.Module, rival: nn.Module) -> None:
    """Gives `TorchTransformer` the weights of `built`: queries, keys and values are one matrix."""
    state = _renamed(built.state_dict(), _TORCH_RENAMES)
    for name in [name for name in state if re.search(r"\.q\.(weight|bias)$", name)]:
        stem, kind = name.rsplit(".q.", 1)
        parts = [state.pop(f"{stem}.{part}.{kind}") for part in ("q", "k", "v")]
        state[f"{stem}.in_proj_{kind}"] = torch.cat(parts)
    rival.load_state_dict(state)


def _renamed(state: Mapping[str, Tensor], renames: Renames) -> dict[str, Tensor]:
    found = {}
    for name, tensor in state.items():
        changed = name
        for pattern, replacement in renames:
            changed = re.sub(pattern, replacement, changed)
        found[changed] = tensor.clone()
    return found
