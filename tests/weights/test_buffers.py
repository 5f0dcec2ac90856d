"""Buffers: saved, loaded and mapped as parameters are, counted and trained as none."""

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model

import composer
from composer.weights import WeightError, apply, export, load_into, load_map, plan, plan_back

SPEC = """
composer: 1
name: routed
inputs: {tokens: {kind: tokens, vocab_size: 11}}
decoders:
  decoder:
    from: tokens
    d_model: 8
    num_layers: 4
    attention: {num_heads: 2}
    feed_forward: {kind: moe, num_experts: 4, experts_per_token: 2, d_ff: 6, correction_bias: true}
outputs: {logits: {from: decoder, head: lm}}
"""
NAMES = [f"decoder.layers.{i}.feed_forward.correction_bias" for i in range(4)]
RULES = [
    "h.{i}.gate.bias -> decoder.layers.{i}.feed_forward.correction_bias",
    "h.{i}.moe.router.weight -> decoder.layers.{i}.feed_forward.router.weight",
    "h.{i}.moe.{name} -> decoder.layers.{i}.feed_forward.{name}",
    "h.{i}.attn.{name}.{p} -> decoder.layers.{i}.attention.{name}.{p}",
    "h.{i}.{name}.{p} -> decoder.layers.{i}.{name}.{p}",
    "embed.weight -> decoder.embed.tokens.weight",
    "norm.{p} -> decoder.norm.{p}",
    "head.weight -> logits.head.weight",
]


def random_state(graph):
    generator = torch.Generator().manual_seed(3)
    return {n: torch.randn(shape, generator=generator) for n, shape in graph.state.items()}


def test_they_are_declared_beside_the_parameters():
    graph, model = composer.graph(SPEC), composer.build(SPEC)

    assert graph.buffers == dict.fromkeys(NAMES, (4,))
    assert graph.buffers == {n: tuple(b.shape) for n, b in model.named_buffers()}
    assert graph.state == {n: tuple(t.shape) for n, t in model.state_dict().items()}
    assert not graph.buffers.keys() & graph.tensors.keys()
    assert graph.parameters == sum(p.numel() for p in model.parameters())


def test_maps_read_and_write_them():
    graph = composer.graph(SPEC)
    ours = random_state(graph)
    theirs = export(plan_back(graph, load_map(RULES)), ours.__getitem__)
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.items()}
    again = apply(plan(graph, load_map(RULES), shapes), theirs.__getitem__)

    assert torch.equal(theirs["h.2.gate.bias"], ours[NAMES[2]])
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in ours.items())


def test_files_hold_them(tmp_path):
    graph = composer.graph(SPEC)
    ours = random_state(graph)
    save_file(ours, tmp_path / "own.safetensors")
    model = composer.build(SPEC, weights=tmp_path / "own.safetensors")
    save_model(model, tmp_path / "saved.safetensors")

    assert all(torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items())
    assert load_file(tmp_path / "saved.safetensors").keys() == ours.keys()


def test_a_missing_one_is_refused():
    ours = random_state(composer.graph(SPEC))
    del ours[NAMES[1]]

    with pytest.raises(WeightError, match=rf"nothing for '{NAMES[1]}'"):
        load_into(composer.build(SPEC), ours)
    with pytest.raises(WeightError, match=rf"'{NAMES[0]}' .* is made of nothing"):
        plan(composer.graph(SPEC), load_map(RULES[1:]), _shapes_without_buffers())


def _shapes_without_buffers():
    graph = composer.graph(SPEC)
    theirs = export(plan_back(graph, load_map(RULES)), random_state(graph).__getitem__)
    return {name: tuple(t.shape) for name, t in theirs.items() if not name.endswith("gate.bias")}


@pytest.mark.parametrize("shared", ["decoder.layers", "decoder.layers.*.feed_forward"])
def test_shared_experts_share_them(tmp_path, shared):
    spec = f"{SPEC}connections: [{{shared: {{within: {shared}, every: 2}}}}]\n"
    graph = composer.graph(spec)
    ours = random_state(graph)
    model = composer.build(spec)
    load_into(model, ours)
    state = model.state_dict()

    assert list(graph.buffers) == NAMES[::2]
    assert all(torch.equal(state[n], ours[NAMES[i - i % 2]]) for i, n in enumerate(NAMES))


def test_freezing_names_parameters_only():
    with pytest.raises(composer.SpecError, match="names no parameters"):
        composer.graph(f"{SPEC}freeze: decoder.layers.*.feed_forward.correction_bias\n")
