"""Sequences that convolutions shorten: lengths and masks follow, padded steps reach no real one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import composer
from composer.nn.conv_stem import strided_mask
from composer.shapes import evaluate, symbol
from tests.conformance.checks import randomize

SPEC = Path(__file__).parents[1] / "specs/conv_stem.yaml"
TIME = 16


@pytest.fixture(scope="module")
def model():
    made = composer.build(SPEC, seed=0).eval()
    randomize(made)
    return made


@pytest.mark.parametrize("real", range(6, TIME + 1))
def test_a_padded_waveform_gives_what_it_gives_alone(model, real):
    generator = torch.Generator().manual_seed(real)
    waveform = torch.randn(2, TIME, 3, generator=generator)
    tokens = torch.randint(0, 17, (2, 5), generator=generator)
    mask = torch.ones(2, TIME, dtype=torch.bool)
    mask[1, real:] = False

    alone = model(waveform[1:, :real], tokens[1:])
    padded = model(waveform, tokens, waveform_mask=mask)

    steps = evaluate(composer.graph(SPEC).parts["stem"].value.shape[1], {"waveform": real})
    assert steps == real - 1
    count = alone.frames.shape[1]
    torch.testing.assert_close(padded.frames[1:, :count], alone.frames, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(padded.logits[1:], alone.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [((3, 2, 1),), ((10, 5, 0), (3, 2, 0), (2, 2, 0)), ((4, 1, 2),)])
def test_masks_have_the_lengths_of_what_convolutions_make(steps):
    lengths = torch.tensor([60, 47, 33])
    x = torch.zeros(3, 1, 60)
    for kernel_size, stride, padding in steps:
        x = torch.nn.functional.conv1d(
            x, torch.ones(1, 1, kernel_size), stride=stride, padding=padding
        )
    mask = strided_mask(torch.arange(60) < lengths[:, None], *steps)

    assert mask.shape == (3, x.shape[2])
    for row, length in zip(mask, lengths.tolist(), strict=True):
        alone = torch.zeros(1, 1, length)
        for kernel_size, stride, padding in steps:
            alone = torch.nn.functional.conv1d(
                alone, torch.ones(1, 1, kernel_size), stride=stride, padding=padding
            )
        assert row.sum() == alone.shape[2]


def test_divisions_that_follow_each_other_are_one():
    waveform = symbol("waveform")
    size = waveform
    for kernel_size, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        size = (size - kernel_size) // stride + 1

    assert str(size) == "(waveform - 400)//320 + 1"
    for length in range(400, 1400, 7):
        steps = length
        for kernel_size, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
            steps = (steps - kernel_size) // stride + 1
        assert evaluate(size, {"waveform": length}) == steps
