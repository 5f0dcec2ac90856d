"""What lies in examples/ works, and is true."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import composer
from composer.components import KINDS, place
from composer.plugins import load_plugin, module_name
from examples import demo

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "linear_attention.py"
LINEAR = ROOT / "examples" / "linear_attention.yaml"


@pytest.fixture
def plugin():
    kinds = dict(KINDS)
    yield load_plugin(PLUGIN)
    sys.modules.pop(module_name(PLUGIN), None)
    KINDS.clear()
    KINDS.update(kinds)


@pytest.fixture
def small():
    return composer.build(demo.SPEC, size="small", seed=0)


def test_the_demo_learns(small, monkeypatch):
    monkeypatch.setattr(demo, "time", SimpleNamespace(monotonic=count().__next__))  # 1 s a step
    monkeypatch.setattr(demo, "WARMUP", 5)
    monkeypatch.setattr(demo, "BATCH", 4)
    data = torch.tensor(list(b"to be or not to be, that is the question. " * 40))
    before = demo.evaluate(small, data)
    demo.fit(small, data, seconds=30)

    assert demo.evaluate(small, data) < before - 1


def test_the_demo_predicts_each_byte_from_earlier_ones_only(small):
    small.eval()
    data = torch.randint(256, (2 * demo.WINDOW,), generator=torch.Generator().manual_seed(0))
    later = data.clone()
    later[-1] = (data[-1] + 1) % 256  # a target, which nothing reads
    start = torch.tensor([0])
    losses = [demo.cross_entropy(small, some, start) for some in (data, later)]
    window = data[None, : demo.WINDOW]
    logits = small(source=window, target=data[None, demo.WINDOW - 1 : -1]).logits[0, -1]
    change = (logits[data[-1]] - logits[later[-1]]) / demo.WINDOW

    torch.testing.assert_close(losses[1] - losses[0], change, atol=1e-5, rtol=1e-4)


def test_the_demo_writes_as_much_as_it_is_asked_for(small):
    written = demo.write(small, torch.arange(demo.WINDOW), demo.WINDOW)

    assert written.shape == (demo.WINDOW,)


def test_entropy_is_that_of_the_frequencies():
    assert demo.entropy(torch.tensor([1, 1, 2, 2])) == pytest.approx(math.log(2))


@pytest.mark.parametrize("causal", [True, False])
def test_linear_attention_declares_what_it_computes(plugin, causal):
    component = plugin.LinearAttentionComponent(num_heads=2, causal=causal)
    placed = place(component, {"x": (2, 9, 8)})
    attention = plugin.LinearAttention(**component.arguments(placed.axes))
    with FlopCounterMode(display=False) as counter:
        attention(torch.randn(2, 9, 8))

    assert {name: tuple(p.shape) for name, p in attention.named_parameters()} == placed.tensors
    assert counter.get_total_flops() == placed.flops()


def test_linear_attention_sees_no_later_step_and_no_padding(plugin):
    model = composer.build(LINEAR, seed=0).eval()
    tokens = torch.randint(256, (2, 9))
    mask = torch.arange(9).expand(2, 9) < 6
    shorter = model(tokens=tokens[:, :6]).logits

    torch.testing.assert_close(model(tokens=tokens).logits[:, :6], shorter)
    torch.testing.assert_close(model(tokens=tokens, tokens_mask=mask).logits[:, :6], shorter)


def test_linear_attention_both_ways_is_the_same_for_all_orders(plugin):
    attention = plugin.LinearAttention(8, 2)
    x, order = torch.randn(2, 5, 8), torch.tensor([3, 1, 4, 0, 2])

    torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])


def test_the_standalone_file_needs_neither_composer_nor_the_plugin(plugin, tmp_path):
    file = tmp_path / "model.py"
    file.write_text(composer.source(LINEAR), encoding="utf-8")
    code = (
        "import sys, torch, model\n"
        "made = model.LinearAttentionLm()\n"
        "assert made(tokens=torch.zeros(1, 3, dtype=torch.long)).logits.shape == (1, 3, 256)\n"
        "assert 'composer' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
