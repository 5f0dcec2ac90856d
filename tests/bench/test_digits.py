"""Campaigns on digits: their data, their loop, and the page made of what they found."""

from __future__ import annotations

import json

import torch

import composer
from bench.digits.__main__ import NAMES
from bench.digits.campaigns import tuning
from bench.digits.data import digits
from bench.digits.fitting import accuracy, fit
from bench.digits.page import PAGE, RESULTS, page, save
from bench.tables import Table, Target


def test_the_parts_are_disjoint_and_always_the_same():
    data, again = digits(), digits()
    parts = [data.train, data.validation, data.test]

    assert [len(part) for part in parts] == [1200, 197, 400]
    assert torch.equal(data.test.images, again.test.images)
    assert sorted({int(label) for label in data.test.of({3, 7}).labels}) == [3, 7]
    assert all(part.images.shape[1:] == (1, 8, 8) for part in parts)
    every = torch.cat([part.images for part in parts]).flatten(1)
    assert len(every.unique(dim=0)) == len(every) == 1797


def test_the_model_learns_in_few_steps():
    data = digits()
    model = composer.build(tuning.BASE, seed=0)
    before = accuracy(model, data.test)
    fit(model, data.train, steps=60, lr=2e-3, seed=0)

    assert accuracy(model, data.test) > before + 30


def test_the_page_is_what_the_results_say():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_campaign_has_results_that_meet_their_targets():
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*")}

    assert sorted(found) == NAMES
    for data in found.values():
        assert data["targets"]
        assert [target for target in data["targets"] if not target["met"]] == []


def test_a_missed_target_is_on_the_page(tmp_path):
    missed = Target("points", "> 3", 1.25, met=False)
    save("one", Table("One", ("way", "points"), (("slow", 1.25),), (missed,), "Why."), tmp_path)

    expected = "## One\n\nWhy.\n\n| way | points |\n|---|---:|\n| slow | 1.25 |\n\n"
    assert page(tmp_path).endswith(expected + "- points: 1.25, wanted > 3 (missed)\n")
