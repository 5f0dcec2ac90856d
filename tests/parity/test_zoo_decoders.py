"""Published decoders compute what `transformers` computes with the same random weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import pytest
import torch

import composer
from composer.weights import WeightError, convert_tensors
from tests.parity.zoo import (
    SPECS,
    default_dtype,
    gradient_difference,
    randomise,
    with_weights,
)

VOCAB, WIDTH, TIME, LENGTH = 61, 32, 13, 40
COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "intermediate_size": 44,
    "max_position_embeddings": LENGTH,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DIMS = {
    "vocab_size": VOCAB,
    "d_model": WIDTH,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 10,
    "d_ff": 44,
}
TIED = {"tie_word_embeddings": True}


@dataclass(frozen=True)
class Family:
    """A spec scaled down, and the configuration of the same model elsewhere.

    `config` changes COMMON, where None takes a key away; `dims` are those of DIMS that the spec
    has, and `change` is any other option of the spec.
    """

    spec: str
    model: str
    config: dict[str, Any]
    dims: tuple[str, ...] = tuple(DIMS)
    change: dict[str, Any] = field(default_factory=dict)
    size: str | None = None
    layers: int = 3

    def __str__(self) -> str:
        return self.spec if self.size is None else f"{self.spec}-{self.size}"

    def overrides(self) -> list[str]:
        """The spec's small sizes."""
        given = {f"dims.{name}": DIMS[name] for name in self.dims}
        given |= {"decoder.num_layers": self.layers, **self.change}
        return [f"{name}={value}" for name, value in given.items()]


def rope(theta: float = 10_000.0, **more: Any) -> dict[str, Any]:
    """Rotary positions as a configuration writes them."""
    return {"rope_type": "default", "rope_theta": theta, **more}


def without(*names: str) -> dict[str, None]:
    """Keys of COMMON that a configuration does not have."""
    return dict.fromkeys(names)


GPT = ("vocab_size", "d_model", "num_heads")
NO_HEAD_DIM = without("head_dim")
GROUPED = ("vocab_size", "d_model", "num_heads", "num_kv_heads", "d_ff")
FAMILIES = [
    Family("llama", "Llama", {"rms_norm_eps": 1e-6}),
    Family(
        "llama",
        "Llama",
        {
            "rms_norm_eps": 1e-5,
            "rope_parameters": rope(
                5e5,
                rope_type="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=8192,
            ),
        },
        size="3.1-8b",
    ),
    Family(
        "gpt2",
        "GPT2",
        {
            **without("num_key_value_heads", "head_dim"),
            "n_inner": 128,
            "activation_function": "gelu_new",
            **TIED,
        },
        GPT,
        {"decoder.embed.position.max_length": LENGTH},
    ),
    Family(
        "mistral",
        "Mistral",
        {"rms_norm_eps": 1e-5, "sliding_window": 5},
        change={"decoder.attention.window": 5},
    ),
    Family("qwen2", "Qwen2", {**TIED, "rope_parameters": rope(1e6)}),
    Family("qwen3", "Qwen3", {**TIED, "rope_parameters": rope(1e6)}),
    Family("gemma", "Gemma", {**TIED, "hidden_activation": "gelu_pytorch_tanh"}),
    Family(
        "gemma2",
        "Gemma2",
        {**TIED, "sliding_window": 5, "query_pre_attn_scalar": 12},
        change={"dims.window": 5, "dims.query_width": 12},
    ),
    Family(
        "gpt_neox",
        "GPTNeoX",
        {
            **without("num_key_value_heads", "head_dim"),
            "intermediate_size": 128,
            "rope_parameters": rope(partial_rotary_factor=0.25),
        },
        GPT,
    ),
    Family(
        "gptj",
        "GPTJ",
        {**without("num_key_value_heads", "head_dim"), "rotary_dim": 6},
        GPT,
        {"dims.rotary_dim": 6},
    ),
    Family(
        "phi",
        "Phi",
        {
            **without("num_key_value_heads", "head_dim"),
            "intermediate_size": 128,
            "rope_parameters": rope(partial_rotary_factor=0.5),
        },
        GPT,
        {"dims.fraction": 0.5},
    ),
    Family(
        "phi3",
        "Phi3",
        {**NO_HEAD_DIM, "sliding_window": 5, "rms_norm_eps": 1e-5},
        GROUPED,
        {"dims.window": 5},
    ),
    Family(
        "olmo2",
        "Olmo2",
        {**NO_HEAD_DIM, "rms_norm_eps": 1e-6, "rope_parameters": rope(5e5)},
        change={"dims.head_dim": 8},
    ),
    Family(
        "starcoder2",
        "Starcoder2",
        {
            **NO_HEAD_DIM,
            **TIED,
            "sliding_window": 5,
            "norm_epsilon": 1e-5,
            "rope_parameters": rope(999999.0),
        },
        GROUPED,
        {"dims.window": 5},
    ),
    Family(
        "stablelm",
        "StableLm",
        {**NO_HEAD_DIM, "rope_parameters": rope(partial_rotary_factor=0.25)},
        GROUPED,
    ),
    Family(
        "stablelm",
        "StableLm",
        {
            **NO_HEAD_DIM,
            "qk_layernorm": True,
            "use_parallel_residual": True,
            "rope_parameters": rope(partial_rotary_factor=0.25),
        },
        GROUPED,
        size="2-12b",
    ),
    Family(
        "granite",
        "Granite",
        {
            **NO_HEAD_DIM,
            **TIED,
            "rms_norm_eps": 1e-5,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.3,
            "attention_multiplier": 0.2,
            "logits_scaling": 1.7,
        },
        GROUPED,
        {"dims.embedding": 3.0, "dims.residual": 0.3, "dims.scores": 0.2, "dims.logits": 1.7},
    ),
    Family(
        "smollm3",
        "SmolLM3",
        {
            **NO_HEAD_DIM,
            **TIED,
            "num_hidden_layers": 5,
            "no_rope_layer_interval": 4,
            "no_rope_layers": None,
            "rope_parameters": rope(2e6),
        },
        GROUPED,
        layers=5,
    ),
    Family(
        "cohere2",
        "Cohere2",
        {
            **TIED,
            "num_hidden_layers": 5,
            "sliding_window": 5,
            "logit_scale": 0.3,
            "rope_parameters": rope(5e4),
        },
        change={"dims.window": 5, "dims.logits": 0.3},
        layers=5,
    ),
    Family(
        "gemma3",
        "Gemma3",
        {**TIED, "num_hidden_layers": 7, "sliding_window": 5, "query_pre_attn_scalar": 256},
        change={"dims.window": 5},
        layers=7,
    ),
    Family(
        "opt",
        "OPT",
        {
            **without("num_key_value_heads", "head_dim", "intermediate_size"),
            **TIED,
            "ffn_dim": 128,
            "word_embed_proj_dim": WIDTH,
        },
        GPT,
        {"dims.max_length": LENGTH},
    ),
    Family(
        "bloom",
        "Bloom",
        {
            **without("num_key_value_heads", "head_dim", "intermediate_size"),
            **TIED,
            "hidden_size": 36,
            "num_attention_heads": 6,
            "n_head": 6,
            "n_layer": 3,
        },
        ("vocab_size",),
        {"dims.d_model": 36, "dims.num_heads": 6},
    ),
    Family(
        "falcon",
        "Falcon",
        {
            **without("num_key_value_heads", "head_dim", "intermediate_size"),
            **TIED,
            "multi_query": True,
            "parallel_attn": True,
            "new_decoder_architecture": False,
            "bias": False,
            "alibi": False,
        },
        GPT,
    ),
    Family(
        "falcon",
        "Falcon",
        {
            **without("num_key_value_heads", "head_dim", "intermediate_size"),
            **TIED,
            "num_kv_heads": 2,
            "new_decoder_architecture": True,
            "bias": False,
            "alibi": False,
        },
        (*GPT, "num_kv_heads"),
        size="40b",
    ),
    Family(
        "mpt",
        "Mpt",
        {
            **without("num_key_value_heads", "head_dim", "intermediate_size"),
            **TIED,
            "d_model": 36,
            "n_heads": 6,
            "n_layers": 3,
            "max_seq_len": LENGTH,
            "expansion_ratio": 4,
            "hidden_size": None,
            "num_attention_heads": None,
            "num_hidden_layers": None,
            "no_bias": True,
        },
        ("vocab_size",),
        {"dims.d_model": 36, "dims.num_heads": 6},
    ),
    Family(
        "mixtral",
        "Mixtral",
        {
            "rms_norm_eps": 1e-5,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": None,
            "rope_parameters": rope(1e6),
        },
        change={"dims.num_experts": 4},
    ),
    Family(
        "qwen3_moe",
        "Qwen3Moe",
        {
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 20,
            "norm_topk_prob": True,
            "rope_parameters": rope(1e6),
        },
        change={"dims.num_experts": 6, "dims.experts_per_token": 3, "dims.d_ff": 20},
    ),
    Family(
        "deepseek_v3",
        "DeepseekV3",
        {
            **without("num_key_value_heads", "head_dim"),
            "num_key_value_heads": 4,
            "q_lora_rank": 14,
            "kv_lora_rank": 18,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 6,
            "v_head_dim": 10,
            "n_routed_experts": 8,
            "n_group": 4,
            "topk_group": 2,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 20,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "routed_scaling_factor": 2.5,
            "rope_parameters": rope(
                rope_type="yarn",
                factor=40.0,
                original_max_position_embeddings=4096,
                mscale=1.0,
                mscale_all_dim=1.0,
                beta_fast=32,
                beta_slow=1,
            ),
        },
        ("vocab_size", "d_model", "num_heads", "d_ff"),
        {
            "dims.q_rank": 14,
            "dims.kv_rank": 18,
            "dims.head_dim": 8,
            "dims.rope_dim": 6,
            "dims.v_head_dim": 10,
            "dims.num_experts": 8,
            "dims.groups": 4,
            "dims.groups_per_token": 2,
            "dims.experts_per_token": 3,
            "dims.expert_d_ff": 20,
            "decoder.layer_types": "[dense, moe, moe]",
            "decoder.attention.qk_scale": 14**-0.5 * (0.1 * log(40) + 1) ** 2,
        },
    ),
    Family(
        "gpt_oss",
        "GptOss",
        {
            "rms_norm_eps": 1e-5,
            "num_local_experts": 5,
            "num_experts_per_tok": 4,
            "sliding_window": 5,
            "rope_parameters": rope(
                150000.0,
                rope_type="yarn",
                factor=32.0,
                beta_fast=32.0,
                beta_slow=1.0,
                truncate=False,
                original_max_position_embeddings=4096,
            ),
        },
        change={"dims.num_experts": 5, "dims.window": 5},
    ),
    Family(
        "mamba",
        "Mamba",
        {
            **without(
                "num_key_value_heads",
                "head_dim",
                "intermediate_size",
                "num_attention_heads",
                "max_position_embeddings",
            ),
            **TIED,
            "state_size": 16,
            "layer_norm_epsilon": 1e-5,
        },
        ("vocab_size", "d_model"),
    ),
]
NAMES = {
    "Gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "GPT2": ("GPT2Config", "GPT2LMHeadModel"),
    "DeepseekV3": ("DeepseekV3Config", "DeepseekV3ForCausalLM"),
}
COUNTS = {
    ("gpt2", "base"): 124_439_808,
    ("gpt2", "medium"): 354_823_168,
    ("gpt2", "large"): 774_030_080,
    ("gpt2", "xl"): 1_557_611_200,
    ("llama", "7b"): 6_738_415_616,
    ("llama", "3-8b"): 8_030_261_248,
    ("mistral", "7b"): 7_241_732_096,
    ("qwen2", "0.5b"): 494_032_768,
    ("gemma", "2b"): 2_506_172_416,
    ("gemma2", "2b"): 2_614_341_888,
    ("phi", "2"): 2_779_683_840,
    ("phi3", "mini-4k"): 3_821_079_552,
    ("starcoder2", "3b"): 3_030_371_328,
    ("falcon", "7b"): 6_921_720_704,
    ("bloom", "560m"): 559_214_592,
    ("mixtral", "8x7b"): 46_702_792_704,
    ("qwen3_moe", "30b-a3b"): 30_532_122_624,
    ("gpt_oss", "20b"): 20_914_757_184,
    ("gpt_oss", "120b"): 116_829_156_672,
    ("mamba", "130m"): 129_135_360,
}


def theirs(family: Family) -> torch.nn.Module:
    """The other implementation, every parameter and buffer of weights random."""
    transformers = pytest.importorskip("transformers")
    config_name, model_name = NAMES.get(
        family.model, (f"{family.model}Config", f"{family.model}ForCausalLM")
    )
    options = {**COMMON, **family.config}
    removed = {name for name in family.config if name in COMMON and family.config[name] is None}
    config = getattr(transformers, config_name)(
        **{k: v for k, v in options.items() if k not in removed}
    )
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = getattr(transformers, model_name)(config).eval()
    randomise(model, around_one=not family.model.startswith("Gemma"))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if "correction_bias" in name:
                buffer.normal_(std=0.15)
    return model


def ours(family: Family, other: torch.nn.Module) -> torch.nn.Module:
    """The model of the spec with the other's weights."""
    return with_weights(family.spec, dict(other.state_dict()), family.overrides(), family.size)


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


def differences(family: Family, dtype: torch.dtype) -> tuple[float, float]:
    """The largest difference of the logits, unpadded and padded."""
    with default_dtype(dtype), torch.no_grad():
        other = theirs(family).to(dtype)
        model = ours(family, other).to(dtype)
        tokens = torch.randint(3, VOCAB, (2, TIME), generator=torch.Generator().manual_seed(1))
        mask = torch.ones(2, TIME, dtype=torch.long)
        mask[1, TIME - 4 :] = 0
        plain = model(tokens=tokens).logits - other(tokens, use_cache=False).logits
        padded = model(tokens=tokens, tokens_mask=mask.bool()).logits
        padded = padded - other(tokens, attention_mask=mask, use_cache=False).logits
    return float(plain.abs().max()), float(padded[mask.bool()].abs().max())


@pytest.mark.filterwarnings("ignore")
def test_same_logits_in_single_precision(family):
    plain, padded = differences(family, torch.float32)

    assert plain < 1e-4
    assert padded < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_same_logits_in_double_precision(family):
    plain, padded = differences(family, torch.float64)

    assert plain < 5e-6
    assert padded < 5e-6


GROUPS = ["gpt2", "gpt_neox", "opt", "llama", "mpt", "mamba", "mixtral", "deepseek_v3", "gpt_oss"]
"""One family of each way to name weights."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", GROUPS)
def test_same_gradients(spec):
    family = next(f for f in FAMILIES if f.spec == spec)
    other = theirs(family)
    model = ours(family, other)
    tokens = torch.randint(3, VOCAB, (2, TIME), generator=torch.Generator().manual_seed(1))

    (other(tokens, use_cache=False).logits ** 2).mean().backward()
    (model(tokens=tokens).logits ** 2).mean().backward()

    assert gradient_difference(spec, model, other, family.overrides(), family.size) < 1e-4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", ["mixtral", "qwen3_moe", "deepseek_v3"])
def test_experts_that_are_published_one_by_one(spec):
    """Files hold a matrix for each expert, and Mixtral's other names for them."""
    family = next(f for f in FAMILIES if f.spec == spec)
    names = {"gate": "w1", "up": "w3", "down": "w2"} if spec == "mixtral" else {}
    other = theirs(family)
    published = {}
    for name, tensor in other.state_dict().items():
        head, found, tail = name.partition(".mlp.experts.")
        layer = f"{head}.block_sparse_moe" if spec == "mixtral" else f"{head}.mlp"
        if not found:
            published[name.replace(".mlp.", ".block_sparse_moe.") if names else name] = tensor
            continue
        parts = (
            dict(zip(("gate", "up"), tensor.chunk(2, dim=1), strict=True))
            if "gate" in tail
            else {"down": tensor}
        )
        for part, stacked in parts.items():
            for number, one in enumerate(stacked):
                expert = names.get(part, f"{part}_proj")
                published[f"{layer}.experts.{number}.{expert}.weight"] = one
    made = composer.load(SPECS / f"{spec}.yaml", overrides=family.overrides())
    graph = composer.graph(made)
    tensors = convert_tensors(graph, made.weights["huggingface"], published)
    model = ours(family, other)

    for name, tensor in tensors.items():
        assert torch.equal(tensor, model.state_dict()[name]), name


# What the comparison would find

MUTATIONS = {
    "eps": ("llama", {"dims.eps": 1e-5}),
    "theta": ("qwen2", {"decoder.attention.position.theta": 10_000}),
    "layout": ("gptj", {"decoder.attention.position.layout": "half"}),
    "turned part": ("gpt_neox", {"decoder.attention.position.fraction": 0.5}),
    "window": ("mistral", {"decoder.attention.window": 6}),
    "gelu": ("gpt2", {"decoder.feed_forward.activation": "gelu"}),
    "bias": ("qwen2", {"decoder.attention.bias": "[q, v]"}),
    "norm offset": ("gemma", {"decoder.norm.weight_offset": 0}),
    "soft cap": ("gemma2", {"decoder.attention.softcap": 5}),
    "logit cap": ("gemma2", {"logits.head.softcap": 5}),
    "norm over heads": ("qwen3", {"decoder.attention.qk_norm.eps": 1e-3}),
    "router weights": ("deepseek_v3", {"decoder.types.moe.feed_forward.weight_scale": 2}),
    "router groups": ("deepseek_v3", {"dims.groups_per_token": 4}),
    "expert clip": ("gpt_oss", {"decoder.feed_forward.limit": 0.1}),
    "expert offset": ("gpt_oss", {"decoder.feed_forward.up_offset": 0}),
    "yarn": ("gpt_oss", {"decoder.attention.position.scaling.factor": 2}),
    "llama3": ("llama", {"decoder.attention.position.scaling.factor": 2}),
    "positions": ("bloom", {"decoder.attention.position": "rope"}),
    "residual factor": ("granite", {"dims.residual": 0.5}),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_option_is_found(name):
    spec, change = MUTATIONS[name]
    size = "3.1-8b" if name == "llama3" else None
    family = next(f for f in FAMILIES if (f.spec, f.size) == (spec, size))
    wrong = replace(family, change={**family.change, **change})

    try:
        plain, _ = differences(wrong, torch.float64)
    except WeightError:
        return  # a tensor too many is found before anything is computed

    assert plain > 5e-6


# Sizes


@pytest.mark.parametrize(("spec", "size"), COUNTS)
def test_published_parameter_counts(spec, size):
    assert composer.graph(SPECS / f"{spec}.yaml", size=size).parameters == COUNTS[spec, size]


@pytest.mark.parametrize("spec", sorted({family.spec for family in FAMILIES}))
def test_every_size_of_a_spec_is_a_model(spec):
    path = SPECS / f"{spec}.yaml"
    text = path.read_text()
    sizes = re.findall(r"^  ([\w.-]+):", text.partition("\nsizes:\n")[2], re.MULTILINE)

    assert sizes
    assert len(text.splitlines()) <= 60
    for size in sizes:
        made = composer.load(path, size=size)
        assert made.cite
        assert made.weights
        assert composer.graph(made).parameters > 10**7
