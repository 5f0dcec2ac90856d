"""Medians, ratios and exponents of timings."""

from __future__ import annotations

import pytest

from bench.timing import Rounds, cpu_seconds, fitted_exponent, interleaved, quartiles, ratios

ONCE = Rounds(seconds=0, fewest=1, most=1)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_fitted_exponent_is_the_power(power):
    sizes = [10, 30, 100, 300]

    assert power == pytest.approx(fitted_exponent(sizes, [0.2 * size**power for size in sizes]))


def test_quartiles_of_one_value_are_that_value():
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)


def test_quartiles_lie_between_the_values():
    assert quartiles([5.0, 1.0, 4.0, 2.0, 3.0]) == (2.0, 3.0, 4.0)


def test_ratios_are_taken_within_a_round():
    """A slow round touches both, so the ratio stays."""
    assert ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]) == (2.0, 2.0, 2.0)


def test_interleaved_runs_all_in_each_round_in_another_order():
    ran = []
    actions = {name: lambda name=name: ran.append(name) for name in "abc"}

    seconds = interleaved(actions, Rounds(seconds=0, fewest=2, most=5))

    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2, "c": 2}
    assert ["".join(ran[i : i + 3]) for i in (0, 3, 6)] == ["abc", "abc", "bca"]


def test_rounds_end_at_the_most():
    assert not Rounds(seconds=1e9, fewest=1, most=3).wants_more(3, started=0.0)


def test_cpu_seconds_stops_when_it_has_enough():
    runs = []

    cpu_seconds(lambda: runs.append(sum(range(10_000))), repeats=50, enough=0.0)

    assert len(runs) == 1


def test_cpu_seconds_repeats():
    runs = []

    assert cpu_seconds(lambda: runs.append(sum(range(10_000))), repeats=3, enough=60.0) > 0
    assert len(runs) == 3
