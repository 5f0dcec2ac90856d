"""Published encoders of text compute what `transformers` computes with the same random weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import composer
from composer.language.variants import sizes_of, with_bases
from composer.weights import WeightError, convert_tensors
from tests.parity.zoo import SPECS, default_dtype, gradient_difference, randomise, with_weights

VOCAB, WIDTH, NARROW, TIME, LENGTH = 61, 32, 20, 13, 40
COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 44,
    "max_position_embeddings": LENGTH,
    "pad_token_id": 0,
}
SMALL = {
    "dims.vocab_size": VOCAB,
    "dims.d_model": WIDTH,
    "dims.num_heads": 4,
    "dims.d_ff": 44,
    "dims.max_length": LENGTH,
    "encoder.num_layers": 3,
}
STATES = {"states": "last_hidden_state"}
POOLED = {**STATES, "pooled": "pooler_output"}


@dataclass(frozen=True)
class Family:
    """A spec scaled down, and the configuration of the same model elsewhere.

    `config` changes COMMON, and `change` the options of the spec in SMALL, where None takes a key
    away. `outputs` are the other's names of what the spec returns.
    """

    spec: str
    model: str
    config: dict[str, Any] = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=lambda: STATES)
    size: str | None = None
    token_types: int = 2

    def __str__(self) -> str:
        return self.spec if self.size is None else f"{self.spec}-{self.size}"

    def overrides(self) -> list[str]:
        """The spec's small sizes."""
        given = {**SMALL, **self.change}
        return [f"{name}={value}" for name, value in given.items() if value is not None]


FAMILIES = [
    Family("bert", "BertModel", outputs=POOLED),
    Family(
        "bert_pretraining",
        "BertForPreTraining",
        outputs={"logits": "prediction_logits", "next_sentence": "seq_relationship_logits"},
    ),
    Family(
        "roberta",
        "RobertaModel",
        {
            "max_position_embeddings": LENGTH + 2,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "layer_norm_eps": 1e-5,
        },
        outputs=POOLED,
        token_types=1,
    ),
    Family(
        "albert",
        "AlbertModel",
        {"embedding_size": NARROW, "hidden_act": "gelu_new"},
        {"dims.embed_dim": NARROW},
        POOLED,
    ),
    Family(
        "distilbert",
        "DistilBertModel",
        {"dim": WIDTH, "hidden_dim": 44, "n_layers": 3, "n_heads": 4},
        token_types=0,
    ),
    Family(
        "electra",
        "ElectraForPreTraining",
        {"embedding_size": WIDTH},
        outputs={"replaced": "logits"},
    ),
    Family(
        "electra",
        "ElectraForPreTraining",
        {"embedding_size": NARROW},
        {"dims.embed_dim": NARROW},
        {"replaced": "logits"},
        "small-discriminator",
    ),
    Family(
        "modernbert",
        "ModernBertForMaskedLM",
        {
            "num_hidden_layers": 7,
            "local_attention": 6,
            **dict.fromkeys(("cls_token_id", "bos_token_id"), 1),
            **dict.fromkeys(("sep_token_id", "eos_token_id"), 2),
        },
        {"dims.max_length": None, "dims.window": 3, "encoder.num_layers": 7},
        {"logits": "logits"},
        token_types=0,
    ),
    Family(
        "deberta_v2",
        "DebertaV2Model",
        {
            "max_position_embeddings": 11,
            "max_relative_positions": -1,
            "position_buckets": 6,
            "relative_attention": True,
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        {"dims.max_length": 11, "dims.buckets": 6},
        token_types=0,
    ),
]
COUNTS = {
    ("bert", "base"): 109_482_240,
    ("bert_pretraining", "base"): 110_106_428,
    ("bert", "large"): 335_141_888,
    ("roberta", "base"): 124_645_632,
    ("roberta", "large"): 355_359_744,
    ("albert", "base"): 11_683_584,
    ("albert", "large"): 17_683_968,
    ("albert", "xlarge"): 58_724_864,
    ("albert", "xxlarge"): 222_595_584,
    ("distilbert", "base"): 66_362_880,
    ("deberta_v2", "v3-xsmall"): 70_682_112,
    ("deberta_v2", "v3-small"): 141_304_320,
    ("deberta_v2", "v3-base"): 183_831_552,
    ("deberta_v2", "v3-large"): 434_012_160,
    ("modernbert", "base"): 149_655_232,
    ("modernbert", "large"): 395_881_664,
}


def theirs(family: Family) -> nn.Module:
    """The other implementation with every parameter random."""
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, family.model)
    if family.spec == "distilbert":
        own = {name: COMMON[name] for name in ("vocab_size", "max_position_embeddings")}
        config = kind.config_class(**own, **family.config)
    else:
        config = kind.config_class(**{**COMMON, **family.config})
    # Its eager form makes NaN of a padded step that sees padding only, in double precision.
    config._attn_implementation = "sdpa" if family.spec == "modernbert" else "eager"
    model = kind(config).eval()
    randomise(model)
    return model


def ours(family: Family, other: nn.Module) -> nn.Module:
    """The model of the spec with the other's weights."""
    return with_weights(family.spec, dict(other.state_dict()), family.overrides(), family.size)


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


def inputs(family: Family) -> tuple[dict[str, Tensor], Tensor]:
    """Tokens and what else a family reads, and a mask with four padded steps in one text."""
    generator = torch.Generator().manual_seed(1)
    given = {"tokens": torch.randint(3, VOCAB, (2, TIME), generator=generator)}
    if family.token_types:
        shape = (2, TIME)
        given["token_types"] = torch.randint(family.token_types, shape, generator=generator)
    mask = torch.ones(2, TIME, dtype=torch.bool)
    mask[1, TIME - 4 :] = False
    return given, mask


def run(
    family: Family, model: nn.Module, other: nn.Module, mask: Tensor | None = None
) -> list[tuple[Tensor, Tensor]]:
    """What both compute, output by output, padded steps left out."""
    given, _ = inputs(family)
    names = {"tokens": "input_ids", "token_types": "token_type_ids"}
    asked = {names[name]: tensor for name, tensor in given.items()}
    if mask is not None:
        asked["attention_mask"] = mask.long()
        given["tokens_mask"] = mask
    made, wanted = model(**given), other(**asked)
    pairs = []
    for name, their_name in family.outputs.items():
        mine, their = getattr(made, name), getattr(wanted, their_name)
        their = their.reshape(mine.shape)
        if mask is not None and mine.shape[:2] == mask.shape:
            mine, their = mine[mask], their[mask]
        pairs.append((mine, their))
    return pairs


def differences(family: Family, dtype: torch.dtype) -> tuple[float, float]:
    """The largest difference of the outputs, unpadded and padded."""
    with default_dtype(dtype), torch.no_grad():
        other = theirs(family).to(dtype)
        model = ours(family, other).to(dtype)
        _, mask = inputs(family)
        plain, padded = (run(family, model, other, m) for m in (None, mask))
    return _largest(plain), _largest(padded)


def _largest(pairs: list[tuple[Tensor, Tensor]]) -> float:
    return max(float((mine - their).abs().max()) for mine, their in pairs)


@pytest.mark.filterwarnings("ignore")
def test_same_outputs_in_single_precision(family):
    plain, padded = differences(family, torch.float32)

    assert plain < 1e-4
    assert padded < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_same_outputs_in_double_precision(family):
    plain, padded = differences(family, torch.float64)

    assert plain < 5e-6
    assert padded < 5e-6


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "spec", ["bert_pretraining", "albert", "distilbert", "modernbert", "deberta_v2"]
)
def test_same_gradients(spec):
    family = next(f for f in FAMILIES if f.spec == spec)
    other = theirs(family)
    model = ours(family, other)
    generator = torch.Generator().manual_seed(2)
    losses = [torch.zeros(()), torch.zeros(())]
    for pair in run(family, model, other, inputs(family)[1]):
        weights = torch.randn(pair[0].shape, generator=generator)
        losses = [loss + (weights * each).mean() for loss, each in zip(losses, pair, strict=True)]
    for loss in losses:
        loss.backward()

    found = gradient_difference(family.spec, model, other, family.overrides(), family.size)
    assert found < 1e-4


# Names of published files


def published(spec: str) -> tuple[Family, dict[str, Tensor]]:
    """A family and its tensors under the names that they have within a model with heads."""
    family = next(f for f in FAMILIES if f.spec == spec)
    prefix = "" if spec in {"bert_pretraining", "electra"} else f"{spec.removesuffix('_v2')}."
    state = theirs(family).state_dict()
    return family, {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", ["bert", "roberta", "albert", "distilbert", "deberta_v2"])
def test_files_of_models_with_heads_are_read(spec):
    """The names of the model come after a prefix, and heads that it does not have are ignored."""
    family, tensors = published(spec)
    head = {"roberta": "lm_head.bias", "albert": "predictions.bias"}
    head |= {"distilbert": "vocab_projector.bias"}
    tensors[head.get(spec, "cls.predictions.bias")] = torch.zeros(VOCAB)
    made = composer.load(SPECS / f"{spec}.yaml", overrides=family.overrides())
    found = convert_tensors(composer.graph(made), made.weights["huggingface"], tensors)
    wanted = ours(family, theirs(family)).state_dict()

    assert found
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), name


@pytest.mark.filterwarnings("ignore")
def test_first_files_call_weights_of_norms_gamma_and_beta():
    family, tensors = published("bert_pretraining")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
        if "decoder" not in name
    }
    made = composer.load(SPECS / "bert_pretraining.yaml", overrides=family.overrides())
    found = convert_tensors(composer.graph(made), made.weights["huggingface"], renamed)
    wanted = ours(family, theirs(family)).state_dict()

    assert len(renamed) < len(tensors)
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), name


# What the comparison would find

MUTATIONS = {
    "eps": ("bert", {"dims.eps": 1e-5}),
    "eps of the head": ("bert_pretraining", {"logits.head.norm.eps": 1e-5}),
    "gelu": ("bert", {"encoder.feed_forward.activation": "gelu_tanh"}),
    "pooler": ("bert", {"pooler.activation": "sigmoid"}),
    "pooled step": ("bert", {"first.by": "last"}),
    "activation of the head": ("bert_pretraining", {"logits.head.activation": "gelu_tanh"}),
    "bias of the words": ("bert_pretraining", {"logits.head.bias": "false"}),
    "norm placement": ("bert", {"encoder.norm.placement": "branch"}),
    "position offset": ("roberta", {"encoder.embed.position.offset": 1, "dims.max_length": 41}),
    "exact gelu": ("albert", {"encoder.feed_forward.activation": "gelu"}),
    "norm of the narrow sum": ("albert", {"narrow.norm.eps": 1e-5}),
    "missing bias": ("distilbert", {"encoder.attention.bias": "[q, k, v]"}),
    "no norm of the embedding": ("distilbert", {"encoder.embed.norm": "null"}),
    "activation before the last map": ("electra", {"dense.activation": "tanh"}),
    "window": ("modernbert", {"dims.window": 4}),
    "theta of near layers": ("modernbert", {"encoder.types.sliding.attention.position.theta": 2e4}),
    "theta of others": ("modernbert", {"encoder.attention.position.theta": 10_000}),
    "norm of the first layer": (
        "modernbert",
        {"encoder.types.first.layer": "[attention, feed_forward]"},
    ),
    "order of types": ("modernbert", {"encoder.layer_types.then": "[sliding, full, sliding]"}),
    "buckets": ("deberta_v2", {"dims.buckets": 4}),
    "far distances": ("deberta_v2", {"dims.max_length": 9}),
    "eps of the distances": ("deberta_v2", {"encoder.attention.position.norm.eps": 1e-4}),
    "factor of the scores": ("deberta_v2", {"encoder.attention.qk_scale": 8**-0.5}),
    "bias of a norm": ("modernbert", {"encoder.norm.bias": "true"}),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_option_is_found(name):
    spec, change = MUTATIONS[name]
    family = next(f for f in FAMILIES if f.spec == spec)
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
    sizes = sizes_of(with_bases(path))

    assert sizes
    assert len(path.read_text().splitlines()) <= 60
    for size in sizes:
        made = composer.load(path, size=size)
        assert made.cite
        assert made.weights
        assert composer.graph(made).parameters > 10**7
