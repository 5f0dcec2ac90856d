"""BERT2GPT: two pretrained parts in one spec compute what `transformers` computes of them."""

import copy
import json
from pathlib import Path
from shutil import copytree

import pytest
import torch

import composer
from composer.language.document import plain
from composer.language.load import load

transformers = pytest.importorskip("transformers")

SPEC = Path(__file__).parents[2] / "specs" / "bert2gpt.yaml"
CROSS = [
    {"from": "transformer.h.{i}.crossattention.q_attn.{p}", "transpose": True,
     "to": "decoder.layers.{i}.cross_attention.q.{p}"},
    {"from": "transformer.h.{i}.crossattention.c_attn.{p}", "transpose": True,
     "split": {"parts": {"k": "d_model", "v": "d_model"}},
     "to": "decoder.layers.{i}.cross_attention.{part}.{p}"},
    {"from": "transformer.h.{i}.crossattention.c_proj.{p}", "transpose": True,
     "to": "decoder.layers.{i}.cross_attention.o.{p}"},
    "transformer.h.{i}.ln_cross_attn.{p} -> decoder.layers.{i}.cross_attention_norm.{p}",
]  # fmt: skip
"""Their cross-attention, which nobody has published: it is filled here to compare all."""


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    bert = transformers.BertConfig(
        vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=40, attn_implementation="eager",
    )  # fmt: skip
    gpt2 = transformers.GPT2Config(
        vocab_size=53, n_embd=32, n_layer=2, n_head=4, n_positions=30, is_decoder=True,
        add_cross_attention=True, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.EncoderDecoderModel(
        encoder=transformers.BertModel(bert), decoder=transformers.GPT2LMHeadModel(gpt2)
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model


@pytest.fixture
def places(theirs, tmp_path):
    found = {"bert": tmp_path / "bert", "gpt2": tmp_path / "gpt2"}
    theirs.encoder.save_pretrained(found["bert"])
    decoder = copy.deepcopy(theirs.decoder)
    decoder.save_pretrained(found["gpt2"])
    return found


def inputs():
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(61, (2, 9), generator=generator)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 6:] = False
    types = torch.randint(2, (2, 9), generator=generator)
    return source, types, torch.randint(53, (2, 7), generator=generator), mask


def filled(tmp_path):
    """The spec with rules for the cross-attention too, beside its maps."""
    copytree(SPEC.parent / "maps", tmp_path / "maps")
    data = plain(load(SPEC))
    del data["weights"]["gpt2"]["new"]
    data["weights"]["gpt2"]["rules"] = CROSS
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_it_computes_the_same(theirs, places, tmp_path, dtype, limit):
    other = copy.deepcopy(theirs).to(dtype)
    model = composer.build(filled(tmp_path), size="small", weights=places).to(dtype).eval()
    source, types, target, mask = inputs()
    with torch.no_grad():
        ours = model(source=source, source_types=types, target=target, source_mask=mask).logits
        expected = other(
            input_ids=source, attention_mask=mask.long(), token_type_ids=types,
            decoder_input_ids=target,
        ).logits  # fmt: skip

    assert (ours - expected).abs().max() < limit


def test_without_these_weights_cross_attention_is_new(theirs, places):
    plain_gpt2 = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=53, n_embd=32, n_layer=2, n_head=4, n_positions=30, bos_token_id=0,
            eos_token_id=0,
        )
    )  # fmt: skip
    plain_gpt2.save_pretrained(places["gpt2"])
    found = composer.audit_weights(SPEC, places, size="small")
    model = composer.build(SPEC, size="small", weights=places, seed=0)

    assert {name.split(".")[3].removesuffix("_norm") for name in found.new} == {"cross_attention"}
    assert {n.split(".")[0] for n in found.frozen} == {"words", "segments", "encoder"}
    assert set(found.frozen) == {n for n, p in model.named_parameters() if not p.requires_grad}
    assert torch.equal(model.words.tokens.weight, theirs.encoder.embeddings.word_embeddings.weight)
    assert torch.equal(model.logits.head.weight, plain_gpt2.transformer.wte.weight)
    assert set(found.ignored["bert"]) == {"pooler.dense.weight", "pooler.dense.bias"}
