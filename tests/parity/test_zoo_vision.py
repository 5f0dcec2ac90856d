"""Published models of images, and of images with text, compute what `transformers` computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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

SIDE, PATCH, WIDTH, HEADS, D_FF, CLASSES = 24, 8, 32, 4, 44, 7
VOCAB, TIME, TEXT_WIDTH = 61, 9, 24
IMAGE = {"image_size": SIDE, "patch_size": PATCH}
COMMON = {
    **IMAGE,
    "hidden_size": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": HEADS,
    "intermediate_size": D_FF,
    "num_labels": CLASSES,
}
DIMS = {"image_size": SIDE, "patch_size": PATCH, "d_model": WIDTH, "num_heads": HEADS}
VIT = {
    **{f"dims.{name}": size for name, size in DIMS.items()},
    "dims.num_classes": CLASSES,
    "encoder.num_layers": 3,
    "encoder.feed_forward.d_ff": D_FF,
}
TEXT = {
    "hidden_size": TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 36,
    "vocab_size": VOCAB,
    "max_position_embeddings": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
}
TWO_TOWERS = {
    **{f"dims.{name}": size for name, size in DIMS.items()},
    "dims.vocab_size": VOCAB,
    "dims.max_length": 12,
    "vision.num_layers": 3,
    "vision.feed_forward.d_ff": D_FF,
    "text.num_layers": 2,
    "text.feed_forward.d_ff": 36,
}
CLIP = {**TWO_TOWERS, "dims.text_width": TEXT_WIDTH, "dims.text_heads": 3, "dims.embed_width": 20}
EMBEDDINGS = {name: name for name in ("image_embeds", "text_embeds", "logits_per_image")}
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Example:
    """What both models are given, by their own names; `real` are steps that are not padding."""

    ours: Inputs
    theirs: Inputs
    real: Mapping[str, Tensor] = field(default_factory=dict)


def pictures(side: int = SIDE) -> Example:
    """Two images."""
    image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    image = image.to(torch.get_default_dtype())
    return Example({"image": image}, {"pixel_values": image})


def pictures_and_texts(padding: str = "") -> Example:
    """Images with texts, whose last token is the greatest; one text is padded `left` or `right`."""
    tokens = torch.randint(3, VOCAB - 1, (2, TIME), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(2, TIME, dtype=torch.bool)
    end = TIME - 1
    if padding:
        end = TIME - 1 if padding == "left" else TIME - 4
        mask[1, slice(0, 3) if padding == "left" else slice(end + 1, None)] = False
    tokens[0, -1] = tokens[1, end] = VOCAB - 1
    images = pictures()
    ours = {**images.ours, "tokens": tokens} | ({"tokens_mask": mask} if padding else {})
    theirs = {**images.theirs, "input_ids": tokens, "attention_mask": mask.long()}
    return Example(ours, theirs)


def without_mask(example: Example) -> Example:
    """The same for models that read padding as they read the rest."""
    theirs = {name: given for name, given in example.theirs.items() if name != "attention_mask"}
    return replace(example, theirs=theirs)


def features(padded: bool = False) -> Example:
    """Two images as vectors; of the second the last three are padding."""
    given = torch.randn(2, TIME, 20, generator=torch.Generator().manual_seed(3))
    given = given.to(torch.get_default_dtype())
    mask = torch.ones(2, TIME, dtype=torch.bool)
    if padded:
        mask[1, -3:] = False
    ours = {"features": given} | ({"features_mask": mask} if padded else {})
    return Example(ours, {"features": given, "mask": mask.long()})


class QueriesAndQFormer(nn.Module):
    """The learned queries and the Q-Former of BLIP-2, by the names that they have in it."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        transformers = pytest.importorskip("transformers")
        self.query_tokens = nn.Parameter(torch.zeros(1, 5, config.hidden_size))
        self.qformer = transformers.Blip2QFormerModel(config)

    def forward(self, features: Tensor, mask: Tensor) -> Any:
        """features (batch, time, width) -> an output with `last_hidden_state`."""
        queries = self.query_tokens.expand(len(features), -1, -1)
        return self.qformer(queries, encoder_hidden_states=features, encoder_attention_mask=mask)


@dataclass(frozen=True)
class Family:
    """A spec scaled down, and the class and configuration of the same model elsewhere.

    `outputs` names what they compare, in the spec and elsewhere. `padded` is None where nothing can
    be padded, as with images.
    """

    spec: str
    model: str
    config: dict[str, Any]
    change: dict[str, Any]
    outputs: dict[str, str]
    plain: Callable[[], Example] = pictures
    padded: Callable[[], Example] | None = None
    size: str | None = None

    def __str__(self) -> str:
        return self.spec if self.size is None else f"{self.spec}-{self.size}"

    def overrides(self) -> list[str]:
        """The spec's small sizes."""
        return [f"{name}={value}" for name, value in self.change.items()]


FAMILIES = [
    Family("vit", "ViTForImageClassification", COMMON, VIT, {"logits": "logits"}),
    Family(
        "deit",
        "DeiTForImageClassificationWithTeacher",
        COMMON,
        VIT,
        {
            "logits": "logits",
            "class_logits": "cls_logits",
            "distillation_logits": "distillation_logits",
        },
    ),
    Family(
        "dinov2",
        "Dinov2ForImageClassification",
        {**COMMON, "mlp_ratio": 2},
        {**VIT, "encoder.feed_forward.d_ff": 2 * WIDTH},
        {"logits": "logits"},
    ),
    Family(
        "beit",
        "BeitForImageClassification",
        {**COMMON, "use_relative_position_bias": True, "use_mask_token": False},
        VIT,
        {"logits": "logits"},
    ),
    # Grids of 22 and 11 are filled up for windows of 3, and 11 for merging by two.
    Family(
        "swin",
        "SwinForImageClassification",
        {
            "image_size": 44,
            "patch_size": 2,
            "embed_dim": 12,
            "depths": [3, 2, 2, 2],
            "num_heads": [2, 4, 8, 16],
            "window_size": 3,
            "num_labels": CLASSES,
        },
        {
            "dims.image_size": 44,
            "dims.patch_size": 2,
            "dims.d_model": 12,
            "dims.num_heads": 2,
            "dims.window": 3,
            "dims.num_classes": CLASSES,
            "stage_1.num_layers": 3,
            "stage_3.num_layers": 2,
        },
        {"logits": "logits"},
        lambda: pictures(44),
    ),
    Family(
        "clip",
        "CLIPModel",
        {
            "text_config": {**TEXT, "eos_token_id": VOCAB - 1},
            "vision_config": COMMON,
            "projection_dim": 20,
        },
        CLIP,
        EMBEDDINGS,
        pictures_and_texts,
        lambda: pictures_and_texts("right"),
    ),
    # As first published: the end of a text is its greatest token.
    Family(
        "clip",
        "CLIPModel",
        {
            "text_config": {**TEXT, "eos_token_id": 2},
            "vision_config": COMMON,
            "projection_dim": 20,
        },
        CLIP,
        EMBEDDINGS,
        pictures_and_texts,
        lambda: pictures_and_texts("left"),
        size="l14",
    ),
    Family(
        "siglip",
        "SiglipModel",
        {
            "text_config": {
                **TEXT,
                "hidden_size": WIDTH,
                "num_attention_heads": HEADS,
                "intermediate_size": D_FF,
                "eos_token_id": 2,
            },
            "vision_config": COMMON,
        },
        {**TWO_TOWERS, "dims.d_ff": D_FF, "text.feed_forward.d_ff": D_FF},
        EMBEDDINGS,
        lambda: without_mask(pictures_and_texts()),
    ),
    Family(
        "blip2_qformer",
        "Blip2QFormerModel",
        {
            "hidden_size": WIDTH,
            "num_hidden_layers": 3,
            "num_attention_heads": HEADS,
            "intermediate_size": D_FF,
            "encoder_hidden_size": 20,
        },
        {
            "dims.d_model": WIDTH,
            "dims.num_heads": HEADS,
            "dims.num_queries": 5,
            "dims.image_width": 20,
            "qformer.num_layers": 3,
            "qformer.feed_forward.d_ff": D_FF,
        },
        {"states": "last_hidden_state"},
        features,
        lambda: features(padded=True),
    ),
]
COUNTS = {
    ("vit", "b16"): 86_567_656,
    ("vit", "l16"): 304_326_632,
    ("vit", "h14"): 632_045_800,
    ("vit", "deit-ti"): 5_717_416,
    ("vit", "deit-s"): 22_050_664,
    ("clip", "b32"): 151_277_313,
    ("clip", "b16"): 149_620_737,
    ("clip", "l14"): 427_616_513,
    ("siglip", "b16"): 203_155_970,
    ("siglip", "so400m-14-384"): 877_960_498,
    ("deit", "ti"): 5_910_800,
    ("blip2_qformer", "base"): 105_137_664 + 32 * 768,  # Blip2QFormerModel, and the queries
    ("beit", "b16"): 86_530_984,
    ("swin", "t"): 28_288_354,
    ("swin", "s"): 49_606_258,
    ("swin", "b"): 87_768_224,
}


def theirs(family: Family) -> nn.Module:
    """The other implementation, every parameter and buffer of weights random."""
    transformers = pytest.importorskip("transformers")
    cls = getattr(transformers, family.model)
    config = cls.config_class(**family.config)
    config._attn_implementation = "eager"
    made = QueriesAndQFormer if family.spec == "blip2_qformer" else cls
    model = made(config).eval()
    randomise(model)
    return model


def ours(family: Family, other: nn.Module) -> nn.Module:
    """The model of the spec with the other's weights."""
    return with_weights(family.spec, dict(other.state_dict()), family.overrides(), family.size)


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


def differences(family: Family, dtype: torch.dtype) -> tuple[float, float]:
    """The largest difference of what both compute, unpadded and padded.

    Where nothing can be padded the second is the first.
    """
    with default_dtype(dtype), torch.no_grad():
        other = theirs(family).to(dtype)
        model = ours(family, other).to(dtype)
        plain = _difference(family, model, other, family.plain())
        if family.padded is None:
            return plain, plain
        return plain, _difference(family, model, other, family.padded())


def _difference(family: Family, model: nn.Module, other: nn.Module, example: Example) -> float:
    made, wanted = model(**example.ours), other(**example.theirs)
    largest = 0.0
    for name, known in family.outputs.items():
        difference = (getattr(made, name) - getattr(wanted, known)).abs()
        if name in example.real:
            difference = difference[example.real[name]]
        largest = max(largest, float(difference.max()))
    return largest


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


@pytest.mark.filterwarnings("ignore")
def test_same_gradients(family):
    other = theirs(family)
    model = ours(family, other)
    example = family.plain()
    made, wanted = model(**example.ours), other(**example.theirs)

    for name, known in family.outputs.items():
        (getattr(made, name) ** 2).mean().backward(retain_graph=True)
        (getattr(wanted, known) ** 2).mean().backward(retain_graph=True)

    overrides = family.overrides()
    assert gradient_difference(family.spec, model, other, overrides, family.size) < 1e-4


# What the comparison would find

MUTATIONS = {
    "class token in the mean": ("beit", {"patch_states.start": 2}),
    "pooled norm": ("beit", {"normed.eps": 1e-3}),
    "grid bias": ("beit", {"encoder.attention.position.rows": 1}),
    "eps of queries": ("blip2_qformer", {"qformer.embed.norm.eps": 1e-3}),
    "post-norm": ("blip2_qformer", {"qformer.norm.placement": "branch"}),
    "residual of the probe": (
        "siglip",
        {"reader.layer": "[cross_attention: {norm: none}, feed_forward]"},
    ),
    "pooled text": ("siglip", {"text_state.by": "mean"}),
    "gelu of images": ("siglip", {"vision.feed_forward.activation": "gelu"}),
    "bias of the similarity": ("siglip", {"similarity.bias": "false"}),
    "quick gelu": ("clip", {"vision.feed_forward.activation": "gelu"}),
    "token of the end": ("clip", {"text_state.token": 5}),
    "norm before the layers": ("clip", {"vision.embed.norm.eps": 1e-3}),
    "text sees all": ("clip", {"text.attention.causal": "false"}),
    "text eps": ("clip", {"text.norm": "{kind: layernorm, eps: 1e-3}"}),
    "shift": ("swin", {"stage_1.types.shifted.attention.shift": 2}),
    "one shift less": (
        "swin",
        {"stage_3.layer_types": "[plain, plain]", "stage_3.types": "{plain: {}}"},
    ),
    "merged eps": ("swin", {"merge_3.eps": 1e-3}),
    "norm of patches": ("swin", {"stage_1.embed.norm.eps": 1e-3}),
    "eps": ("vit", {"encoder.norm.eps": 1e-4}),
    "gelu": ("vit", {"encoder.feed_forward.activation": "gelu_tanh"}),
    "bias": ("vit", {"encoder.attention.bias": "[q, v, o]"}),
    "class token": ("vit", {"logits.head.pool": "mean"}),
    "distillation token": ("deit", {"distilled.start": 2, "distilled.stop": 3}),
    "mean of patches": ("dinov2", {"patch_states.start": 2}),
    "layer scale": (
        "dinov2",
        {
            "encoder.layer": "[attention: {gate: layer_scale, scale: 0.5}, feed_forward: {gate: layer_scale}]"
        },
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_option_is_found(name):
    spec, change = MUTATIONS[name]
    family = next(f for f in FAMILIES if f.spec == spec)
    wrong = replace(family, change={**family.change, **change})

    try:
        plain, padded = differences(wrong, torch.float64)
    except WeightError:
        return  # a tensor too many is found before anything is computed

    assert max(plain, padded) > 5e-6


# Names in published files

PUBLISHED = {
    "vit": {
        r"vit\.layers\.(\d+)\.": r"vit.encoder.layer.\1.",
        r"attention\.q_proj": "attention.attention.query",
        r"attention\.k_proj": "attention.attention.key",
        r"attention\.v_proj": "attention.attention.value",
        r"attention\.o_proj": "attention.output.dense",
        r"mlp\.fc1": "intermediate.dense",
        r"mlp\.fc2": "output.dense",
    },
}
PUBLISHED["deit"] = {
    r"deit\.layers\.(\d+)\.": r"deit.encoder.layer.\1.",
    **dict(list(PUBLISHED["vit"].items())[1:]),
}
PUBLISHED["swin"] = {
    r"attention\.(q|k|v)_proj": r"attention.self.\1",
    r"self\.q\.": "self.query.",
    r"self\.k\.": "self.key.",
    r"self\.v\.": "self.value.",
    r"attention\.relative_position_bias\.": "attention.self.",
    **dict(list(PUBLISHED["vit"].items())[4:]),
}
PUBLISHED["beit"] = {
    r"beit\.layers\.(\d+)\.relative": r"beit.layers.\1.attention.attention.relative",
    r"beit\.layers\.(\d+)\.": r"beit.encoder.layer.\1.",
    **dict(list(PUBLISHED["vit"].items())[1:]),
}
PUBLISHED["dinov2"] = dict(list(PUBLISHED["vit"].items())[1:5])


@pytest.mark.parametrize("spec", PUBLISHED)
@pytest.mark.filterwarnings("ignore")
def test_names_of_published_files(spec):
    family = next(f for f in FAMILIES if f.spec == spec)
    other = theirs(family)
    published = dict(other.state_dict())
    for old, new in PUBLISHED[spec].items():
        published = {re.sub(old, new, name): tensor for name, tensor in published.items()}
    made = composer.load(SPECS / f"{spec}.yaml", overrides=family.overrides())
    tensors = convert_tensors(composer.graph(made), made.weights["huggingface"], published)
    state = ours(family, other).state_dict()

    assert set(published) != set(other.state_dict())
    for name, tensor in tensors.items():
        assert torch.equal(tensor, state[name]), name


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
        assert composer.graph(made).parameters > 5 * 10**6
