"""Each pattern of specs/patterns does what the comment on top of it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import composer
from composer.graph.graph import State
from composer.shapes import Dim, symbol

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = sorted((ROOT / "specs" / "patterns").glob("*.yaml"))


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


def pattern(name):
    return ROOT / "specs" / "patterns" / f"{name}.yaml"


def inputs_of(graph, batch=2):
    """Random inputs; every length that a spec leaves open gets a number of its own."""
    lengths: dict[str, int] = {"batch": batch, "rows": 8 * batch}
    return {part.name: _random(part, lengths) for part in graph.inputs}


def _random(part, lengths):
    shape = [
        lengths.setdefault(str(size), 9 + len(lengths)) if isinstance(size, Dim) else size
        for size in part.value.shape
    ]
    component = part.node.component
    if component.kind == "tokens":
        return torch.randint(1, component.vocab_size, shape)  # 0 may be padding
    return torch.randn(shape)


def ready(name, **options):
    graph = composer.graph(pattern(name))
    return composer.build(pattern(name), seed=0, **options).eval(), inputs_of(graph)


def changed(inputs, name, where=slice(None)):
    """The inputs with other values in one of them, at some of its steps."""
    other = inputs[name].clone()
    part = other[:, where]
    other[:, where] = part.roll(1, 0) if part.is_floating_point() else part % 255 + 1
    return {**inputs, name: other}


@pytest.mark.parametrize("spec", PATTERNS, ids=lambda spec: spec.stem)
def test_builds_runs_and_trains(spec):
    graph = composer.graph(spec)
    model = composer.build(graph, seed=0)
    output = model(**inputs_of(graph))

    sum(value.square().mean() for value in output).backward()

    assert [out.name for out in graph.outputs] == list(output._fields)
    assert all(value.isfinite().all() for value in output)
    assert sum(p.numel() for p in model.parameters()) == graph.parameters
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []


@pytest.mark.parametrize("spec", PATTERNS, ids=lambda spec: spec.stem)
def test_starts_with_a_comment_that_says_what_it_shows(spec):
    comment = [line for line in spec.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]

    assert 2 <= len(comment) <= 4


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("encoder_decoder", "target"),
        ("shared_encoder_decoder", "target"),
        ("parallel_updates", "target"),
        ("multi_source", "target"),
        ("image_captioning", "caption"),
        ("tiny_lm", "tokens"),
        ("gated_cross", "tokens"),
        ("sliding", "tokens"),
    ],
)
def test_decoders_do_not_see_what_comes_later(name, target):
    model, inputs = ready(name)
    before = model(**inputs).logits
    after = model(**changed(inputs, target, slice(5, None))).logits

    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not torch.allclose(after[:, 5:], before[:, 5:])


def test_shared_layers_are_one_set_and_cross_attention_is_the_decoders_own():
    model, _ = ready("shared_encoder_decoder")
    for one, other in zip(model.encoder.layers, model.decoder.layers, strict=True):
        own = {name for name, _ in other.named_parameters() if name.startswith("cross_attention")}
        first, second = dict(one.named_parameters()), dict(other.named_parameters())

        assert own == second.keys() - first.keys()
        assert all(second[name] is parameter for name, parameter in first.items())


def test_skips_pair_first_with_last():
    graph = composer.graph(pattern("hierarchical_skips"))
    read = [next(iter(layer.reads.values())) for layer in graph.parts["up"].layers]

    assert read == [State("down", number) for number in (3, 2, 1, 0)]


def test_parallel_updates_read_the_encoder_layer_by_layer():
    graph = composer.graph(pattern("parallel_updates"))
    read = [next(iter(layer.reads.values())) for layer in graph.parts["decoder"].layers]

    assert read == [State("encoder", number) for number in range(4)]


def test_co_attention_goes_both_ways():
    model, inputs = ready("co_attention")
    before = model(**inputs)

    assert not torch.allclose(model(**changed(inputs, "regions")).answer, before.answer)
    assert not torch.allclose(model(**changed(inputs, "words")).labels, before.labels)


def test_cross_attention_computes_what_torch_does():
    model, inputs = ready("cross_attention")
    attend = model.attend
    reference = nn.MultiheadAttention(64, 4, batch_first=True)
    projections = (attend.q, attend.k, attend.v)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        reference.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        reference.out_proj.load_state_dict(attend.o.state_dict())
    states, weights = reference(
        inputs["target"], inputs["source"], inputs["source"], average_attn_weights=False
    )
    output = model(**inputs)

    assert output.states.shape == (2, 12, 64)
    assert output.weights.shape == (2, 4, 12, 16)
    torch.testing.assert_close(output.states, states)
    torch.testing.assert_close(output.weights, weights)


def test_rearrange_restores_the_sequences():
    model, inputs = ready("rearrange")
    expected = model.encoder(inputs["flat"].reshape(2, 8, 64))

    torch.testing.assert_close(model(**inputs).states, expected)


@pytest.mark.parametrize("source", ["source", "regions"])
def test_every_source_of_several_is_read(source):
    model, inputs = ready("multi_source")

    assert not torch.allclose(model(**changed(inputs, source)).logits, model(**inputs).logits)


def test_a_closed_gate_lets_nothing_through():
    model, inputs = ready("gated_cross")
    gates = [layer.cross_attention_gate for layer in model.decoder.layers[::4]]
    closed = model(**inputs).logits

    torch.testing.assert_close(model(**changed(inputs, "image")).logits, closed)

    for gate in gates:
        nn.init.ones_(gate.weight)

    assert not torch.allclose(model(**changed(inputs, "image")).logits, model(**inputs).logits)


def test_universal_applies_one_layer_six_times():
    model, _ = ready("universal")

    assert [layer is model.encoder.layers[0] for layer in model.encoder.layers] == [True] * 6


def test_latents_do_not_grow_with_the_input():
    graph = composer.graph(pattern("latents"))

    assert graph.parts["reader"].value.shape[1] == symbol("text")
    assert graph.parts["thinker"].value.shape[1:] == (16, 128)
