"""Published encoder-decoders and speech models compute what `transformers` computes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import composer
from composer.weights import WeightError, apply, plan
from tests.parity.zoo import SPECS, default_dtype, randomise, with_weights

VOCAB, WIDTH, SOURCE, TARGET = 61, 32, 17, 13
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
DIMS = {"dims.vocab_size": VOCAB, "dims.d_model": WIDTH, "dims.num_heads": 4, "dims.num_layers": 2}
T5_DIMS = {
    **DIMS,
    "dims.d_ff": 44,
    "dims.head_dim": 10,
    "decoder.num_layers": 3,
    "defaults.attention.position.num_buckets": 8,
    "defaults.attention.position.max_distance": 11,
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
]
COUNTS = {
    ("t5", "small"): 60_506_624,
    ("t5", "base"): 222_903_552,
    ("t5", "large"): 737_668_096,
    ("t5", "3b"): 2_851_598_336,
    ("t5", "11b"): 11_307_321_344,
    ("t5", "v1.1-base"): 247_577_856,
    ("bart", "base"): 139_420_416,
    ("bart", "large"): 406_291_456,
}
BUFFERS = {"bart": ["logits.head.bias=false"]}
"""Parts of a spec that the published counts leave out, as they are no parameters there."""


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
        if "final_logits_bias" in buffers:
            buffers["final_logits_bias"].normal_(std=0.15)
        if family.size is not None and family.size.startswith("v1.1"):
            model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.15)
    return model


def ours(family: Family, other: nn.Module) -> nn.Module:
    """The model of the spec with the other's weights."""
    return with_weights(family.spec, dict(other.state_dict()), family.overrides(), family.size)


def text(generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs of a model of text by our names, and the masks of the padded batch."""
    inputs = {
        "source": torch.randint(3, VOCAB, (2, SOURCE), generator=generator),
        "target": torch.randint(3, VOCAB, (2, TARGET), generator=generator),
    }
    masks = {name: torch.ones_like(tokens).bool() for name, tokens in inputs.items()}
    masks["source"][1, SOURCE - 5 :] = False
    masks["target"][1, TARGET - 4 :] = False
    return inputs, masks


def results(
    family: Family, other: nn.Module, model: nn.Module
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What both compute of an unpadded and a padded batch, and which of its steps are real."""
    inputs, masks = text(torch.Generator().manual_seed(1))
    names = {"source": "input_ids", "target": "decoder_input_ids"}
    plain = {names[name]: tokens for name, tokens in inputs.items()}
    padding = {
        "attention_mask": masks["source"].long(),
        "decoder_attention_mask": masks["target"].long(),
    }
    given = {f"{name}_mask": mask for name, mask in masks.items()}
    everywhere = torch.ones_like(masks["target"])
    return [
        (model(**inputs).logits, other(**plain, use_cache=False).logits, everywhere),
        (
            model(**inputs, **given).logits,
            other(**plain, **padding, use_cache=False).logits,
            masks["target"],
        ),
    ]


def differences(family: Family, dtype: torch.dtype) -> tuple[float, float]:
    """The largest difference of the results, unpadded and padded."""
    with default_dtype(dtype), torch.no_grad():
        other = theirs(family).to(dtype)
        model = ours(family, other).to(dtype)
        plain, padded = (
            float((a - b)[real].abs().max()) for a, b, real in results(family, other, model)
        )
    return plain, padded


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


# Gradients


def gradients(family: Family) -> dict[str, float]:
    """The largest difference of each gradient relative to its size, by our name.

    The other's gradients are mapped as weights are. Where it holds one tensor under several names,
    ours do too, and both have the sum. A gradient that is nothing but rounding, as that of a bias
    of keys, has the size of a thousandth of the largest.
    """
    other = theirs(family).train(mode=False)
    model = ours(family, other)
    (_, _, _), (mine, wanted, real) = results(family, other, model)
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2))
    for result in (mine, wanted):
        (result * weights)[real].sum().backward()
    source = {name: tensor.detach().clone() for name, tensor in other.state_dict().items()}
    named = dict(other.named_parameters(remove_duplicate=False))
    for name, tensor in source.items():
        grad = named[name].grad if name in named else None
        source[name] = torch.zeros_like(tensor) if grad is None else grad
    made = composer.load(
        SPECS / f"{family.spec}.yaml", size=family.size, overrides=family.overrides()
    )
    graph = composer.graph(made)
    shapes = {name: tuple(tensor.shape) for name, tensor in source.items()}
    mapped = apply(plan(graph, made.weights["huggingface"], shapes), source.__getitem__)
    found = {}
    floor = 1e-3 * max(float(gradient.abs().max()) for gradient in mapped.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if name in mapped and not _is_buffer(name, other):
            scale = max(float(mapped[name].abs().max()), floor)
            found[name] = float((parameter.grad - mapped[name]).abs().max()) / scale
    return found


def _is_buffer(name: str, other: nn.Module) -> bool:
    """Whether what is a parameter here is none there, and has no gradient."""
    return name == "logits.head.bias" and "final_logits_bias" in dict(other.named_buffers())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", ["t5", "bart", "pegasus"])
def test_same_gradients(spec):
    family = next(family for family in FAMILIES if family.spec == spec)
    found = gradients(family)

    assert len(found) > 10
    assert max(found.values()) < 1e-4, {n: d for n, d in found.items() if d >= 1e-4}


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
    graph = composer.graph(SPECS / f"{spec}.yaml", size=size, overrides=BUFFERS.get(spec, []))

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
