"""Parametrizations that follow the width and the depth: factors, starts, groups, states."""

from __future__ import annotations

import pytest
import torch

import composer
from composer import SpecError
from composer.cli import main
from composer.training.coordinates import coordinate_check, plot, slopes

SPEC = """\
composer: 1
name: wide
dims: {d_model: 256, layers: 8}
inputs:
  tokens: {kind: tokens, vocab_size: 50}
decoders:
  decoder:
    from: tokens
    d_model: d_model
    num_layers: layers
    embed: {scale: d_model^0.5, position: {kind: learned, max_length: 32}}
    attention: {num_heads: 4, qk_norm: true}
outputs:
  logits: {from: decoder, head: lm}
"""
BASE = "base: {dims: {d_model: 64, layers: 2}}"
MUP = f"{SPEC}parametrization: {{kind: mup, {BASE}}}\n"
COMPLETEP = f"{SPEC}parametrization: {{kind: completep, {BASE}}}\n"


def layer(spec):
    (stack,) = composer.graph(spec).stacks
    return stack.layers[0].kind


def group_of(model, groups, name):
    parameter = dict(model.named_parameters())[name]
    (found,) = [g for g in groups if any(p is parameter for p in g["params"])]
    return found


def test_scores_heads_and_embeddings_follow_the_base():
    graph = composer.graph(MUP)
    attention = layer(MUP).branches[0].bodies[0].node.component

    assert attention.qk_scale == 16**-0.5 * 16 / 64  # falls with the width of a head
    assert graph.parts["logits"].head.component.scale == 64 / 256
    assert graph.parts["decoder"].embed.component.scale == 64**0.5
    assert [branch.scale for branch in layer(MUP).branches] == [1, 1]
    assert [branch.scale for branch in layer(COMPLETEP).branches] == [2 / 8, 2 / 8]
    assert graph.initialization.component.kind == "fan_in"


def test_the_base_itself_is_the_standard_model():
    at_base = ["dims.d_model=64", "dims.layers=2"]
    made = composer.build(COMPLETEP, overrides=at_base, seed=0)
    plain = composer.build(SPEC + "initialization: fan_in\n", overrides=at_base, seed=0)
    tokens = torch.randint(50, (2, 9))

    assert torch.equal(made(tokens=tokens).logits, plain(tokens=tokens).logits)


def test_matrices_start_by_the_width_that_they_read():
    model = composer.build(MUP, overrides=["dims.layers=2"], seed=0).requires_grad_(False)

    assert float(model.decoder.layers[0].feed_forward.up.weight.std()) == pytest.approx(
        256**-0.5, rel=0.02
    )
    assert float(model.decoder.layers[0].feed_forward.down.weight.std()) == pytest.approx(
        1024**-0.5, rel=0.02
    )
    assert float(model.logits.head.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert float(model.decoder.layers[0].attention.q.bias.abs().max()) == 0


@pytest.mark.parametrize(("spec", "deeper"), [(MUP, 1), (COMPLETEP, 4)])
def test_groups_of_an_optimizer(spec, deeper):
    model = composer.build(spec, seed=0)
    groups = composer.param_groups(model, spec, 0.01, weight_decay=0.1, eps=1e-8)

    matrix = group_of(model, groups, "decoder.layers.5.attention.q.weight")
    assert (matrix["lr"], matrix["weight_decay"]) == (0.01 / 4, 0.1 * 4)
    assert matrix["eps"] == 1e-8 / 4 / deeper
    bias = group_of(model, groups, "decoder.layers.5.attention.q.bias")
    assert (bias["lr"], bias["weight_decay"], bias["eps"]) == (0.01, 0, 1e-8 / 4 / deeper)
    narrow = group_of(model, groups, "decoder.layers.5.attention.q_norm.weight")
    assert narrow["lr"] == 0.01
    embedding = group_of(model, groups, "decoder.embed.tokens.weight")
    assert (embedding["lr"], embedding["weight_decay"]) == (0.01, 0.1)
    head = group_of(model, groups, "logits.head.weight")  # its factor makes it slower already
    assert (head["lr"], head["weight_decay"]) == (0.01, 0.1)
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    torch.optim.AdamW(groups)


def test_groups_without_a_parametrization():
    model = composer.build(SPEC, seed=0)
    model.decoder.embed.requires_grad_(requires_grad=False)
    groups = composer.param_groups(model, SPEC, 0.01, weight_decay=0.1)

    assert {(g["lr"], g["weight_decay"]) for g in groups} == {(0.01, 0.1), (0.01, 0)}
    frozen = {id(p) for p in model.decoder.embed.parameters()}
    assert not frozen & {id(p) for g in groups for p in g["params"]}
    with pytest.raises(ValueError, match="no tensor 'weight'"):
        composer.param_groups(torch.nn.Linear(2, 2), SPEC, 0.01)


def test_tied_heads_are_trained_once_as_embeddings():
    tied = MUP + "connections: [shared: [decoder.embed.tokens, logits.head]]\n"
    model = composer.build(tied, seed=0)
    groups = composer.param_groups(model, tied, 0.01)

    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert group_of(model, groups, "decoder.embed.tokens.weight")["name"] == "embedding"


def test_experts_are_matrices_over_their_last_axis():
    spec = MUP.replace("outputs:", "outputs:").replace(
        "qk_norm: true}",
        "qk_norm: true}\n    feed_forward: {kind: moe, num_experts: 4, experts_per_token: 2, d_ff: 2*d_model}",
    )
    model = composer.build(spec, seed=0)
    groups = composer.param_groups(model, spec, 0.01)

    down = "decoder.layers.0.feed_forward.down"
    assert group_of(model, groups, down)["lr"] == 0.01 / 4
    assert float(dict(model.named_parameters())[down].detach().std()) == pytest.approx(
        512**-0.5, rel=0.02
    )
    assert group_of(model, groups, "decoder.layers.0.feed_forward.router.weight")["lr"] == 0.01 / 4


def test_states_are_alike_at_every_width():
    options = {"values": [64, 128, 256], "steps": 3, "seeds": 1}
    two = {"overrides": ["dims.layers=2"]}
    plain = slopes(coordinate_check(SPEC, "dims.d_model", **options, **two))
    flat = slopes(coordinate_check(MUP, "dims.d_model", **options, **two))

    assert all(abs(flat[part, step]) < 0.15 for part, step in flat if step > 1)
    assert min(plain["logits", step] for step in (2, 3)) > 0.3


def test_states_are_alike_at_every_depth():
    options = {"values": [2, 8], "steps": 3, "seeds": 1, "overrides": ["dims.d_model=64"]}
    flat = slopes(coordinate_check(COMPLETEP, "dims.layers", **options))
    other = slopes(coordinate_check(MUP, "dims.layers", **options))

    assert all(flat["decoder", step] < 0.2 for step in range(4))
    assert other["decoder", 3] > flat["decoder", 3] + 0.3


def test_the_command_shows_and_draws_growth(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    path, picture = tmp_path / "wide.yaml", tmp_path / "growth.svg"
    path.write_text(MUP)
    arguments = ["coordinates", str(path), "--vary", "dims.d_model=16,32", "--steps", "1"]

    assert main([*arguments, "--set", "dims.layers=2", "--out", str(picture)]) == 0
    assert "logits" in capfd.readouterr().out
    assert "<svg" in picture.read_text()
    assert main([*arguments[:3], "dims.d_model=16"]) == 2
    assert "one value" in capfd.readouterr().err
    assert main([*arguments[:3], "dims.d_model=a,b"]) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("parametrization: mup", "mup wants the changes that give its base"),
        ("parametrization: {kind: mup}", "mup wants the changes that give its base"),
        ("parametrization: {kind: ntk, base: {}}", "ntk"),
        ("parametrization: {kind: standard, base: {dims: {d_model: 8}}}", "has no base"),
        (f"parametrization: {{kind: mup, {BASE}}}\ninitialization: xavier", "starts every width"),
        ("parametrization: {kind: mup, base: {dims: {width: 8}}}", "width"),
        (
            "parametrization: {kind: mup, base: {decoders: {decoder: {feed_forward: glu}}}}",
            "has no 'decoder.feed_forward'",
        ),
    ],
)
def test_mistakes(line, said):
    with pytest.raises(SpecError, match=said):
        composer.graph(SPEC + line + "\n")


def test_heads_with_settled_scores_must_not_grow():
    swin = """\
composer: 1
name: windows
dims: {d_model: 64, heads: 4}
inputs: {image: {kind: image, height: 8, width: 8}}
modules: {patches: {kind: patch, from: image, patch_size: 2, d_model: d_model}}
encoders:
  encoder: {from: patches, d_model: d_model, num_layers: 1, attention: {kind: window_attention, window: 2, num_heads: heads}}
outputs: {states: {from: encoder}}
"""
    grown = "parametrization: {kind: mup, base: {dims: {d_model: 32}}}\n"
    kept = "parametrization: {kind: mup, base: {dims: {d_model: 32, heads: 2}}}\n"

    assert composer.graph(swin + kept).parametrization == "mup"
    with pytest.raises(SpecError, match="scores of 'window_attention' cannot follow"):
        composer.graph(swin + grown)


def test_a_plot_has_a_panel_for_each_part(tmp_path):
    pytest.importorskip("matplotlib")
    made = coordinate_check(MUP, "dims.d_model", [16, 32], steps=1, overrides=["dims.layers=2"])

    plot(made, tmp_path / "one.png")

    assert (tmp_path / "one.png").stat().st_size > 1000
