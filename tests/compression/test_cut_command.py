"""`composer cut`, and `composer compress` with `prune`: what they print, write and refuse."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model

import composer
from composer.cli import main
from composer.targets import diagram

SPEC = str(Path(__file__).parents[1] / "specs" / "pruned.yaml")


@pytest.fixture
def weights(tmp_path):
    save_model(composer.build(SPEC, seed=0), str(tmp_path / "dense.safetensors"))
    return str(tmp_path / "dense.safetensors")


def test_cut_writes_a_smaller_spec_that_reads_its_weights(weights, tmp_path, capfd):
    out = tmp_path / "small"
    kept = ["--keep", "decoder.heads=1", "--keep", "decoder.d_ff=8"]
    code = main(["cut", SPEC, "--weights", weights, *kept, "-o", str(out)])
    printed = capfd.readouterr()

    assert code == 0, printed.err
    assert "decoder.layers.2.feed_forward d_ff" in printed.out
    before, after = composer.graph(SPEC), composer.graph(out / "spec.yaml")
    assert f"{before.parameters:,} -> {after.parameters:,} parameters" in printed.out
    model = composer.build(out / "spec.yaml", weights=out)
    assert model.decoder.layers[0].attention.q is model.decoder.layers[1].attention.q
    assert model.decoder.layers[2].feed_forward.up.weight.shape == (8, 16)
    assert model(tokens=torch.tensor([[1, 2]])).logits.shape == (1, 2, 23)


def test_cut_says_what_is_kept_as_json(weights, tmp_path, capfd):
    keep = ["--keep", "decoder.heads=1", "--json"]
    assert main(["cut", SPEC, "--weights", weights, *keep, "-o", str(tmp_path / "small")]) == 0

    kept = json.loads(capfd.readouterr().out)
    assert sorted(kept) == [f"decoder.layers.{i}.attention heads" for i in range(3)]
    assert kept["decoder.layers.0.attention heads"] == kept["decoder.layers.1.attention heads"]


@pytest.mark.parametrize(
    ("keep", "why", "code"),
    [
        ("decoder.heads=3", "it has 2 heads, so 3 cannot be left", 1),
        ("decoder.layers=0,2", "names 'decoder.layers.0', which would be another layer", 1),
        ("decoder.experts=1", "'decoder' has no experts", 1),
        ("encoder.heads=1", "no stack is called 'encoder'", 1),
        ("decoder.heads=1,2", "--keep wants STACK.WHAT=NUMBER", 2),
        ("decoder.head=1", "--keep wants STACK.WHAT=NUMBER", 2),
    ],
)
def test_cut_refuses_by_name_and_writes_nothing(weights, tmp_path, capfd, keep, why, code):
    out = tmp_path / "small"

    assert main(["cut", SPEC, "--weights", weights, "--keep", keep, "-o", str(out)]) == code
    assert why in capfd.readouterr().err
    assert not out.exists()


def test_compress_reports_the_zeros_of_each_weight(weights, tmp_path, capfd):
    out = tmp_path / "zeros"
    assert main(["compress", SPEC, "--weights", weights, "-o", str(out)]) == 0

    printed = capfd.readouterr().out
    assert "decoder.layers.0.attention.q.weight: 64 of 256 are zero, 25.0 %" in printed
    assert "decoder.layers.1.attention.q.weight" not in printed
    assert "dense kernels no faster" in printed
    model = composer.build(SPEC, weights=out)
    wide = [(f.up, f.down) for f in (layer.feed_forward for layer in model.decoder.layers)]
    gone = sum(int((m.weight == 0).sum()) for pair in wide for m in pair)
    assert gone == round(0.8 * 3 * 2 * 16 * 24)


def test_describe_and_the_drawing_say_what_becomes_zero(capfd):
    assert main(["describe", SPEC]) == 0
    assert "prune: 1,843 zeros in 6 linear maps; zeros are stored" in capfd.readouterr().out

    drawn = diagram.draw(composer.graph(SPEC))
    assert "80% zero" in drawn
    assert "25% zero" in drawn


def test_the_emitted_function_makes_the_same_zeros():
    text = composer.source(SPEC)
    made: dict = {"__name__": "emitted"}
    exec(compile(text, "emitted", "exec"), made)
    ours, theirs = composer.build(SPEC, seed=0), made["Pruned"]()
    theirs.load_state_dict(ours.state_dict())

    composer.compress(ours, SPEC)
    made["compress"](theirs)

    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name])
