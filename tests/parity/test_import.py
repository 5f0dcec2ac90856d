"""Configs of `transformers`, imported, are specs that compute what these models compute."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import composer
from composer.configs import import_config
from tests.parity import test_zoo_decoders as zoo

LARGER = {
    "vocab_size": 67,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 52,
    "head_dim": 12,
}
NO_HEADS = zoo.without("num_key_value_heads", "head_dim")
CHANGES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    "gpt2": {"n_inner": None, "activation_function": "gelu", "scale_attn_weights": False},
    "mistral": {"sliding_window": None, "rms_norm_eps": 1e-3},
    "qwen2": {"tie_word_embeddings": False},
    "qwen3": {"tie_word_embeddings": False, "attention_bias": True},
    "gemma": {"hidden_act": "gelu"},
    "gemma2": {"attn_logit_softcapping": None, "final_logit_softcapping": None,
               "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]},
    "gpt_neox": {"use_parallel_residual": False, "attention_bias": False, "hidden_act": "relu"},
    "gptj": {"rotary_dim": 8, "n_inner": 100},
    "phi": {"num_key_value_heads": 2, "intermediate_size": 100},
    "phi3": {"sliding_window": None, "rope_parameters": zoo.rope(partial_rotary_factor=0.5)},
    "olmo2": {"rms_norm_eps": 1e-3, "attention_bias": True},
    "starcoder2": {"use_bias": False, "sliding_window": None},
    "stablelm": {"use_qkv_bias": True},
    "granite": {"tie_word_embeddings": False},
    "smollm3": {"no_rope_layers": [0, 1, 1, 0], "num_hidden_layers": 4},
    "cohere2": {"num_hidden_layers": 4, "layer_types": ["full_attention", "sliding_attention"] * 2},
    "gemma3": {"num_hidden_layers": 4, "layer_types": ["sliding_attention"] * 4, "query_pre_attn_scalar": 9},
    "opt": {"word_embed_proj_dim": 64, "ffn_dim": 100, "activation_function": "gelu"},
    "bloom": {"hidden_size": 64, "n_head": 4, "num_attention_heads": 4, "n_layer": 4, "layer_norm_epsilon": 1e-3},
    "falcon": {"bias": True, "ffn_hidden_size": 100},
    "mpt": {"d_model": 64, "n_heads": 4, "n_layers": 4,
            "attn_config": {"clip_qkv": 0.5, "softmax_scale": 0.3}},
    "mixtral": {"num_experts_per_tok": 3, "sliding_window": 5},
    "qwen3_moe": {"norm_topk_prob": False},
    "deepseek_v3": {"q_lora_rank": None, "n_shared_experts": 2, "first_k_dense_replace": 2,
                    "rope_parameters": zoo.rope(5e4), "norm_topk_prob": False},
    "gpt_oss": {"rope_parameters": zoo.rope(), "attention_bias": False, "swiglu_limit": 5.0},
    "mamba": {"state_size": 8, "expand": 3, "conv_kernel": 3, "use_bias": True, "use_conv_bias": False},
}  # fmt: skip
"""What the second config of a family says otherwise, besides its sizes."""
FAMILIES = [family for family in zoo.FAMILIES if family.spec in CHANGES]


def larger(family: zoo.Family) -> zoo.Family:
    return replace(family, config={**family.config, **CHANGES[family.spec]})


def difference(family: zoo.Family, folder) -> float:
    """How far the logits of an imported model are from those of the model of its config."""
    other = zoo.theirs(family)
    # The comparison's own settings are no part of a config.
    other.config.to_json_file(folder / "config.json")
    made = import_config(folder)
    assert made.spec == f"{family.spec}.yaml"
    assert made.unknown == ()
    tensors = {name: each.clone() for name, each in other.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    model = composer.build(composer.load(made.text), weights=folder / "model.safetensors").eval()
    tokens = torch.randint(3, zoo.VOCAB, (2, zoo.TIME), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return float(
            (model(tokens=tokens).logits - other(tokens, use_cache=False).logits).abs().max()
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_config_becomes_a_spec_of_the_same_model(family, tmp_path):
    assert difference(family, tmp_path) < 1e-4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_other_sizes_and_options_become_another_spec(family, tmp_path, monkeypatch):
    for key, value in LARGER.items():
        monkeypatch.setitem(zoo.COMMON, key, value)

    assert difference(larger(family), tmp_path) < 1e-4
