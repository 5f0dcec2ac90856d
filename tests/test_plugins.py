"""Components of one's own: one file with both halves, known to everything that knows kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch

import composer
from composer.components.component import KINDS
from composer.language.schema import schema
from composer.plugins import PluginError, load_plugin, module_name
from composer.targets.diagram import draw
from composer.targets.expand import expand
from composer.targets.summary import summarize

PLUGIN = '''
"""Attention whose cost grows with the length, not with its square (Katharopoulos et al., 2020)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from composer import Component, Label
from composer.components.options import Positive


class KernelAttention(Component):
    """Attention by a positive feature map (Katharopoulos et al., 2020, arXiv:2006.16236)."""

    kind: Literal["kernel_attention"] = "kernel_attention"
    role: ClassVar[str] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    module: ClassVar[str] = "KernelAttentionModule"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 2, "bias": True},
    )

    num_heads: Positive = Field(description="Number of heads.")
    bias: bool = Field(default=False, description="Whether the projections have a bias.")

    def tensors(self, axes):
        names = ("qkv_q", "k", "v", "o")
        weights = {f"{name}.weight": (axes.d_model, axes.d_model) for name in names}
        return weights | ({f"{name}.bias": (axes.d_model,) for name in names} if self.bias else {})

    def arguments(self, axes):
        return {"d_model": axes.d_model, "num_heads": self.num_heads, "bias": self.bias}

    def flops(self, axes):
        rows = axes.batch * axes.time
        products = 4 * (axes.d_model // self.num_heads) + 2
        return 8 * rows * axes.d_model**2 + products * rows * axes.d_model

    def label(self, axes):
        return Label("Kernel Attention", f"{self.num_heads} heads")


def feature_map(x: Tensor) -> Tensor:
    """A positive feature of each number."""
    return torch.nn.functional.elu(x) + 1


class KernelAttentionModule(nn.Module):
    """Keys and values are summed once for all queries."""

    def __init__(self, d_model: int, num_heads: int, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv_q = nn.Linear(d_model, d_model, bias=bias)
        self.k = nn.Linear(d_model, d_model, bias=bias)
        self.v = nn.Linear(d_model, d_model, bias=bias)
        self.o = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, d_model)."""
        q, k, v = (self._heads(proj(x)) for proj in (self.qkv_q, self.k, self.v))
        q, k = feature_map(q), feature_map(k)
        context = q @ (k.transpose(-2, -1) @ v)
        total = q @ k.sum(dim=-2, keepdim=True).transpose(-2, -1)
        return self.o((context / total).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
'''
OTHER = """

class Other(Component):
    kind: Literal["Other"] = "Other"
"""
SPEC = """
composer: 1
name: kernel-model
inputs:
  steps: {kind: features, width: 32}
encoders:
  encoder:
    from: steps
    d_model: 32
    num_layers: 2
    attention: {kind: kernel_attention, num_heads: 4}
outputs:
  states: {from: encoder}
"""


@pytest.fixture(autouse=True)
def registry():
    """Leaves the kinds as they were."""
    before = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(before)


@pytest.fixture
def plugin(tmp_path) -> Path:
    path = tmp_path / "kernel.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return path


def test_its_kind_is_known_to_checks_shapes_counts_and_drawings(plugin):
    load_plugin(plugin)
    graph = composer.graph(SPEC)
    rows = {row.path: row for row in summarize(graph).rows}

    assert rows["encoder.layers.0-1.attention"].parameters == 2 * 4 * 32 * 32
    assert rows["encoder.layers.0-1.attention"].label == "Kernel Attention: 4 heads"
    assert "Kernel Attention" in draw(graph)


def test_a_mistake_in_its_options_is_shown_as_any_other(plugin):
    load_plugin(plugin)
    with pytest.raises(composer.SpecError, match="did you mean 'num_heads'"):
        composer.graph(SPEC.replace("num_heads", "heads"))


def test_the_built_model_runs_and_has_the_declared_tensors(plugin):
    load_plugin(plugin)
    graph = composer.graph(SPEC)
    model = composer.build(graph, seed=0)
    found = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    states = model(steps=torch.randn(2, 7, 32)).states

    assert found == graph.tensors
    assert states.shape == (2, 7, 32)
    states.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_its_flops_are_those_that_torch_counts(plugin):
    from torch.utils.flop_counter import FlopCounterMode

    from composer.components.placed import place
    from composer.shapes import evaluate

    module = load_plugin(plugin)
    for example in module.KernelAttention.examples:
        placed = place(module.KernelAttention(**example), {"x": (2, 6, 32)})
        half = module.KernelAttentionModule(**placed.component.arguments(placed.axes))
        with FlopCounterMode(display=False) as counter:
            half(torch.randn(2, 6, 32))
        assert counter.get_total_flops() == evaluate(placed.flops(), {})


def test_the_standalone_file_runs_without_composer_and_the_plugin(plugin, tmp_path):
    load_plugin(plugin)
    text = composer.source(SPEC)
    expected = composer.build(SPEC, seed=0)(steps=torch.ones(1, 3, 32)).states
    (tmp_path / "model.py").write_text(text, encoding="utf-8")
    code = (
        "import sys, json; sys.modules['composer'] = None; sys.path.insert(0, sys.argv[1])\n"
        "import torch, model; torch.manual_seed(0); made = model.KernelModel()\n"
        "print(json.dumps(made(steps=torch.ones(1, 3, 32)).states.tolist()))"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    assert "def feature_map" in text
    assert torch.equal(torch.tensor(json.loads(run.stdout)), expected)


def test_it_expands_to_a_fixed_point_and_stands_in_the_schema(plugin):
    load_plugin(plugin)
    made = composer.load(SPEC)
    text = expand(made, composer.graph(made))
    again = composer.load(text)
    validator = jsonschema.Draft7Validator(schema())

    assert text == expand(again, composer.graph(again))
    assert "kind: kernel_attention\n" in text
    module = {"kind": "kernel_attention", "from": "x", "num_heads": 4}
    data = {"extends": "a.yaml", "modules": {"m": module}}
    assert list(validator.iter_errors(data)) == []
    assert list(validator.iter_errors({**data, "modules": {"m": {**module, "head": 4}}})) != []


def test_a_file_is_run_once_and_again_only_where_it_changed(plugin):
    first = load_plugin(plugin)
    assert load_plugin(str(plugin)) is first

    plugin.write_text(PLUGIN + "\nCHANGED = True\n", encoding="utf-8")
    again = load_plugin(plugin)

    assert again is not first
    assert again.CHANGED
    assert again.__name__ == first.__name__ == module_name(plugin)
    assert sys.modules[first.__name__] is again
    assert KINDS["kernel_attention"] is again.KernelAttention


def test_two_files_of_one_name_are_two_modules(plugin, tmp_path):
    other = tmp_path / "other" / "kernel.py"
    other.parent.mkdir()
    other.write_text("ANSWER = 42\n", encoding="utf-8")

    assert load_plugin(other).ANSWER == 42
    assert not hasattr(load_plugin(plugin), "ANSWER")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef f(:\n", "kernel.py:2: invalid syntax"),
        ("x = 1\nraise ValueError('why')\n", "kernel.py:2: ValueError: why"),
        ("import sys\nsys.exit(3)\n", "kernel.py:2: SystemExit: 3"),
        ("import no_such_module\n", "kernel.py:1: ModuleNotFoundError: No module named"),
        (PLUGIN + OTHER, "not snake_case"),
    ],
    ids=["syntax", "error", "exit", "import", "declaration"],
)  # fmt: skip
def test_a_plugin_that_fails_says_where_and_leaves_nothing(tmp_path, text, said):
    path = tmp_path / "kernel.py"
    path.write_text(text, encoding="utf-8")
    before = dict(KINDS)
    with pytest.raises(PluginError) as caught:
        load_plugin(path)

    assert said in str(caught.value)
    assert before == KINDS
    assert module_name(path) not in sys.modules


def test_a_plugin_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(PluginError, match="no such file"):
        load_plugin(tmp_path / "none.py")
