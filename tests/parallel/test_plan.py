"""Plans are exact: they equal what torch makes, and the parts of all devices are the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from math import prod

import pytest

import composer
from composer.cli import main
from composer.diagnostics import SpecError
from composer.language.parallel import MeshFields, Parallelism, TpFields
from composer.parallel.plan import plan
from tests.parallel.models import SPECS

LLAMA = "specs/llama.yaml"
LARGE = [LLAMA, "--set", "decoder.num_layers=8"]


def planned(spec, dp=1, tp=1, **options):
    asked = Parallelism(MeshFields(dp=dp, tp=tp), **options)
    return plan(composer.graph(spec), asked)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("dp", "tp"), [(4, 1), (3, 2), (64, 2)])
def test_the_parts_of_all_devices_are_the_whole(name, dp, tp):
    made = planned(SPECS[name], dp, tp)
    for tensor in made.tensors.values():
        parts = sum(prod(tensor.local(place)) for place in made.places if tensor.first(place))
        covered = {tensor.start(place) for place in made.places if prod(tensor.local(place))}
        assert parts == prod(tensor.shape)
        assert len(covered) == sum(
            1 for place in made.places if tensor.first(place) and prod(tensor.local(place))
        )


def test_shared_parameters_are_planned_once():
    assert sum(prod(t.shape) for t in planned(SPECS["tied"], 2, 2).tensors.values()) == (
        composer.graph(SPECS["tied"]).parameters
    )


def test_bytes_are_those_of_weights_gradients_and_two_moments():
    made = planned(SPECS["plain"])
    numbers = made.graph.parameters

    assert made.every[0, 0] == made.bytes((0, 0))
    assert (made.every[0, 0].weights, made.every[0, 0].total) == (4 * numbers, 16 * numbers)


def test_frozen_parameters_have_no_gradients():
    made = planned(SPECS["plain"] + "freeze: [decoder.embed]\n").every[0, 0]

    assert made.weights - made.gradients == 4 * 51 * 16


def test_roles_say_what_is_split():
    made = planned(SPECS["plain"], tp=2).tensors
    layer = "decoder.layers.0"

    assert {n.removeprefix(f"{layer}."): t.axis for n, t in made.items() if layer in n} == {
        "attention_norm.weight": None,
        **{f"attention.{n}.weight": 0 for n in "qkv"},
        **{f"attention.{n}.bias": 0 for n in "qkv"},
        "attention.o.weight": 1,
        "attention.o.bias": None,
        "attention.q_norm.weight": None,
        "attention.k_norm.weight": None,
        "feed_forward_norm.weight": None,
        **{f"feed_forward.{n}.weight": 0 for n in ("gate", "up")},
        **{f"feed_forward.{n}.bias": 0 for n in ("gate", "up")},
        "feed_forward.down.weight": 1,
        "feed_forward.down.bias": None,
    }
    assert made["decoder.embed.tokens.weight"].axis == made["logits.head.weight"].axis == 0


def test_what_cannot_be_split_is_whole_and_said():
    made = planned(SPECS["biased"], tp=2).splitting

    assert made.whole["decoder.layers.0.attention"] == "its positions differ from head to head"


def test_what_shares_a_parameter_with_something_whole_is_whole():
    spec = SPECS["tied"].replace(
        "head: lm}}", "head: {kind: linear, out_features: 51, bias: false}}}"
    )
    made = planned(spec, tp=2).splitting

    assert "decoder.embed" not in made.split
    assert made.whole["decoder.embed"].startswith("it shares 'decoder.embed.tokens.weight'")


def test_states_between_layers_that_are_read_are_not_split_by_steps():
    asked = Parallelism(MeshFields(tp=2), tp=TpFields(sequence=True))
    made = plan(composer.graph("specs/patterns/hierarchical_skips.yaml"), asked).splitting

    assert made.steps == ()
    assert made.unsplit


@pytest.mark.parametrize(
    ("tp", "text"),
    [(3, "num_heads 4 of 'decoder.layers.0.attention' cannot be split over tp: 3"),
     (4, "num_kv_heads 2 of 'decoder.layers.0.attention' cannot be split over tp: 4")],
)  # fmt: skip
def test_heads_that_do_not_divide_are_refused(tp, text):
    with pytest.raises(SpecError, match=text):
        planned(SPECS["plain"], tp=tp)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(SpecError, match="a batch of 10 does not divide over dp: 4"):
        plan(composer.graph(SPECS["plain"]), Parallelism(MeshFields(dp=4)), batch=10)


def test_thousands_of_devices_are_arithmetic():
    made = plan(composer.graph(LLAMA, size="2-70b"), Parallelism(MeshFields(dp=512, tp=8)))

    assert len(made.places) == 4096
    whole = sum(held.weights for held in made.every.values())
    norms = sum(4 * prod(t.shape) for t in made.tensors.values() if t.axis is None)
    assert whole == 4 * made.graph.parameters + 7 * norms


def test_torch_makes_the_same_of_a_large_model_on_64_devices(capsys):
    assert main(["plan", *LARGE, "--mesh", "dp=8,tp=8", "--check"]) == 0
    printed = capsys.readouterr()
    assert "1,881,214,976" in printed.out
    assert "torch makes the same shapes of it" in printed.err


def test_a_wrong_plan_is_found():
    from composer.parallel.verify import verify

    made = planned(SPECS["plain"], 2, 2)
    name = "decoder.layers.1.feed_forward.down.weight"
    wrong = {**made.tensors, name: replace(made.tensors[name], axis=0)}

    assert {one.name for one in verify(replace(made, tensors=wrong), [0])} == {name}
    assert verify(made) == []


def test_the_command_prints_what_a_program_reads(capsys):
    assert main(["plan", *LARGE, "--mesh", "tp=8", "--world", "64", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert data["mesh"] == {"dp": 8, "tp": 8, "pp": 1}
    assert (
        sum(part["held"]["weights"] for part in data["parts"])
        == (data["device"]["fullest"]["weights"])
    )
    assert data["tensors"]["decoder.layers.0.attention.o.weight"]["on_rank_0"] == [512, 512]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--mesh", "dp=2,x=3"], "wants AXIS=N"),
        (["--mesh", "dp=2,dp=3"], "dp is given twice"),
        (["--mesh", "tp=2", "--world", "3"], "the mesh has 2 devices"),
        (["--mesh", "pp=2", "--stage", "2"], "--stage 2: the mesh has pp 2"),
        (["--mesh", "pp=2", "--source"], "--source wants --stage"),
        (["--mesh", "tp=2", "--stage", "0", "--source"], "--source wants --stage"),
        (["--mesh", "pp=40"], "runs in 33 steps, too few for 40 stages"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(arguments, text, capsys):
    assert main(["plan", LLAMA, *arguments]) == 2
    assert text in capsys.readouterr().err


def test_a_plan_loads_no_torch():
    code = (
        "import sys; from composer.cli import main; "
        f"main(['plan', {LLAMA!r}, '--mesh', 'dp=2,tp=2,pp=2']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL)

    assert done.returncode == 0
