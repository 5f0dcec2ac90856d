"""The Transformer of specs/transformer.yaml is torch's own, weight by weight."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import composer
from tests.conformance.checks import randomize

PLACEMENTS = ("post", "pre")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


class Reference(nn.Module):
    """torch's Transformer between shared embeddings, sinusoids and the tied head."""

    def __init__(self, vocab_size, d_model, num_heads, d_ff, num_layers, placement):
        super().__init__()
        options = {
            "dropout": 0.0,
            "activation": "relu",
            "batch_first": True,
            "norm_first": placement == "pre",
        }

        def norm():
            return nn.LayerNorm(d_model) if placement == "pre" else None

        self.scale = math.sqrt(d_model)
        self.embedding = nn.Embedding(vocab_size, d_model)
        layer = nn.TransformerEncoderLayer(d_model, num_heads, d_ff, **options)
        decoder_layer = nn.TransformerDecoderLayer(d_model, num_heads, d_ff, **options)
        encoder = nn.TransformerEncoder(layer, num_layers, norm(), enable_nested_tensor=False)
        self.transformer = nn.Transformer(
            d_model, num_heads, batch_first=True, custom_encoder=encoder,
            custom_decoder=nn.TransformerDecoder(decoder_layer, num_layers, norm()),
        )  # fmt: skip

    def embed(self, tokens):
        x = self.embedding(tokens) * self.scale
        return x + sinusoids(*x.shape[1:]).to(x.dtype)

    def forward(self, source, target, source_mask=None, target_mask=None):
        padding = {
            "src_key_padding_mask": None if source_mask is None else ~source_mask,
            "memory_key_padding_mask": None if source_mask is None else ~source_mask,
            "tgt_key_padding_mask": None if target_mask is None else ~target_mask,
        }
        time = target.shape[1]
        causal = torch.ones(time, time, dtype=torch.bool).triu(1)
        states = self.transformer(
            self.embed(source), self.embed(target), tgt_mask=causal, **padding
        )
        return states @ self.embedding.weight.T


def sinusoids(time, d_model):
    """Section 3.5 of the paper, number by number."""
    table = torch.zeros(time, d_model, dtype=torch.float64)
    for step in range(time):
        for i in range(0, d_model, 2):
            angle = step / 10_000 ** (i / d_model)
            table[step, i], table[step, i + 1] = math.sin(angle), math.cos(angle)
    return table


def names(num_layers, placement):
    """Each parameter of the reference, and those here that it holds one after the other."""
    yield "embedding.weight", ["encoder.embed.tokens.weight"]
    for stack in ("encoder", "decoder"):
        for i in range(num_layers):
            there, here = f"transformer.{stack}.layers.{i}", f"{stack}.layers.{i}"
            attentions = {"self_attn": "attention"}
            if stack == "decoder":
                attentions["multihead_attn"] = "cross_attention"
            for theirs, ours in attentions.items():
                for kind in ("weight", "bias"):
                    yield (
                        f"{there}.{theirs}.in_proj_{kind}",
                        [f"{here}.{ours}.{p}.{kind}" for p in "qkv"],
                    )
                    yield f"{there}.{theirs}.out_proj.{kind}", [f"{here}.{ours}.o.{kind}"]
            norms = [*attentions.values(), "feed_forward"]
            for kind in ("weight", "bias"):
                yield f"{there}.linear1.{kind}", [f"{here}.feed_forward.up.{kind}"]
                yield f"{there}.linear2.{kind}", [f"{here}.feed_forward.down.{kind}"]
                for number, name in enumerate(norms, 1):
                    yield f"{there}.norm{number}.{kind}", [f"{here}.{name}_norm.{kind}"]
        if placement == "pre":
            for kind in ("weight", "bias"):
                yield f"transformer.{stack}.norm.{kind}", [f"{stack}.norm.{kind}"]


def pair(placement, dtype):
    """The built model and the reference, in evaluation mode."""
    model = composer.build(
        "specs/transformer.yaml", size="small", overrides=[f"defaults.norm.placement={placement}"]
    )
    reference = Reference(256, 128, 4, 512, 2, placement)
    return model.to(dtype).eval(), reference.to(dtype).eval()


def copied(source, target, pairs):
    """Gives `target` the parameters of `source`; every parameter of both is named once."""
    theirs, ours = dict(source.named_parameters()), dict(target.named_parameters())
    with torch.no_grad():
        for several, one in pairs:
            whole = torch.cat([theirs.pop(name) for name in several])
            parts = [ours.pop(name) for name in one]
            for part, piece in zip(parts, whole.split([len(p) for p in parts]), strict=True):
                part.copy_(piece)
    assert not theirs
    assert not ours


def inputs():
    generator = torch.Generator().manual_seed(5)
    source = torch.randint(0, 256, (3, 9), generator=generator)
    target = torch.randint(0, 256, (3, 7), generator=generator)
    source_mask, target_mask = (
        torch.ones(3, 9, dtype=torch.bool),
        torch.ones(3, 7, dtype=torch.bool),
    )
    source_mask[1, 5:] = source_mask[2, 1:] = False
    target_mask[2, 4:] = False
    return source, target, source_mask, target_mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize("masks", ["masked", "whole"])
def test_outputs_and_gradients_are_those_of_torch(dtype, placement, way, masks):
    model, reference = pair(placement, dtype)
    table = list(names(2, placement))
    if way == "there":
        randomize(model, seed=3, std=0.05)
        copied(model, reference, [(ours, [theirs]) for theirs, ours in table])
    else:
        randomize(reference, seed=4, std=0.05)
        copied(reference, model, [([theirs], ours) for theirs, ours in table])
    given = inputs()[: 4 if masks == "masked" else 2]
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}

    actual, expected = model(*given).logits, reference(*given)
    scale = expected.detach().abs().max()
    torch.testing.assert_close(actual / scale, expected / scale, **close)

    for out in (actual, expected):
        nn.functional.cross_entropy(out.flatten(0, 1) / scale, given[1].flatten()).backward()
    found, wanted = dict(model.named_parameters()), dict(reference.named_parameters())
    for theirs, ours in table:
        gradient = torch.cat([found[name].grad for name in ours])
        norm = wanted[theirs].grad.abs().max() + 1e-3
        torch.testing.assert_close(
            gradient / norm,
            wanted[theirs].grad / norm,
            msg=lambda text, name=theirs: f"{name}: {text}",
            **close,
        )


def test_a_wrong_weight_is_found():
    model, reference = pair("post", torch.float64)
    copied(model, reference, [(ours, [theirs]) for theirs, ours in names(2, "post")])
    given = inputs()
    torch.testing.assert_close(model(*given).logits, reference(*given))
    with torch.no_grad():
        model.decoder.layers[1].cross_attention.k.weight[0, 0] += 0.1

    assert not torch.allclose(model(*given).logits, reference(*given))


def test_parameters_are_as_many_as_torchs():
    model, reference = pair("post", torch.float32)

    counts = [sum(p.numel() for p in m.parameters()) for m in (model, reference)]
    assert len(set(counts)) == 1


def test_base_size_is_that_of_the_paper():
    """63.1M and 214.2M with one vocabulary of 37 000: 65M and 213M in the paper."""
    graphs = [composer.graph("specs/transformer.yaml", size=size) for size in ("base", "big")]

    assert [round(graph.parameters / 1e6, 1) for graph in graphs] == [63.1, 214.2]
