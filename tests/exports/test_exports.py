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
from tests.exports.cases import REFUSED, ROOT, cases, out, specs

PUBLISHED = [case for case in cases() if case.overrides and case.path not in REFUSED]
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


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _libraries(to):
    for name in {
        "onnx": ("onnx", "onnxscript", "onnxruntime"),
        "huggingface": ("transformers",),
    }.get(to, ()):
        pytest.importorskip(name)


def test_every_spec_is_a_case():
    assert sorted({case.path for case in cases()}) == specs()


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_published_models_are_programs_of_torch(case, tmp_path):
    """The others, patterns and small sizes, are traced in tests/conformance."""
    made = composer.export(case.load(), out(case, tmp_path, "torch-export"), to="torch-export")

    assert made.difference <= writing.TOLERANCE


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


@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_a_recurrence_without_a_fixed_length_is_refused_by_name(to, tmp_path):
    _libraries(to)
    (case,) = [each for each in cases() if each.path in REFUSED]
    with pytest.raises(ExportError, match=r"'decoder\.layers\.0\.mamba' takes more turns"):
        composer.export(case.load(), out(case, tmp_path, to), to=to)

    assert list(tmp_path.iterdir()) == []


def test_what_differs_is_refused_and_an_earlier_export_stays(tmp_path, monkeypatch):
    path = tmp_path / "m.pt2"
    path.write_bytes(b"earlier")
    read = writing.program.run
    monkeypatch.setattr(
        writing.program, "run", lambda *given: {n: t * 1.001 for n, t in read(*given).items()}
    )
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
