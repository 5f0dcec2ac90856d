"""What is exported computes what the model computes, or is not there."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import composer
from composer.cli import main
from composer.integrations.exporting import ExportError, writing
from composer.integrations.exporting.inputs import random_inputs
from composer.integrations.exporting.lengths import lengths_of, traced_lengths, tried_lengths
from tests.exports.cases import MECHANISMS, PROGRAMS, ROOT, case_of, cases, out, specs

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {
    "composer": 1, "name": "tiny",
    "inputs": {"source": {"kind": "tokens", "vocab_size": 31, "padding": "mask"},
               "target": {"kind": "tokens", "vocab_size": 29}},
    "encoders": {"encoder": {"from": "source", "d_model": 16, "num_layers": 1,
                             "attention": {"num_heads": 2, "position": "rope"}}},
    "decoders": {"decoder": {"from": "target", "d_model": 16, "num_layers": 1,
                             "attention": {"num_heads": 2, "position": "rope"}}},
    "connections": [{"cross": {"from": "encoder", "to": "decoder"}}],
    "outputs": {"logits": {"from": "decoder", "head": "lm"}},
}  # fmt: skip


def _libraries(to):
    for name in {
        "onnx": ("onnx", "onnxscript", "onnxruntime"),
        "huggingface": ("transformers",),
    }.get(to, ()):
        pytest.importorskip(name)


def test_every_spec_is_a_case():
    assert sorted({case.path for case in cases()}) == specs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_published_models_are_programs_of_torch(name, tmp_path):
    """Patterns and small sizes are traced in tests/conformance, the others by `make exports`."""
    case = case_of(name)
    made = composer.export(case.load(), out(case, tmp_path, "torch-export"), to="torch-export")

    assert made.difference <= writing.TOLERANCE


@pytest.mark.parametrize("name", MECHANISMS.values(), ids=MECHANISMS)
def test_onnx_computes_each_mechanism(name, tmp_path):
    _libraries("onnx")
    case = case_of(name)
    made = composer.export(case.load(), out(case, tmp_path, "onnx"), to="onnx")

    assert made.difference <= writing.TOLERANCE


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        # Seven convolutions make two steps of 720 numbers, and one of 719.
        ("specs/wav2vec2.yaml-base", 720, None),
        ("specs/whisper.yaml", 1, 40),
        ("specs/patterns/rearrange.yaml", 8, None),
    ],
)
def test_lengths_have_the_bounds_of_the_graph(name, least, most):
    graph = composer.graph(case_of(name).load())
    (length,) = lengths_of(graph)
    tried = [each[length.name] for each in tried_lengths(graph)]

    assert (length.least, length.most) == (least, most)
    assert traced_lengths(graph)[length.name] not in tried
    assert all(least <= number <= (most or number) for number in tried)


@pytest.mark.parametrize("to", ["onnx", "torch-export", "huggingface"])
def test_batch_and_lengths_stay_open(to, tmp_path):
    _libraries(to)
    path = tmp_path / {"onnx": "m.onnx", "torch-export": "m.pt2", "huggingface": "m"}[to]
    made = composer.export(TINY, path, to=to)
    first, second = (check.lengths for check in made.checks)

    assert made.difference <= writing.TOLERANCE
    assert all(first[name] != second[name] for name in ("batch", "source", "target"))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_onnx_takes_what_the_spec_names(tmp_path):
    _libraries("onnx")
    import onnx

    composer.export(TINY, tmp_path / "m.onnx", to="onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    axes = {
        each.name: [dim.dim_param for dim in each.type.tensor_type.shape.dim]
        for each in graph.input
    }

    assert axes["source"] == axes["source_mask"] == ["batch", "source"]
    assert axes["target"] == ["batch", "target"]
    assert [each.name for each in graph.output] == ["logits"]


def test_large_parameters_of_onnx_go_beside_the_file(tmp_path, monkeypatch):
    _libraries("onnx")
    monkeypatch.setattr(writing.onnx_file, "LARGEST", 1000)
    made = composer.export(TINY, tmp_path / "m.onnx", to="onnx")
    parameters = sum(4 * each.numel() for each in composer.build(TINY).parameters())

    assert sorted(made.files) == ["m.onnx", "m.onnx.data"]
    assert made.files["m.onnx.data"] > 0.9 * parameters  # the smallest stay in the file
    assert {each.name: each.stat().st_size for each in tmp_path.iterdir()} == made.files
    run = writing.onnx_file.loaded(tmp_path / "m.onnx")  # it is found where it was moved to
    inputs = random_inputs(composer.graph(TINY), {"batch": 2, "source": 5, "target": 6})
    assert run(inputs)["logits"].shape == (2, 6, 29)


def test_weights_are_those_that_are_given(tmp_path):
    from safetensors.torch import save_file

    model = composer.build(TINY, seed=3)
    save_file(dict(model.state_dict()), tmp_path / "w.safetensors")
    composer.export(TINY, tmp_path / "m.pt2", to="torch-export", weights=tmp_path / "w.safetensors")
    loaded = torch.export.load(tmp_path / "m.pt2").state_dict

    assert {n: t.tolist() for n, t in loaded.items()} == {
        n: t.tolist() for n, t in model.state_dict().items()
    }


def test_no_file_holds_a_pickle(tmp_path):
    """Loading a program looks up no class by name."""
    composer.export(TINY, tmp_path / "m.pt2", to="torch-export")
    with zipfile.ZipFile(tmp_path / "m.pt2") as file:
        pickled = [each.filename for each in file.infolist()
                   if each.file_size and each.filename.endswith((".pt", ".pkl"))]  # fmt: skip
    found = []
    sys.addaudithook(lambda event, _: found.append(event) if event == "pickle.find_class" else None)
    torch.export.load(tmp_path / "m.pt2")

    assert pickled == []
    assert found == []


def test_a_model_is_left_as_it_was(tmp_path):
    """Programs take another form of what takes more turns for longer inputs; the model does not."""
    case = case_of(MECHANISMS["state spaces"])
    model = composer.build(case.load(), seed=0)
    source = vars(sys.modules[type(model).__module__])
    before = source["selective_scan"]
    made = composer.export(case.load(), tmp_path / "m.pt2", to="torch-export")

    assert made.difference <= writing.TOLERANCE
    assert source["selective_scan"] is before


def test_what_differs_is_refused_and_an_earlier_export_stays(tmp_path, monkeypatch):
    path = tmp_path / "m.pt2"
    path.write_bytes(b"earlier")
    read = writing.program.loaded

    def altered(given):
        run = read(given)
        return lambda inputs: {name: t * 1.001 for name, t in run(inputs).items()}

    monkeypatch.setattr(writing.program, "loaded", altered)
    with pytest.raises(ExportError, match="is not the model: with batch 1"):
        composer.export(TINY, path, to="torch-export")

    assert [each.name for each in tmp_path.iterdir()] == ["m.pt2"]
    assert path.read_bytes() == b"earlier"


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "find_spec", lambda name: None if name == "onnxscript" else 1)
    with pytest.raises(ExportError, match=r"pip install 'graph-composer\[onnx\]'"):
        composer.export(TINY, tmp_path / "m.onnx", to="onnx")


def test_the_command_prints_each_run(tmp_path, capsys):
    spec, path = ROOT / "specs/patterns/tiny_lm.yaml", tmp_path / "m.pt2"
    code = main(["export", str(spec), "--to", "torch-export", "-o", str(path), "--json"])
    runs = json.loads(capsys.readouterr().out)

    assert code == 0
    assert Path(path).exists()
    assert [run["batch"] for run in runs] == [1, 3]
    assert all(run["difference"] <= writing.TOLERANCE for run in runs)


def test_a_name_that_torch_does_not_load_is_refused(tmp_path, capsys):
    spec = ROOT / "specs/patterns/tiny_lm.yaml"
    code = main(["export", str(spec), "--to", "torch-export", "-o", str(tmp_path / "m.bin")])

    assert code == 1
    assert "does not end in .pt2" in capsys.readouterr().err
