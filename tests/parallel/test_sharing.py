"""What a spec shares is compared with what a model shares."""

from __future__ import annotations

import pytest
from torch import nn

import composer
from composer.diagnostics import SpecError
from composer.parallel.apply import check_sharing, units
from tests.parallel.models import SPECS


@pytest.mark.parametrize("name", SPECS)
def test_a_built_model_shares_what_its_spec_does(name):
    check_sharing(composer.build(SPECS[name]), composer.graph(SPECS[name]))


def test_a_parameter_that_is_untied_is_found():
    model = composer.build(SPECS["tied"])
    model.logits.head.weight = nn.Parameter(model.logits.head.weight.detach().clone())

    with pytest.raises(SpecError, match=r"'logits.head.weight' is not shared any more"):
        check_sharing(model, composer.graph(SPECS["tied"]))


def test_a_parameter_that_is_tied_by_mistake_is_found():
    model = composer.build(SPECS["plain"])
    model.logits.head.weight = model.decoder.embed.tokens.weight

    with pytest.raises(SpecError, match="have become one parameter"):
        check_sharing(model, composer.graph(SPECS["plain"]))


@pytest.mark.parametrize(
    ("name", "count"),
    [("plain", 3), ("tied", 3), ("one_layer", 1), ("one_feed_forward", 0), ("pair", 4)],
)
def test_a_layer_that_shares_with_others_is_not_gathered_alone(name, count):
    model, graph = composer.build(SPECS[name]), composer.graph(SPECS[name])

    assert len(units(model, graph)) == count
