"""Every spec: the built model is what its graph says, however it is made, run and kept."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, load_model, save_model

import composer
from composer.graph.graph import Stack
from composer.shapes import Dim, lengths_in
from composer.targets.module import load_source
from tests.conformance import isolated
from tests.conformance.models import (
    CASES,
    file_name,
    flat,
    graph_of,
    inputs_of,
    lengths_of,
    longest,
    loss_of,
    model_of,
    sizes,
    split_by,
)

every_spec = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


# What a model is


@every_spec
def test_parameters_are_those_of_the_graph(case):
    graph, model = graph_of(case), model_of(case)
    first = graph.aliases
    found = {first.get(name, name): tuple(p.shape) for name, p in model.named_parameters()}

    assert found == graph.tensors
    assert sum(p.numel() for p in model.parameters()) == graph.parameters


@every_spec
def test_outputs_are_those_of_the_graph(case):
    graph = graph_of(case)
    for padded in (True, False):
        outputs = model_of(case).eval()(**inputs_of(graph, padded=padded))

        assert list(outputs._fields) == [output.name for output in graph.outputs]
        for declared, made in zip(graph.outputs, outputs, strict=True):
            several = isinstance(made, list)
            assert several == bool(declared.layers)
            for tensor in made if several else [made]:
                assert tuple(tensor.shape) == sizes(declared.value.shape, lengths_of(graph))
                assert tensor.isfinite().all()


@every_spec
def test_gradients_reach_every_parameter(case):
    graph, model = graph_of(case), model_of(case)
    first = graph.aliases
    loss_of(flat(model(**inputs_of(graph)))).backward()

    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert without == {n for n, p in model.named_parameters() if not p.requires_grad}
    assert {first.get(n, n) for n in without} == set(graph.frozen)
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    assert [n for n, p in trained if not p.grad.isfinite().all()] == []


@every_spec
def test_a_seed_gives_one_model(case):
    first = model_of(case)
    again, other = _fresh(first, seed=0), _fresh(first)

    assert all(torch.equal(a, b) for a, b in _pairs(first, again))
    assert not all(torch.equal(a, b) for a, b in _pairs(first, other))


def _fresh(model, seed=3):
    """Another model of the same class."""
    torch.manual_seed(seed)
    return type(model)()


def _pairs(model, other):
    return zip(model.state_dict().values(), other.state_dict().values(), strict=True)


# Its source


@every_spec
def test_standalone_file_is_the_model(case, ran):
    """Bit for bit: outputs, gradients and names of state, in an interpreter without composer."""
    model = model_of(case)
    expected = isolated.everything(model, inputs_of(graph_of(case)))
    actual = load_file(ran / f"{file_name(case)}.out.safetensors")

    assert json.loads((ran / f"{file_name(case)}.json").read_text()) == list(model.state_dict())
    _assert_same(expected, actual)


@every_spec
def test_linked_source_is_the_model(case):
    graph = graph_of(case)
    text = composer.source(graph, mode="linked")
    linked = isolated.seeded(load_source(text, f"{graph.name}-linked"))
    model = model_of(case)
    inputs = inputs_of(graph)

    assert "from composer.nn" in text
    assert list(linked.state_dict()) == list(model.state_dict())
    _assert_same(isolated.everything(model, inputs), isolated.everything(linked, inputs))


def _assert_same(expected, actual):
    assert list(expected) == sorted(actual, key=list(expected).index)
    different = [name for name in expected if not torch.equal(expected[name], actual[name])]
    assert different == []


def test_source_that_needs_composer_is_found(tmp_path):
    """The interpreter above has no composer: source that is linked to it does not run there."""
    text = composer.source(graph_of(CASES[0]), mode="linked")
    (tmp_path / "m_linked.py").write_text(text)
    command = [sys.executable, "-I", isolated.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "ImportError: composer" in done.stderr


@pytest.mark.parametrize(
    "command",
    [["format", "--check"], ["check", "--select", "E,F,I"]],
    ids=["format", "check"],
)
def test_source_is_formatted_and_clean(emitted, command):
    ruff = Path(sys.executable).parent / "ruff"
    options = ["--line-length", "100", "--isolated", "--no-cache"]
    done = subprocess.run(
        [ruff, *command, *options, emitted], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


# Compilers


SAME_FORWARD = {"albert": "narrow-none", "shared": "everything"}
"""Specs whose sizes differ in sharing alone: compilers see the same in all, so one is enough."""

compiled_specs = pytest.mark.parametrize(
    "case",
    [case for case in CASES if SAME_FORWARD.get(case.path.stem, case.size) == case.size],
    ids=lambda case: case.name,
)


@compiled_specs
def test_model_is_one_graph_for_torch_compile(case):
    model = model_of(case).eval()
    inputs = inputs_of(graph_of(case))
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")

    _assert_close(model(**inputs), compiled(**inputs))


@compiled_specs
def test_model_exports_for_all_lengths(case):
    graph, model = graph_of(case), model_of(case).eval()
    inputs = inputs_of(graph)
    program = torch.export.export(
        model, (), inputs, dynamic_shapes=_dynamic(graph, inputs), strict=False
    )

    _assert_close(model(**inputs), program.module()(**inputs))
    longer = {name: size + split_by(graph).get(name, 3) for name, size in lengths_of(graph).items()}
    given = inputs_of(graph, lengths=longer)
    _assert_close(model(**given), program.module()(**given))


def _dynamic(graph, inputs):
    """Every length that the inputs leave open, as a dimension that varies."""
    dims = {}
    for name in lengths_of(graph):
        step = split_by(graph).get(name, 1)
        dim = torch.export.Dim(f"{name}_{step}", min=2, max=longest(graph) // step)
        dims[name] = dim if step == 1 else step * dim
    shapes = {}
    for item in graph.inputs:
        axes = {
            axis: dims[next(lengths_in(size))]
            for axis, size in enumerate(item.value.shape)
            if isinstance(size, Dim)
        }
        shapes[item.name] = axes
        if f"{item.name}_mask" in inputs:
            shapes[f"{item.name}_mask"] = {axis: dim for axis, dim in axes.items() if axis < 2}
    return shapes


def _assert_close(expected, actual):
    for one, other in zip(flat(expected), flat(actual), strict=True):
        torch.testing.assert_close(other, one)


# Making, copying, saving and loading


@every_spec
def test_sharing_and_state_survive(case, tmp_path):
    graph, model = graph_of(case), model_of(case)
    others = {
        "deepcopy": copy.deepcopy(model),
        "filled": _loaded(_meta(model).to_empty(device="cpu"), model, assign=False),
        "assign": _loaded(_meta(model), model, assign=True),
        "load": _loaded(_fresh(model), model, assign=False),
        "double": copy.deepcopy(model).double().float(),
        "safetensors": _saved(model, tmp_path / "model.safetensors"),
    }
    expected = flat(model.eval()(**inputs_of(graph)))
    empty = {"meta": _meta(model), "to_empty": _meta(model).to_empty(device="cpu")}
    for name, other in [("build", model), *empty.items(), *others.items()]:
        assert _sharing_is_kept(graph, other) == [], name
    for name, other in others.items():
        actual = flat(other.eval()(**inputs_of(graph)))
        assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True)), name


def _meta(model):
    with torch.device("meta"):
        made = type(model)()
    assert {p.device.type for p in made.parameters()} == {"meta"}
    return made


def _loaded(model, source, *, assign):
    result = model.load_state_dict(copy.deepcopy(source).state_dict(), assign=assign)
    assert result.missing_keys == []
    assert result.unexpected_keys == []
    return model


def _saved(model, path):
    save_model(model, str(path))
    other = _fresh(model)
    missing, unexpected = load_model(other, str(path))
    assert not missing
    assert not unexpected
    return other


def _sharing_is_kept(graph, model):
    """Names that should be one parameter and are not, or are one and should not be."""
    found = dict(model.named_parameters(remove_duplicate=False))
    wrong = [name for name, first in graph.aliases.items() if found[name] is not found[first]]
    for stack in graph.parts.values():
        if isinstance(stack, Stack):
            layers = model.get_submodule(stack.name).layers
            wrong += [
                f"{stack.name}.layers.{i}"
                for i, first in enumerate(stack.layer_sets)
                if layers[i] is not layers[first]
            ]
    if len({id(p) for p in found.values()}) != len(graph.tensors):
        wrong.append("number of parameters")
    return wrong
