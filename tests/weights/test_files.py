"""Weights on disk: whole files are read, all others refused with a reason."""

import json
import pickle
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import composer
from composer.weights import (
    WeightError,
    WeightFiles,
    export,
    fingerprint,
    load,
    load_into,
    load_map,
    plan_back,
)
from tests.weights.samples import SAME, SPEC, TIED, random_tensors

MAPPED = SPEC + "weights:\n  other:\n" + "".join(f'    - "{rule}"\n' for rule in SAME)
TIED_MAPPED = TIED + "weights:\n  other:\n" + "".join(f'    - "{rule}"\n' for rule in SAME)


@pytest.fixture
def foreign(graph):
    tensors = random_tensors(graph)
    return export(plan_back(graph, load_map(SAME)), tensors.__getitem__)


def write_shards(folder, tensors, count=3):
    folder.mkdir(exist_ok=True)
    weight_map = {}
    for number in range(count):
        file = f"model-{number + 1:05}-of-{count:05}.safetensors"
        part = dict(list(tensors.items())[number::count])
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return index


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(one[name].dtype == other[name].dtype for name in one)


@pytest.mark.parametrize(
    "shape", ["file", "folder", "index", "index by content", "shards without index"]
)
def test_every_way_weights_lie_on_disk(tmp_path, graph, foreign, shape):
    if shape == "file":
        path = tmp_path / "weights.bin"  # the content counts, not the name
        save_file(foreign, path)
    else:
        index = write_shards(tmp_path / "model", foreign)
        path = index if shape == "index" else index.parent
        if shape == "index by content":
            path = index.rename(index.with_name("index"))
        if shape == "shards without index":
            index.unlink()

    assert_equal(load(graph, composer.load(MAPPED).weights, path), random_tensors(graph))


def test_convert_and_export_are_inverse(tmp_path, graph, foreign):
    given = {name: tensor.to(torch.bfloat16) for name, tensor in foreign.items()}
    index = write_shards(tmp_path / "model", given)

    shapes = composer.convert(MAPPED, index.parent, tmp_path / "ours.safetensors")
    composer.export_weights(MAPPED, tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors")

    assert shapes == graph.tensors
    assert list(load_file(tmp_path / "ours.safetensors")) == sorted(graph.tensors)
    assert_equal(load_file(tmp_path / "theirs.safetensors"), given)
    with safe_open(tmp_path / "ours.safetensors", framework="np") as file:
        assert file.metadata() == {
            "format": "pt",
            "composer": "tiny",
            "tensors": fingerprint(graph),
        }
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model",
        "ours.safetensors",
        "theirs.safetensors",
    ]


def test_tensors_are_cast_on_request(tmp_path, graph, foreign):
    save_file(foreign, tmp_path / "theirs.safetensors")

    composer.convert(MAPPED, tmp_path, tmp_path / "ours", dtype="bfloat16")

    expected = {name: tensor.to(torch.bfloat16) for name, tensor in random_tensors(graph).items()}
    assert_equal(load_file(tmp_path / "ours"), expected)
    with pytest.raises(WeightError, match=r"'fp8' is no type of weights"):
        composer.convert(MAPPED, tmp_path, tmp_path / "ours", dtype="fp8")


@pytest.mark.parametrize("names", ["theirs", "ours", "state dict"])
def test_build_with_weights(tmp_path, names):
    graph = composer.graph(TIED_MAPPED)
    tensors = random_tensors(graph)
    theirs = export(plan_back(graph, load_map(SAME)), tensors.__getitem__)
    further = {"logits.head.weight": tensors["decoder.embed.tokens.weight"].clone()}
    save_file(
        {"theirs": theirs, "ours": tensors, "state dict": {**tensors, **further}}[names],
        tmp_path / "w",
    )

    model = composer.build(TIED_MAPPED, weights=tmp_path / "w")

    assert all(torch.equal(model.get_parameter(name), tensor) for name, tensor in tensors.items())
    assert model.logits.head.weight is model.decoder.embed.tokens.weight


def test_weights_without_a_map_are_refused(tmp_path, foreign):
    save_file(foreign, tmp_path / "w")

    with pytest.raises(WeightError, match=r"the names are not those of 'tiny'"):
        composer.build(SPEC, weights=tmp_path / "w")


def test_load_into_names_all_that_is_wrong(graph):
    model = composer.build(graph)
    tensors = random_tensors(graph)
    del tensors["decoder.norm.bias"]
    tensors |= {"decoder.norm.weight": torch.ones(9), "extra": torch.ones(1)}
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}

    with pytest.raises(WeightError) as caught:
        load_into(model, tensors)
    assert {problem.message for problem in caught.value.problems} == {
        "the model has no tensor 'extra'",
        "there is nothing for 'decoder.norm.bias' [8]",
        "'decoder.norm.weight' is [9], but the model's is [8]",
    }
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_load_into_refuses_a_model_without_memory(graph):
    with torch.device("meta"):
        model = composer.build(graph)
    with pytest.raises(WeightError, match=r"meta device"):
        load_into(model, random_tensors(graph))


def header_of(entries, size=0):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def entry(start, end, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


HOSTILE = {
    "empty": b"",
    "too short": b"\x08\0\0",
    "header longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "header longer than memory": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no JSON": struct.pack("<Q", 8) + b"notjson!",
    "truncated": header_of({"a": entry(0, 16)}, 8),
    "too long": header_of({"a": entry(0, 16)}, 32),
    "overlapping": header_of({"a": entry(0, 16), "b": entry(8, 24)}, 24),
    "a hole": header_of({"a": entry(0, 16), "b": entry(32, 48)}, 48),
    "backwards": header_of({"a": entry(16, 0)}, 16),
    "another shape": header_of({"a": entry(0, 16, (5,))}, 16),
    "unknown dtype": header_of({"a": entry(0, 16, dtype="F33")}, 16),
    "sizes that overflow": header_of({"a": entry(0, 16, (2**62, 8))}, 16),
    "negative size": header_of({"a": entry(0, 16, (-4,))}, 16),
    "pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightError) as caught:
        WeightFiles(tmp_path)
    assert caught.value.problems[0].code == "W410"
    assert "model.safetensors" in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightError, match=r"a file of torch.save, which is never read"):
        WeightFiles(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightError, match=r"'pytorch_model.bin' may be a pickle"):
        WeightFiles(tmp_path)


INDEXES = {
    "parent": ('{"weight_map": {"a": "../model.safetensors"}}', "lies outside its folder"),
    "absolute": ('{"weight_map": {"a": "/etc/passwd"}}', "lies outside its folder"),
    "backslash": ('{"weight_map": {"a": "..\\\\m.safetensors"}}', "lies outside its folder"),
    "missing file": ('{"weight_map": {"a": "b.safetensors"}}', "which is not there"),
    "wrong file": ('{"weight_map": {"z": "ok.safetensors"}}', "says that 'z' is in"),
    "no map": ('{"weights": {}}', "has no 'weight_map'"),
    "numbers": ('{"weight_map": {"a": 1}}', "has no 'weight_map'"),
    "list": ("[]", "has no 'weight_map'"),
    "no JSON": ('{"weight_map":', "is no index of safetensors"),
    "deep": ("[" * 100_000, "is no index of safetensors"),
}


@pytest.mark.parametrize(("text", "message"), INDEXES.values(), ids=INDEXES)
def test_hostile_indexes_are_refused(tmp_path, text, message):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": torch.ones(1)}, folder / "ok.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(WeightError) as caught:
        WeightFiles(folder)
    assert message in str(caught.value)


def test_one_name_in_two_files(tmp_path):
    for name in ("one", "two"):
        save_file({"a": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(
        WeightError, match=r"'a' is in '.*one.safetensors' and in '.*two.safetensors'"
    ):
        WeightFiles(tmp_path)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(WeightError, match=r"there is no file or folder"):
        WeightFiles(tmp_path / "none")
    with pytest.raises(WeightError, match=r"holds no safetensors"):
        WeightFiles(tmp_path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, foreign):
    save_file(foreign, tmp_path / "theirs")
    with pytest.raises(WeightError, match=r"cannot write"):
        composer.convert(MAPPED, tmp_path / "theirs", tmp_path / "theirs" / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
