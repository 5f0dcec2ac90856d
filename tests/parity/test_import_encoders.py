"""Configs of encoders, encoder-decoders, speech and vision, imported, compute what their models do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import composer
from composer.configs import import_config
from tests.parity import test_zoo_encoders as encoders
from tests.parity import test_zoo_sequences as sequences
from tests.parity import test_zoo_vision as vision


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


Family = encoders.Family | sequences.Family | vision.Family
ENCODER = {"num_hidden_layers": 4, "hidden_size": 48, "intermediate_size": 60,
           "layer_norm_eps": 1e-3, "hidden_act": "relu"}  # fmt: skip
SEQUENCE = {"encoder_layers": 3, "decoder_layers": 1, "encoder_ffn_dim": 60, "decoder_ffn_dim": 70,
            "decoder_attention_heads": 2, "d_model": 48, "activation_function": "gelu_new"}  # fmt: skip
IMAGE = {"image_size": [24, 32], "patch_size": [8, 8], "hidden_size": 48, "num_hidden_layers": 2,
         "intermediate_size": 60, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "num_labels": 5,
         "qkv_bias": False}  # fmt: skip
SWIN = {"image_size": 64, "embed_dim": 8, "depths": [1, 2, 3, 2], "num_heads": [1, 2, 2, 4],
        "hidden_act": "relu", "layer_norm_eps": 1e-3, "num_labels": 5}  # fmt: skip
TOWER = {
    "num_hidden_layers": 2,
    "intermediate_size": 50,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-3,
}
CHANGES: dict[str, dict[str, Any]] = {
    "bert": {**ENCODER, "type_vocab_size": 3},
    "bert_pretraining": ENCODER,
    "roberta": {**ENCODER, "pad_token_id": 2, "type_vocab_size": 2},
    "albert": {**ENCODER, "embedding_size": 12},
    "distilbert": {"dim": 48, "n_layers": 2, "hidden_dim": 60, "activation": "relu"},
    "electra-small-discriminator": {**ENCODER, "embedding_size": 12},
    "electra": {**ENCODER, "embedding_size": 48},
    "modernbert": {
        "hidden_size": 48, "intermediate_size": 60, "norm_eps": 1e-3, "hidden_activation": "relu",
        "classifier_activation": "silu", "local_attention": 4, "num_hidden_layers": 5,
        "layer_types": ["full_attention", *["sliding_attention", "full_attention"] * 2],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 300.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
        },
    },
    "deberta_v2": {**ENCODER, "max_relative_positions": 9, "position_buckets": 4,
                   "pos_att_type": "c2p|p2c"},
    "t5": {"d_model": 48, "num_layers": 3, "num_decoder_layers": None, "layer_norm_epsilon": 1e-3,
           "feed_forward_proj": "gated-silu", "relative_attention_num_buckets": 6},
    "t5-v1.1-base": {"d_kv": 6, "num_decoder_layers": 1, "feed_forward_proj": "gelu"},
    "bart": {**SEQUENCE, "scale_embedding": True},
    "mbart": {**SEQUENCE, "scale_embedding": False},
    "marian": {**SEQUENCE, "scale_embedding": False},
    "pegasus": SEQUENCE,
    "whisper": {**SEQUENCE, "max_target_positions": 30},
    "wav2vec2-base": {"hidden_size": 48, "num_hidden_layers": 3, "layer_norm_eps": 1e-3,
                      "conv_dim": (10, 12, 14), "conv_kernel": (10, 4, 4), "conv_stride": (10, 4, 8),
                      "conv_bias": True, "num_conv_pos_embeddings": 4, "hidden_act": "relu"},
    "wav2vec2-large-lv60": {"layer_norm_eps": 1e-3, "conv_bias": False, "vocab_size": 50,
                            "num_conv_pos_embedding_groups": 2},
    "vit": IMAGE,
    "deit": IMAGE,
    "dinov2": {**without(IMAGE, "intermediate_size"), "mlp_ratio": 3, "image_size": 32},
    "beit": {**without(IMAGE, "qkv_bias"), "image_size": 32, "patch_size": 8},
    "swin": SWIN,
    "clip": {
        "text_config": {**vision.TEXT, **TOWER, "eos_token_id": vision.VOCAB - 1, "hidden_size": 36},
        "vision_config": {**vision.COMMON, **TOWER, "hidden_size": 48},
        "projection_dim": 12,
    },
    "clip-l14": {
        "text_config": {**vision.TEXT, "eos_token_id": 2, "num_hidden_layers": 3},
        "vision_config": {**vision.COMMON, "patch_size": 12},
    },
    "siglip": {
        "text_config": {**vision.TEXT, **TOWER, "projection_size": 48, "eos_token_id": 2},
        "vision_config": {**vision.COMMON, **TOWER, "hidden_size": 48},
    },
    "blip2_qformer": {"hidden_size": 48, "num_hidden_layers": 5, "layer_norm_eps": 1e-3,
                      "hidden_act": "relu", "cross_attention_frequency": 3},
}  # fmt: skip
"""What the second config of a family says otherwise."""
ALL: list[Family] = [*encoders.FAMILIES, *sequences.FAMILIES, *vision.FAMILIES]
FAMILIES = [family for family in ALL if str(family) in CHANGES]
BESIDES = {"blip2_qformer": {"num_query_tokens": 5}}
"""Keys of the config around the model's own, which say how many queries there are."""


def imported(config: dict[str, Any], folder: Path) -> composer.configs.Imported:
    (folder / "config.json").write_text(json.dumps(config))
    return import_config(folder)


def models(family: Family, folder: Path) -> tuple[nn.Module, nn.Module]:
    """The model of an imported config with the other's weights, and the other."""
    other = module_of(family).theirs(family)
    # The comparison's own settings are no part of a config.
    named = {"architectures": [family.model], **BESIDES.get(family.spec, {})}
    made = imported({**own_config(other), **named}, folder)
    assert made.spec == f"{family.spec}.yaml"
    assert made.unknown == ()
    tensors = {name: each.clone() for name, each in other.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    model = composer.build(composer.load(made.text), weights=folder / "model.safetensors")
    return model.eval(), other


def own_config(other: nn.Module) -> dict[str, Any]:
    """What the other's config writes of itself."""
    made: dict[str, Any] = json.loads(getattr(other, "qformer", other).config.to_json_string())
    return made


def module_of(family: Family) -> Any:
    kinds = {encoders.Family: encoders, sequences.Family: sequences, vision.Family: vision}
    return kinds[type(family)]


def difference(family: Family, folder: Path) -> float:
    """How far what an imported model computes is from what the model of its config does."""
    torch.manual_seed(0)
    model, other = models(family, folder)
    with torch.no_grad():
        if isinstance(family, encoders.Family):
            return encoders._largest(encoders.run(family, model, other))
        if isinstance(family, sequences.Family):
            mine, their, _ = sequences.results(family, other, model)[0]
            return float((mine - their).abs().max())
        return vision._difference(family, model, other, pictured(family))


def pictured(family: vision.Family) -> vision.Example:
    """What a family reads, its images as large as the config says."""
    example, side = family.plain(), family.config.get("image_size")
    if side is None:
        return example
    height, width = side if isinstance(side, list) else (side, side)
    image = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    return replace(
        example,
        ours={**example.ours, "image": image},
        theirs={**example.theirs, "pixel_values": image},
    )


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.mark.filterwarnings("ignore")
def test_a_config_becomes_a_spec_of_the_same_model(family, tmp_path):
    assert difference(family, tmp_path) < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_other_sizes_and_options_become_another_spec(family, tmp_path):
    larger = replace(family, config={**family.config, **CHANGES[str(family)]})

    assert difference(larger, tmp_path) < 1e-4
