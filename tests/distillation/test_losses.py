"""Losses against what their papers say, written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from composer.distillation.losses import cosine, hard_targets, kl, mse, soft_targets

REAL = torch.tensor([[True, True, False], [True, False, False]])


def rows_of(x):
    """The real rows of (batch, steps, ...) as lists."""
    return [x[b, t].tolist() for b, t in [(0, 0), (0, 1), (1, 0)]]


def softmax(scores, temperature):
    powers = [math.exp(s / temperature) for s in scores]
    return [p / sum(powers) for p in powers]


@pytest.fixture
def pair():
    made = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 5, generator=made), torch.randn(2, 3, 5, generator=made)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_targets_are_the_divergence_times_the_temperature_squared(pair, temperature):
    student, teacher = pair
    costs = []
    for ours, theirs in zip(rows_of(student), rows_of(teacher), strict=True):
        q, p = softmax(ours, temperature), softmax(theirs, temperature)
        costs.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    expected = temperature**2 * sum(costs) / len(costs)

    assert float(soft_targets(student, teacher, temperature, REAL)) == pytest.approx(
        expected, rel=1e-5
    )


def test_gradients_of_soft_targets_keep_their_size_at_high_temperatures():
    made = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(8, 5, generator=made).double() for _ in range(2))
    student.requires_grad_()
    soft_targets(student, teacher, 1e4).backward()
    centred = (student - student.mean(-1, keepdim=True)) - (
        teacher - teacher.mean(-1, keepdim=True)
    )

    # Hinton et al., equation 4: at a high temperature, that of the squared difference of scores.
    torch.testing.assert_close(student.grad, centred.detach() / 5 / 8, rtol=1e-3, atol=1e-6)


def test_hard_targets_are_cross_entropy_where_there_is_a_target(pair):
    scores, _ = pair
    targets = torch.tensor([[1, 4, -100], [0, -100, -100]])
    costs = [
        -math.log(softmax(row, 1)[t]) for row, t in zip(rows_of(scores), [1, 4, 0], strict=True)
    ]

    assert float(hard_targets(scores, targets, -100)) == pytest.approx(sum(costs) / 3, rel=1e-5)
    assert float(hard_targets(scores, torch.full((2, 3), -100), -100)) == 0


def test_states_are_compared_at_real_steps(pair):
    ours, theirs = map(rows_of, pair)
    squares = [
        (a - b) ** 2 for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)
    ]
    angles = []
    for x, y in zip(ours, theirs, strict=True):
        product = sum(a * b for a, b in zip(x, y, strict=True))
        angles.append(1 - product / math.hypot(*x) / math.hypot(*y))

    assert float(mse(*pair, REAL)) == pytest.approx(sum(squares) / 15, rel=1e-5)
    assert float(cosine(*pair, REAL)) == pytest.approx(sum(angles) / 3, rel=1e-5)


def test_attentions_are_compared_where_keys_are_hidden_too(pair):
    hidden = torch.tensor([True, True, True, False, False])
    student, teacher = (x.masked_fill(~hidden, -math.inf).softmax(-1) for x in pair)
    student.requires_grad_()
    costs = [
        sum(p * math.log(p / q) for p, q in zip(theirs[:3], ours[:3], strict=True))
        for ours, theirs in zip(rows_of(student), rows_of(teacher), strict=True)
    ]
    loss = kl(student, teacher, REAL)
    loss.backward()

    assert float(loss.detach()) == pytest.approx(sum(costs) / 3, rel=1e-5)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("compare", [mse, cosine, lambda *pair: soft_targets(*pair, 3.0)])
def test_a_copy_costs_nothing_and_numbers_at_padded_steps_do_not_matter(pair, compare):
    student, teacher = pair
    spoiled = teacher.clone()
    spoiled[~REAL] = math.nan

    assert float(compare(student, student)) == pytest.approx(0, abs=1e-6)
    if compare in {mse, cosine}:
        assert float(compare(student, spoiled, REAL)) == float(compare(student, teacher, REAL))


def test_half_precision_is_computed_in_single(pair):
    halves = [x.bfloat16() for x in pair]
    singles = [x.float() for x in halves]

    assert float(soft_targets(*halves, 2.0)) == float(soft_targets(*singles, 2.0))
