"""`composer import` for encoders, encoder-decoders, speech and vision: what is said, and refused."""

from __future__ import annotations

import json

import pytest

import composer
from composer.configs import import_config
from composer.configs.declarations import declaration
from composer.diagnostics import SpecError
from composer.language.document import plain
from composer.language.load import parse

BERT = {"model_type": "bert"}
DEBERTA = {
    "model_type": "deberta-v2", "relative_attention": True, "position_biased_input": False,
    "share_att_key": True, "pos_att_type": "p2c|c2p", "norm_rel_ebd": "layer_norm",
    "position_buckets": 256,
}  # fmt: skip
WAV2VEC2 = {"model_type": "wav2vec2"}
REFUSED = [
    ({**BERT, "position_embedding_type": "relative_key"}, "positions are learned, and added to the words"),
    ({**BERT, "is_decoder": True}, "the spec is an encoder"),
    ({**BERT, "architectures": ["BertForSequenceClassification"]}, "the spec is BertModel"),
    ({**BERT, "hidden_act": "mish"}, "'hidden_act' is 'mish'"),
    ({"model_type": "albert", "num_hidden_groups": 2}, "one layer is applied many times"),
    ({"model_type": "electra", "architectures": ["ElectraForMaskedLM"]}, "ElectraForPreTraining"),
    ({"model_type": "modernbert", "global_attn_every_n_layers": 2}, "say it as layer_types"),
    ({"model_type": "modernbert", "layer_types": ["sliding_attention"] * 22}, "the first layer sees all tokens"),
    ({**DEBERTA, "conv_kernel_size": 3}, "no convolution after the first layer"),
    ({**DEBERTA, "share_att_key": False}, "contents and distances have one projection"),
    ({**DEBERTA, "position_buckets": -1}, "'position_buckets' is -1, which the spec cannot say"),
    ({**DEBERTA, "pos_att_type": ["c2p"]}, "distances at contents"),
    ({"model_type": "t5", "feed_forward_proj": "gated-tanh"}, "'feed_forward_proj' is 'gated-tanh'"),
    ({"model_type": "bart", "tie_word_embeddings": False}, "the map of weights ties them"),
    ({"model_type": "marian", "decoder_vocab_size": 9}, "both sides have one vocabulary"),
    ({"model_type": "whisper", "scale_embedding": True}, "the spec scales no embeddings"),
    ({**WAV2VEC2, "add_adapter": True}, "no adapter after the encoder"),
    ({**WAV2VEC2, "conv_stride": [5, 2]}, "the lists beside it are not as long"),
    ({"model_type": "vit", "patch_size": [16, 8]}, "the spec has one number for both"),
    ({"model_type": "vit", "image_size": [224, 224, 3]}, "the spec has 2 of them"),
    ({"model_type": "dinov2", "use_swiglu_ffn": True}, "its feed-forward has no gate"),
    ({"model_type": "beit"}, "every layer has biases of positions"),
    ({"model_type": "swin", "depths": [2, 2, 2]}, "the spec has 4 of them"),
    ({"model_type": "swin", "use_absolute_embeddings": True}, "its positions are biases"),
    ({"model_type": "clip", "text_config_dict": {"hidden_size": 8}}, "it would stand in for text_config"),
    ({"model_type": "siglip", "text_config": {"hidden_size": 32}}, "vectors of images and texts are compared"),
    ({"model_type": "siglip", "vision_config": {"vision_use_head": False}}, "a learned query reads the image"),
    ({"model_type": "blip_2_qformer", "use_qformer_text_input": True}, "its queries read no text"),
]  # fmt: skip


@pytest.fixture
def config(tmp_path):
    """Writes a config."""

    def write(**keys: object):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(keys))
        return path

    return write


@pytest.mark.parametrize(("keys", "said"), REFUSED)
def test_what_a_spec_cannot_say_is_refused_with_its_reason(config, keys, said):
    with pytest.raises(SpecError) as refused:
        import_config(config(**keys))

    assert said in str(refused.value)


def made(path) -> dict[str, object]:
    """The imported spec as plain data."""
    return plain(parse(import_config(path).text, "imported"))


def test_a_class_of_its_own_has_a_spec_of_its_own(config):
    both = import_config(config(**BERT, architectures=["BertForPreTraining"]))

    assert both.spec == "bert_pretraining.yaml"
    assert import_config(config(**BERT)).spec == "bert.yaml"
    assert composer.graph(composer.load(both.text)).parameters == 110_106_428


def test_the_head_that_is_left_out_is_named(run, config):
    path = config(**BERT, architectures=["BertForMaskedLM"], vocab_size=99)
    _, text, err = run("import", path)

    assert err == "all of BertForMaskedLM but the head\n"
    assert "# It is all of BertForMaskedLM but the head." in text


def test_keys_of_configs_within_are_named_by_their_path(run, config):
    text_config = {"model_type": "clip_text_model", "dropout": 0.5, "top_k": 50, "twist": 1}
    _, _, err = run("import", config(model_type="clip", text_config=text_config))

    assert err.splitlines() == [
        "for training only, and left out: text_config.dropout", "not understood: text_config.twist",
    ]  # fmt: skip


def test_labels_are_counted(config):
    labels = {str(number): f"name {number}" for number in range(9)}

    assert made(config(model_type="vit", id2label=labels))["dims"]["num_classes"] == 9
    assert made(config(model_type="vit", num_labels=4))["dims"]["num_classes"] == 4


def test_an_image_may_be_wider_than_high(config):
    image = made(config(model_type="vit", image_size=[32, 64]))["inputs"]["image"]

    assert (image["height"], image["width"]) == (32, 64)


def test_every_convolution_of_the_stem_is_a_row(config):
    stem = made(config(**WAV2VEC2, conv_dim=[8, 9], conv_kernel=[4, 3], conv_stride=[2, 1]))
    first, second = stem["modules"]["stem"]["layers"]

    assert first == {"channels": 8, "kernel_size": 4, "stride": 2, "bias": False,
                     "activation": "gelu", "norm": "groupnorm"}  # fmt: skip
    assert second == {"channels": 9, "kernel_size": 3, "stride": 1, "bias": False,
                      "activation": "gelu"}  # fmt: skip


def test_the_first_layer_stands_apart(config):
    types = ["full_attention", *["sliding_attention", "full_attention"] * 2]
    encoder = made(config(model_type="modernbert", num_hidden_layers=5, layer_types=types))

    assert encoder["encoders"]["encoder"]["layer_types"] == {
        "first": ["first"], "then": ["sliding", "full"],
    }  # fmt: skip


def test_narrow_embeddings_add_a_module(config):
    narrow = made(
        config(model_type="electra", hidden_size=32, embedding_size=12, num_attention_heads=4)
    )
    wide = made(
        config(model_type="electra", hidden_size=32, embedding_size=32, num_attention_heads=4)
    )

    assert narrow["encoders"]["encoder"]["from"] == "wide"
    assert wide["encoders"]["encoder"]["from"] == "embeddings"
    assert "wide" not in wide["modules"]


@pytest.mark.parametrize(
    ("keys", "spec", "size"),
    [
        ({"model_type": "bert"}, "bert", "base"),
        ({"model_type": "deberta-v2", **DEBERTA, "hidden_size": 768, "num_attention_heads": 12,
          "num_hidden_layers": 12, "intermediate_size": 3072}, "deberta_v2", "v3-base"),
        ({"model_type": "t5"}, "t5", "small"),
        ({"model_type": "bart"}, "bart", "large"),
        ({"model_type": "whisper"}, "whisper", "tiny"),
        ({"model_type": "wav2vec2"}, "wav2vec2", "base"),
        ({"model_type": "vit", "num_labels": 1000}, "vit", "b16"),
        ({"model_type": "swin", "num_labels": 1000}, "swin", "t"),
        ({"model_type": "clip"}, "clip", "b32"),
        ({"model_type": "siglip"}, "siglip", "b16"),
        ({"model_type": "blip_2_qformer"}, "blip2_qformer", "base"),
        ({"model_type": "modernbert"}, "modernbert", "base"),
    ],
)  # fmt: skip
def test_defaults_of_a_class_are_a_published_size(config, specs, keys, spec, size):
    text = import_config(config(**keys)).text

    assert (
        composer.graph(composer.load(text)).parameters
        == composer.graph(specs / f"{spec}.yaml", size=size).parameters
    )


# Declarations


@pytest.fixture
def specs():
    from composer.configs.zoo import zoo

    return zoo()


def test_a_parameter_may_be_a_mapping_and_a_key_may_have_several_rules(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "parameters: {words: {a: b}}\nspec: x.yaml\n"
        'keys:\n  k: [{to: dims.k, cases: "{words}"}, {of: 2*value, cases: {4: {}}}]\n'
    )
    first, second = declaration(tmp_path / "x.yaml").rules

    assert first.fields.cases == {"a": "b"}
    assert second.fields.of == "2*value"
