"""Plans of stages: each is exact, and together they hold the whole model."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod

import pytest

import composer
from composer.cli import main
from composer.diagnostics import SpecError
from composer.language.parallel import MeshFields, Parallelism, PpFields, TpFields
from composer.parallel.stage_plans import plan_stages
from composer.parallel.verify import verify
from tests.parallel.models import SPECS

LARGE = ["specs/llama.yaml", "--set", "decoder.num_layers=8"]


def planned(name, *, dp=2, tp=2, pp=2, **options):
    asked = Parallelism(MeshFields(dp=dp, tp=tp, pp=pp), **options)
    return plan_stages(composer.graph(SPECS[name]), asked)


@pytest.mark.parametrize("name", SPECS)
def test_stages_hold_the_whole_and_what_they_share_several_times(name):
    plans = planned(name)
    sizes = {name: prod(one.shape) for name, one in plans.whole.tensors.items()}
    extra = sum(sizes[name] * (len(held) - 1) for name, held in plans.shared.items())

    assert sum(made.graph.parameters for made in plans.plans) == sum(sizes.values()) + extra


@pytest.mark.parametrize("name", SPECS)
def test_torch_makes_the_same_shapes_of_every_stage(name):
    assert [verify(made) for made in planned(name).plans] == [[], []]


def test_what_several_stages_hold_is_cut_as_in_the_whole():
    spec = SPECS["tied"].replace(
        "head: lm}}", "head: {kind: linear, out_features: 51, bias: false}}}"
    )
    asked = Parallelism(MeshFields(tp=2, pp=2))
    first, last = plan_stages(composer.graph(spec), asked).plans

    assert first.tensors["decoder.embed.tokens.weight"].axis is None
    assert last.tensors["logits.head.weight"].axis is None
    assert first.splitting.whole["decoder.embed"].startswith("it shares")


def test_a_layer_that_is_applied_in_a_later_stage_is_split_there_too():
    first, last = planned("one_layer", pp=2).plans

    assert last.tensors["decoder.layers.2.attention.q.weight"].axis == 0
    assert first.tensors["decoder.layers.0.attention.q.weight"].axis == 0


def test_a_wrong_plan_of_a_stage_is_found():
    made = planned("plain").plans[1]
    name = "decoder.layers.2.feed_forward.down.weight"
    wrong = {**made.tensors, name: replace(made.tensors[name], axis=0)}

    assert {one.name for one in verify(replace(made, tensors=wrong), [0])} == {name}


def test_stages_are_not_split_by_steps():
    with pytest.raises(SpecError, match="states that stages hand on are not split by steps"):
        plan_stages(
            composer.graph(SPECS["plain"]),
            Parallelism(MeshFields(tp=2, pp=2), tp=TpFields(sequence=True)),
        )


def test_cuts_that_make_another_number_of_stages_are_refused():
    with pytest.raises(SpecError, match="do not make 3 stages"):
        plan_stages(
            composer.graph(SPECS["plain"]),
            Parallelism(MeshFields(pp=3), pp=PpFields(cuts=["logits"])),
        )


def test_the_command_shows_every_stage_and_checks_it(capsys):
    assert main(["plan", *LARGE, "--mesh", "pp=3,dp=2,tp=2", "--check"]) == 0
    printed = capsys.readouterr()

    assert "pp 3 × dp 2 × tp 2 = 12 devices" in printed.out
    assert "decoder.layers.6 to logits" in printed.out
    assert "torch makes the same shapes of it" in printed.err


def test_the_command_prints_what_a_program_reads(capsys):
    assert main(["plan", *LARGE, "--mesh", "pp=2,tp=2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    totals = [stage["device"]["fullest"]["total"] for stage in data["stages"]]

    assert data["world"] == 4
    assert data["fullest"]["total"] == max(totals) == totals[data["fullest"]["stage"]]
    assert data["stages"][0]["sends"] == ["decoder_layers_3"]
    assert sum(stage["parameters"] for stage in data["stages"]) == data["parameters"]


def test_the_command_shows_one_stage_and_its_source(capsys):
    assert main(["plan", *LARGE, "--mesh", "pp=2,tp=2", "--stage", "1"]) == 0
    shown = capsys.readouterr().out
    assert "4 × decoder.layers.*.attention" in shown
    assert "decoder.embed" not in shown

    assert main(["plan", *LARGE, "--mesh", "pp=2", "--stage", "1", "--source"]) == 0
    assert "decoder_layers_3" in capsys.readouterr().out
