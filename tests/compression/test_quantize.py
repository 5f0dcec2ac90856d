"""What a spec quantizes, the model computes with few bits: by the right numbers, or it is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import composer
from composer.compression import prepare, tensors_of
from composer.compression.packing import pack, unpack
from composer.graph.tensors import first_names
from composer.targets.compressed import report
from composer.targets.module import load_source

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "tests" / "specs" / "compressed.yaml"
SIZES = ("paths", "whole", "groups", "attention", "queries", "weights", "tied")
ROW = "int2_group, group: row"
WITHOUT_DATA = ("int8_weight", "int8_dynamic", "int4_group", "int3_group", "int2_group", ROW)
SCHEMES = (*WITHOUT_DATA, "int8_static")

SMALL = """
composer: 1
name: small
inputs: {tokens: {kind: tokens, vocab_size: 40}}
decoders:
  decoder: {from: tokens, d_model: 32, num_layers: 2, attention: {num_heads: 2}}
outputs: {logits: {from: decoder, head: lm}}
initialization: torch
compress:
  - quantize: {on: "*", scheme: %s}
"""


@pytest.fixture(scope="module", autouse=True)
def _torchao():
    pytest.importorskip("torchao")


def ids(high=19, shape=(2, 6)):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(1))


def inputs(graph):
    return {one.name: ids() for one in graph.inputs}


@torch.no_grad()
def outputs(model, graph):
    return model.eval()(**inputs(graph))


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def quantized(graph, seed=0):
    """A model of a graph before and after, with the outputs that it then makes."""
    model = composer.build(graph, seed=seed)
    before = outputs(model, graph)
    composer.compress(model, graph, data=[inputs(graph)])
    return model, before, outputs(model, graph)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_at_most_half_a_step_from_what_they_were(scheme):
    graph = composer.graph(SMALL % scheme)
    before = composer.build(graph, seed=0).state_dict()
    model, _, _ = quantized(graph)

    for first in graph.compressions[0].maps:
        weight = model.get_submodule(first).weight.data
        scale = weight.scale.repeat_interleave(weight.shape[1] // weight.scale.shape[1], dim=1)
        error = (weight.dequantize() - before[f"{first}.weight"]).abs()
        assert float((error - scale / 2).max()) <= 1e-6


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_saved_model_comes_back_to_the_same_outputs(scheme, tmp_path):
    spec = SMALL % scheme
    graph = composer.graph(spec)
    model, before, after = quantized(graph)
    assert not equal(before, after)

    composer.save_compressed(model, graph, tmp_path / "model.safetensors")
    again = composer.build(spec, weights=tmp_path, seed=7)

    assert equal(outputs(again, graph), after)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_bytes_of_weights_are_those_of_the_saved_tensors(scheme, tmp_path):
    graph = composer.graph(SMALL % scheme)
    composer.save_compressed(quantized(graph)[0], graph, tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")

    parts = {name: tensor for name, tensor in tensors.items() if name not in graph.state}
    assert report(graph).changed[0].after == sum(
        t.numel() * t.element_size() for t in parts.values()
    )
    assert {name.split(".weight.")[0] for name in parts} == set(graph.compressions[0].maps)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", [(1,), (7, 3), (5, 16)])
def test_packing_is_exact_and_leaves_no_gaps(bits, shape):
    numbers = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), shape, dtype=torch.int8)

    packed = pack(numbers, bits)

    assert torch.equal(unpack(packed, bits, shape), numbers)
    assert len(packed) == -(-numbers.numel() * bits // 8)


def test_a_model_of_some_size_is_a_quarter_as_large_and_computes_nearly_the_same():
    spec = (SMALL % "int8_weight").replace("d_model: 32", "d_model: 512")
    graph = composer.graph(spec)
    model, before, after = quantized(graph)

    whole = sum(torch.Size(shape).numel() * 4 for shape in graph.tensors.values())
    saved = sum(t.numel() * t.element_size() for t in tensors_of(graph, model).values())
    error = (after.logits - before.logits).norm() / before.logits.norm()
    assert saved / whole <= 0.26
    assert float(error) < 0.01


# Sharing


def every(scheme):
    group = "" if scheme == ROW else ", group: 16"
    return [f"compress=[{{quantize: {{on: '*', scheme: {scheme}{group}}}}}]"]


@pytest.mark.parametrize("size", [size for size in SIZES if size != "paths"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_shared_is_quantized_once_and_stays_one(size, scheme, tmp_path):
    made = composer.load(SPEC, size=size, overrides=every(scheme))
    graph = composer.graph(made)
    model, before, after = quantized(graph)

    tensors = dict(model.named_parameters(remove_duplicate=False))
    assert all(tensors[name] is tensors[first] for name, first in first_names(graph).items())
    assert not equal(before, after)
    composer.save_compressed(model, graph, tmp_path / "model.safetensors")
    names = load_file(tmp_path / "model.safetensors")
    parts = {name.split(".weight.")[0] for name in names if name not in graph.state}
    assert parts == set(graph.compressions[0].maps)
    again = composer.build(made, weights=tmp_path, seed=3)
    assert equal(outputs(again, graph), after)


def test_a_tied_head_stays_as_it_is_and_is_listed():
    graph = composer.graph(SPEC, size="tied")
    model, _, _ = quantized(graph)

    why = report(graph).left["decoder.embed.tokens.weight"]
    assert why == "its weight is also that of 'decoder.embed.tokens', which is no linear map"
    assert model.logits.head.weight is model.decoder.embed.tokens.weight
    assert type(model.logits.head.weight.data) is torch.Tensor


def test_every_tensor_is_changed_or_listed_with_a_reason():
    graph = composer.graph(SPEC, size="paths")
    changed = {f"{path}.weight" for each in graph.compressions for path in each.maps}
    left = report(graph).left

    assert set(left) | changed == set(graph.state)
    assert not set(left) & changed
    assert left["decoder.layers.2.feed_forward.up.weight"] == "a linear map that is not named"
    assert left["encoder.embed.tokens.weight"] == "a tensor of token_embedding"


def test_shared_maps_are_stored_once():
    shared = composer.graph(SPEC, size="groups")
    apart = composer.graph(SPEC, size="whole")
    sizes = [report(graph).changed[0] for graph in (shared, apart)]

    assert len(sizes[0].maps) < len(sizes[1].maps)
    assert sizes[0].after / sizes[0].before == pytest.approx(
        sizes[1].after / sizes[1].before, rel=0.02
    )


# Emitted source


@pytest.mark.parametrize(
    ("size", "mode"),
    [*((size, "standalone") for size in (*SIZES, "static", "rows")), ("paths", "linked")],
)
def test_emitted_source_quantizes_what_composer_does(size, mode):
    graph = composer.graph(SPEC, size=size)
    _, _, after = quantized(graph)
    module = load_source(composer.source(graph, mode=mode), f"emitted_{size}_{mode}")
    copy = module.Compressed()
    copy.load_state_dict(composer.build(graph, seed=0).state_dict())

    module.compress(copy, *([[inputs(graph)]] if size == "static" else []))

    assert equal(outputs(copy, graph), after)


def test_the_float_form_is_that_of_the_spec_without_compress():
    text = SMALL % "int8_weight"
    plain = composer.build(text.split("compress:")[0], seed=0)
    model = composer.build(text, seed=0)

    assert list(plain.state_dict()) == list(model.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(plain.parameters(), model.parameters(), strict=True)
    )


# Training


@pytest.mark.parametrize("scheme", ["int8_weight", "int4_group", "int3_group", "int2_group", ROW])
def test_training_that_is_aware_computes_what_is_saved(scheme):
    graph = composer.graph(SMALL % f"{scheme}, aware: true")
    model = composer.build(graph, seed=0)
    names = list(model.state_dict())
    prepare(graph, model)
    assert list(model.state_dict()) == names
    model(tokens=ids()).logits.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.1 * parameter.grad)
    rounded = outputs(model, graph)

    composer.compress(model, graph)

    torch.testing.assert_close(outputs(model, graph).logits, rounded.logits, rtol=0, atol=1e-5)


def test_training_rounds_what_maps_read_as_int8_dynamic_does():
    text = SMALL.replace('"*"', "decoder.layers.0.feed_forward.up") % "int8_dynamic, aware: true"
    graph = composer.graph(text)
    model = composer.build(graph, seed=0)
    prepare(graph, model)
    rounded = outputs(model, graph)

    composer.compress(model, graph)

    torch.testing.assert_close(outputs(model, graph).logits, rounded.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", ["groups", "attention", "queries", "weights"])
def test_training_that_is_aware_keeps_what_is_shared(size):
    override = "compress=[{quantize: {on: '*', scheme: int4_group, group: 16, aware: true}}]"
    graph = composer.graph(SPEC, size=size, overrides=[override])
    model = composer.build(graph, seed=0)
    prepare(graph, model)

    tensors = dict(model.named_parameters(remove_duplicate=False))
    assert all(tensors[name] is tensors[first] for name, first in first_names(graph).items())
    rounded = outputs(model, graph)
    composer.compress(model, graph)
    torch.testing.assert_close(outputs(model, graph)[0], rounded[0], rtol=0, atol=1e-5)


def test_composer_train_is_aware_of_rounding(tmp_path):
    from composer.training import read_data, train

    (tmp_path / "text.txt").write_text("a few words to learn from. " * 40)
    spec = (SMALL % "int2_group, aware: true").replace("vocab_size: 40", "vocab_size: 256")
    spec += "train: {steps: 2, batch_size: 2, length: 8}\n"
    model = composer.build(spec, seed=0)

    train(model, spec, read_data(spec, tmp_path / "text.txt"), out=tmp_path / "run", device="cpu")

    assert type(model.logits.head).__name__ == "FakeQuantizedLinear"
    assert "logits.head.weight" in model.state_dict()


@torch.no_grad()
def test_a_row_is_one_group_of_all_of_its_numbers():
    made = [composer.graph(SMALL % f"int3_group, group: {group}") for group in ("row", 32)]
    models = [quantized(graph)[0] for graph in made]

    wide, narrow = (f"decoder.layers.0.feed_forward.{name}.weight" for name in ("down", "up"))
    assert models[0].get_parameter(wide).scale.shape == (32, 1)
    assert models[1].get_parameter(wide).scale.shape == (32, 4)
    same = [model.get_parameter(narrow).dequantize() for model in models]
    assert torch.equal(*same)
    assert report(made[0]).changed[0].after < report(made[1]).changed[0].after


def test_kernels_of_four_bits_want_groups():
    with pytest.raises(composer.SpecError, match="its kernels want groups"):
        composer.graph(SMALL % "int4_weight, group: row")


# Refused


def refused(spec, code, **given):
    graph = composer.graph(spec)
    model = composer.build(graph, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(composer.SpecError) as caught:
        composer.compress(model, graph, **given)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    (problem,) = caught.value.problems
    assert problem.code == code
    return problem


def test_what_a_machine_cannot_compute_is_refused_with_the_reason(monkeypatch):
    from composer.nn import quantize

    def missing(linears, group):
        raise ImportError("Requires mslk >= 1.0.0")

    monkeypatch.setattr(quantize, "quantize_int4_weight", missing)
    problem = refused(SMALL % "int4_weight", "Q702")

    where = "int4_weight cannot be computed on cpu in torch.float32"
    assert problem.message == f"{where}: Requires mslk >= 1.0.0"
    assert problem.fix == "scheme: int4_group"


def test_without_torchao_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)

    assert refused(SMALL % "int8_weight", "Q702").fix == "pip install 'graph-composer[quantize]'"


def test_calibration_without_data_is_refused():
    message = refused(SMALL % "int8_static", "Q703").message

    assert message == "int8_static needs data, for the scales of what linear maps read"


def test_calibration_that_reaches_no_map_is_refused():
    assert "no batch reaches" in refused(SMALL % "int8_static", "Q703", data=[]).message


def test_training_cannot_be_aware_of_what_comes_after_it():
    assert (
        refused(SMALL % "int8_static, aware: true", "Q702", data=[]).fix == "scheme: int8_dynamic"
    )


def test_a_model_is_quantized_once_only():
    graph = composer.graph(SMALL % "int8_weight")
    model, _, _ = quantized(graph)

    with pytest.raises(composer.SpecError, match="is quantized already"):
        composer.compress(model, graph)


def test_a_spec_without_passes_is_refused():
    spec = (SMALL % "int8_weight").split("compress:")[0]

    assert "says nothing under compress" in refused(spec, "Q701").message


def test_files_of_other_passes_are_refused(tmp_path):
    graph = composer.graph(SMALL % "int4_group")
    model, _, _ = quantized(graph)
    composer.save_compressed(model, graph, tmp_path / "model.safetensors")

    with pytest.raises(composer.SpecError, match="compressed with other passes"):
        composer.build(SMALL % "int2_group", weights=tmp_path)
    with pytest.raises(composer.SpecError, match="holds a compressed model"):
        composer.build((SMALL % "int4_group").split("compress:")[0], weights=tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tensors: tensors.pop("logits.head.weight.scale"), "have no 'logits.head.weight.sc"),
        (
            lambda tensors: tensors.update({"logits.head.weight.numbers": torch.zeros(3)}),
            "'logits.head.weight.numbers' is no part",
        ),
    ],
)
def test_damaged_files_are_refused(change, why, tmp_path):
    graph = composer.graph(SMALL % "int4_group")
    path = tmp_path / "model.safetensors"
    composer.save_compressed(quantized(graph)[0], graph, path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=header)

    with pytest.raises(composer.SpecError, match=why):
        composer.build(graph, weights=path)


def test_a_model_of_another_spec_is_refused():
    graph = composer.graph(SMALL % "int8_weight")

    with pytest.raises(composer.SpecError, match="the model has no linear map 'decoder"):
        composer.compress(nn.Linear(3, 3), graph)


# The command, and others on quantized models


def test_the_command_writes_files_and_tells_what_they_cost(tmp_path, capfd):
    from composer.cli import main

    spec = tmp_path / "spec.yaml"
    spec.write_text(SMALL % "int8_static")
    weights, data, out = (
        str(tmp_path / name) for name in ("w.safetensors", "d.safetensors", "out")
    )
    save_file(composer.build(spec, seed=0).state_dict(), weights)
    save_file({"tokens": ids(shape=(11, 6))}, data)

    arguments = ["compress", str(spec), "--weights", weights, "--data", data, "-o", out]
    assert main(arguments) == 0

    said = capfd.readouterr()
    assert "int8" in said.out
    assert "a tensor of token_embedding: decoder.embed.tokens.weight" in said.out
    assert "Failed to load" not in said.err
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["bytes"][1] < found["bytes"][0]
    assert 0 < found["relative_errors"]["logits"] < 0.1
    assert found["inputs"] == "8 of the data"
    assert isinstance(composer.build(spec, weights=out), nn.Module)
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["passes"] == found["passes"]


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"token": torch.zeros(2, 6, dtype=torch.int64)}, "'tokens' has none"),
        ({"tokens": torch.zeros(2, 6, 3)}, "but the model reads"),
    ],
)
def test_data_of_other_inputs_are_refused(tensors, why, tmp_path):
    from composer.compression.data import Inputs

    save_file(tensors, tmp_path / "d.safetensors")
    with pytest.raises(composer.SpecError, match=why):
        Inputs(composer.graph(SMALL % "int8_weight"), tmp_path / "d.safetensors")


def test_a_quantized_model_generates_as_it_computes():
    graph = composer.graph(SMALL % "int8_weight")
    model, _, _ = quantized(graph)
    prompt = ids(shape=(1, 4))

    made = composer.generate(model, graph, prompt, max_new_tokens=3).tokens

    with torch.no_grad():
        for step in range(4, 7):
            assert int(made[0, step]) == int(model(tokens=made[:, :step]).logits[0, -1].argmax())


def test_what_is_quantized_is_drawn_and_described(golden, capfd, monkeypatch):
    from composer.cli import main
    from composer.targets import diagram

    monkeypatch.setenv("COLUMNS", "100")

    golden(
        SPEC.parents[1] / "golden_diagrams" / "compressed.dot", diagram.draw(composer.graph(SPEC))
    )
    assert (
        main(["describe", str(SPEC), "--set-length", "source=8", "--set-length", "target=8"]) == 0
    )
    golden(SPEC.parents[1] / "golden" / "compressed.describe.txt", capfd.readouterr().out)


def test_expanding_gives_the_same_passes():
    from composer.targets.expand.document import expand

    made = composer.load(SPEC)
    graph = composer.graph(made)

    assert composer.graph(expand(made, graph)).compressions == graph.compressions
