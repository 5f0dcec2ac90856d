"""Published encoder-decoders and speech models compute what `transformers` computes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import composer
from composer.weights import WeightError, convert_tensors
from tests.parity.zoo import (
    SPECS,
    default_dtype,
    gradient_difference,
    randomise,
    with_weights,
)

VOCAB, WIDTH, SOURCE, TARGET, FRAMES = 61, 32, 17, 13, 22
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
SAMPLES, SPOKEN = 3900, 2345
"""Of a waveform; 12 and 7 steps are left of them."""
BART = {
    "vocab_size": VOCAB,
    "d_model": WIDTH,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}
T5 = {
    "vocab_size": VOCAB,
    "d_model": WIDTH,
    "d_kv": 10,
    "d_ff": 44,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 11,
}
WHISPER = {
    **BART,
    "num_mel_bins": 14,
    "max_source_positions": FRAMES // 2,
    "max_target_positions": 40,
}
WAV2VEC2 = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 44,
    "conv_dim": (24,) * 7,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
}
DIMS = {"dims.vocab_size": VOCAB, "dims.d_model": WIDTH, "dims.num_heads": 4, "dims.num_layers": 2}
T5_DIMS = {
    **DIMS,
    "dims.d_ff": 44,
    "dims.head_dim": 10,
    "decoder.num_layers": 3,
    "defaults.attention.position.num_buckets": 8,
    "defaults.attention.position.max_distance": 11,
}
WAV2VEC2_DIMS = {
    "dims.vocab_size": VOCAB,
    "dims.d_model": WIDTH,
    "dims.num_heads": 4,
    "dims.d_ff": 44,
    "dims.channels": 24,
    "dims.kernel_size": 6,
    "dims.groups": 4,
    "encoder.num_layers": 2,
}


@dataclass(frozen=True)
class Family:
    """A spec scaled down, and the configuration of the same model elsewhere."""

    spec: str
    model: str
    config: dict[str, Any]
    change: dict[str, Any] = field(default_factory=dict)
    size: str | None = None

    def __str__(self) -> str:
        return self.spec if self.size is None else f"{self.spec}-{self.size}"

    def overrides(self) -> list[str]:
        """The spec's small sizes."""
        return [f"{name}={value}" for name, value in self.change.items()]


FAMILIES = [
    Family("t5", "T5ForConditionalGeneration", T5, T5_DIMS),
    Family(
        "t5",
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        T5_DIMS,
        "v1.1-base",
    ),
    Family("bart", "BartForConditionalGeneration", BART, {**DIMS, "dims.max_length": 40}),
    Family(
        "mbart",
        "MBartForConditionalGeneration",
        {**BART, "scale_embedding": True},
        {**DIMS, "dims.max_length": 40},
    ),
    Family(
        "marian",
        "MarianMTModel",
        {**BART, "scale_embedding": True, "activation_function": "swish"},
        {**DIMS, "dims.d_ff": 128},
    ),
    Family(
        "pegasus",
        "PegasusForConditionalGeneration",
        {**BART, "scale_embedding": True, "activation_function": "relu"},
        {**DIMS, "dims.d_ff": 128},
    ),
    Family(
        "whisper",
        "WhisperForConditionalGeneration",
        WHISPER,
        {**DIMS, "dims.mel_bins": 14, "dims.frames": FRAMES, "dims.max_length": 40},
    ),
    Family("wav2vec2", "Wav2Vec2ForCTC", WAV2VEC2, WAV2VEC2_DIMS, "base"),
    Family(
        "wav2vec2",
        "Wav2Vec2ForCTC",
        {
            **WAV2VEC2,
            "do_stable_layer_norm": True,
            "feat_extract_norm": "layer",
            "conv_bias": True,
        },
        WAV2VEC2_DIMS,
        "large-lv60",
    ),
]
COUNTS = {
    ("t5", "small"): 60_506_624,
    ("t5", "base"): 222_903_552,
    ("t5", "large"): 737_668_096,
    ("t5", "3b"): 2_851_598_336,
    ("t5", "11b"): 11_307_321_344,
    ("t5", "v1.1-base"): 247_577_856,
    ("whisper", "tiny"): 37_760_640,
    ("whisper", "base"): 72_593_920,
    ("whisper", "small"): 241_734_912,
    ("whisper", "medium"): 763_857_920,
    ("whisper", "large"): 1_543_304_960,
    ("wav2vec2", "base"): 94_396_320 - 768,
    ("wav2vec2", "large"): 315_461_792 - 1024,
    ("wav2vec2", "large-lv60"): 315_471_520 - 1024,
    ("bart", "base"): 139_420_416,
    ("bart", "large"): 406_291_456,
}
"""Less the vector of wav2vec 2.0 that stands for what is masked in training."""


def theirs(family: Family) -> nn.Module:
    """The other implementation, every parameter and buffer of weights random."""
    transformers = pytest.importorskip("transformers")
    cls = getattr(transformers, family.model)
    config = cls.config_class(**family.config)
    config._attn_implementation = "eager"
    model = cls(config).eval()
    computed = {
        name: parameter.clone()
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    randomise(model)
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    with torch.no_grad():
        for name, values in computed.items():
            parameters[name].copy_(values)
        for name, parameter in parameters.items():
            if name.endswith("original0"):  # the length of a weight, which is spread over all of it
                parameter.mul_(20)
        if "final_logits_bias" in buffers:
            buffers["final_logits_bias"].normal_(std=0.15)
        if family.size is not None and family.size.startswith("v1.1"):
            model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.15)
    return model


def ours(family: Family, other: nn.Module) -> nn.Module:
    """The model of the spec with the other's weights."""
    return with_weights(family.spec, dict(other.state_dict()), family.overrides(), family.size)


Compared = tuple[Tensor, Tensor, Tensor]
"""What both compute, and which steps are real."""


def padded(tokens: Tensor, count: int) -> Tensor:
    """The mask of a batch whose last example has some padding at its end."""
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
    mask[-1, tokens.shape[1] - count :] = False
    return mask


def text(other: nn.Module, model: nn.Module, generator: torch.Generator) -> list[Compared]:
    """From tokens to tokens."""
    source = torch.randint(3, VOCAB, (2, SOURCE), generator=generator)
    target = torch.randint(3, VOCAB, (2, TARGET), generator=generator)
    source_mask, target_mask = padded(source, 5), padded(target, 4)
    names = {"input_ids": source, "decoder_input_ids": target, "use_cache": False}
    masks = {
        "attention_mask": source_mask.long(),
        "decoder_attention_mask": target_mask.long(),
    }
    plain = model(source=source, target=target)
    given = model(source=source, target=target, source_mask=source_mask, target_mask=target_mask)
    return [
        (plain.logits, other(**names).logits, torch.ones_like(target_mask)),
        (given.logits, other(**names, **masks).logits, target_mask),
    ]


def frames(other: nn.Module, model: nn.Module, generator: torch.Generator) -> list[Compared]:
    """From frames of a spectrum, which are never padded, to tokens."""
    spectrum = torch.randn(2, FRAMES, 14, generator=generator)
    tokens = torch.randint(3, VOCAB, (2, TARGET), generator=generator)
    mask = padded(tokens, 4)
    names = {"input_features": spectrum.transpose(1, 2), "decoder_input_ids": tokens}
    plain, given = model(frames=spectrum, tokens=tokens), model(spectrum, tokens, mask)
    other_plain = other(**names, use_cache=False)
    other_given = other(**names, decoder_attention_mask=mask.long(), use_cache=False)
    return [
        (plain.logits, other_plain.logits, torch.ones_like(mask)),
        (given.logits, other_given.logits, mask),
    ]


def waveform(other: nn.Module, model: nn.Module, generator: torch.Generator) -> list[Compared]:
    """From a waveform to tokens.

    A group norm takes in padding there and not here. So the padded example is held to what it is by
    itself, and where no norm reads other steps also to what the other makes of the padded batch.
    """
    samples = torch.randn(2, SAMPLES, generator=generator)
    mask = padded(samples, SAMPLES - SPOKEN)
    plain, given = model(samples[:, :, None]).logits, model(samples[:, :, None], mask).logits
    alone = other(samples[1:, :SPOKEN]).logits
    count = alone.shape[1]
    pairs = [
        (plain, other(samples).logits, torch.ones(plain.shape[:2], dtype=torch.bool)),
        (given[1:, :count], alone, torch.ones(alone.shape[:2], dtype=torch.bool)),
    ]
    if other.config.feat_extract_norm == "layer":
        real = torch.arange(plain.shape[1]) < torch.tensor([[plain.shape[1]], [count]])
        pairs.append((given, other(samples, attention_mask=mask.long()).logits, real))
    return pairs


INPUTS = {"whisper": frames, "wav2vec2": waveform}


def results(family: Family, other: nn.Module, model: nn.Module) -> list[Compared]:
    """What both compute of an unpadded batch, and of padded ones."""
    inputs = INPUTS.get(family.spec, text)
    return inputs(other, model, torch.Generator().manual_seed(1))


def differences(family: Family, dtype: torch.dtype) -> tuple[float, float]:
    """The largest difference of the results, unpadded and padded."""
    with default_dtype(dtype), torch.no_grad():
        other = theirs(family).to(dtype)
        model = ours(family, other).to(dtype)
        plain, *given = (
            float((a - b)[real].abs().max()) for a, b, real in results(family, other, model)
        )
    return plain, max(given)


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.mark.filterwarnings("ignore")
def test_same_results_in_single_precision(family):
    plain, padded = differences(family, torch.float32)

    assert plain < 1e-4
    assert padded < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_same_results_in_double_precision(family):
    plain, padded = differences(family, torch.float64)

    assert plain < 5e-6
    assert padded < 5e-6


# Files


COPIES = ("embed_tokens.weight", "lm_head.weight", "proj_out.weight")
OLDER = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


@pytest.mark.filterwarnings("ignore")
def test_published_files_have_no_copies_and_older_names(family):
    other = theirs(family)
    source = dict(other.state_dict())
    published: dict[str, Tensor] = {}
    for name, tensor in source.items():
        held = any(tensor.data_ptr() == kept.data_ptr() for kept in published.values())
        if not (held and name.endswith(COPIES)):
            for new, old in OLDER.items():
                name = name.replace(new, old)  # noqa: PLW2901 - as it is written to a file
            published[name] = tensor
    made = composer.load(
        SPECS / f"{family.spec}.yaml", size=family.size, overrides=family.overrides()
    )
    graph = composer.graph(made)
    rules = made.weights["huggingface"]
    wanted = convert_tensors(graph, rules, source)
    found = convert_tensors(graph, rules, published)

    assert published.keys() != source.keys()
    assert found.keys() <= wanted.keys()
    assert set(graph.tensors) <= found.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), name


# Positions


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 11), (20, 300), (5, 7)])
def test_same_buckets_of_distances(buckets, furthest):
    from composer.nn.relative_bias import distance_buckets

    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distance = torch.arange(1000)
    wanted = t5.T5Attention._relative_position_bucket(-distance, False, buckets, furthest)

    assert torch.equal(distance_buckets(distance, buckets, furthest), wanted)


# Gradients


GROUPS = ["t5", "bart", "marian", "whisper", "wav2vec2"]
"""One family of each way to name weights."""
FROZEN = {"whisper": "encoder.embed.position.weight"}
"""What is never trained there, and has no gradient."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", GROUPS)
def test_same_gradients(spec):
    family = next(family for family in FAMILIES if family.spec == spec)
    other = theirs(family)
    model = ours(family, other)
    if spec in FROZEN:
        model.get_parameter(FROZEN[spec]).requires_grad_(False)
    mine, wanted, _ = results(family, other, model)[0]
    for result in (mine, wanted):
        (result**2).mean().backward()

    assert any(parameter.grad is not None for parameter in model.parameters())
    difference = gradient_difference(spec, model, other, family.overrides(), family.size)
    assert difference < 1e-4


# What the comparison would find

MUTATIONS = {
    "eps": ("t5", {"defaults.norm.eps": 1e-4}),
    "scaled scores": ("t5", {"defaults.attention.qk_scale": 0.9}),
    "scale of the head": ("t5", {"logits.head.scale": 0.2}),
    "number of buckets": ("t5", {"encoder.attention.position.max_distance": 20}),
    "positions seen": ("t5", {"encoder.attention.position.causal": True}),
    "gate": ("t5-v1.1-base", {"defaults.feed_forward.activation": "gelu"}),
    "bias": ("bart", {"decoder.attention.bias": "[q, v, o]"}),
    "first position": ("bart", {"encoder.embed.position.offset": 1, "dims.max_length": 41}),
    "norm of the embedding": ("bart", {"decoder.embed.norm": "none"}),
    "placement": ("mbart", {"decoder.norm.placement": "sandwich"}),
    "scale of the embedding": ("mbart", {"encoder.embed.scale": 1}),
    "activation": ("marian", {"encoder.feed_forward.activation": "gelu"}),
    "bias of keys": ("whisper", {"defaults.attention.bias": True}),
    "positions of frames": ("whisper", {"encoder.embed.position": "sinusoidal"}),
    "activation of convolutions": ("wav2vec2-base", {"around.activation": "gelu_tanh"}),
    "norm of convolutions": ("wav2vec2-base", {"normed.eps": 1e-3}),
    "first norm": ("wav2vec2-large-lv60", {"encoder.norm.placement": "sandwich"}),
    "groups": ("wav2vec2-base", {"dims.groups": 2}),
    "order of sines": ("pegasus", {"decoder.embed.position.layout": "interleaved"}),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_option_is_found(name):
    which, change = MUTATIONS[name]
    family = next(family for family in FAMILIES if str(family) == which)
    wrong = replace(family, change={**family.change, **change})

    try:
        plain, padded = differences(wrong, torch.float64)
    except WeightError:
        return  # a tensor too many is found before anything is computed

    assert max(plain, padded) > 5e-6


# Sizes


@pytest.mark.parametrize(("spec", "size"), COUNTS)
def test_published_parameter_counts(spec, size):
    graph = composer.graph(SPECS / f"{spec}.yaml", size=size)

    assert graph.parameters == COUNTS[spec, size]


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
