"""Connections read exactly what they name."""

from __future__ import annotations

import pytest
import torch

import composer
from tests.conformance.checks import randomize

TENSOR = torch.Tensor


class Watch:
    """What went into and came out of every module of one forward pass, by its name."""

    def __init__(self, model, **inputs):
        self.went, self.came = {}, {}
        for name, module in model.named_modules():
            module.register_forward_hook(self._keep(name), with_kwargs=True)
        with torch.no_grad():
            self.outputs = model(**inputs)

    def _keep(self, name):
        def hook(module, args, kwargs, result):
            self.went.setdefault(name, []).append([*args, *kwargs.values()])
            self.came.setdefault(name, []).append(
                result[0] if isinstance(result, tuple) else result
            )

        return hook

    def reads(self, name, state):
        """Whether module `name` was given `state` itself."""
        return any(given is state for given in self.went[name][0])


def built(path, size=None):
    """A model with random weights in evaluation mode, without padding, and inputs for it."""
    model = composer.build(f"tests/specs/{path}.yaml", size=size, seed=0).eval()
    randomize(model)
    torch.manual_seed(1)
    return model


def translation():
    torch.manual_seed(1)
    return {"source": torch.randint(1, 23, (2, 7)), "target": torch.randint(1, 19, (2, 5))}


# cross


CROSSES = {
    "last": dict.fromkeys(range(4), "encoder.norm"),
    "aligned": {i: f"encoder.layers.{i}" for i in range(4)},
    "every": {0: "encoder.norm", 2: "encoder.norm"},
    "listed": {1: "encoder.norm", 2: "encoder.norm"},
    "weighted": dict.fromkeys(range(4), "decoder.encoder_mix"),
}


@pytest.mark.parametrize("size", CROSSES)
def test_each_layer_attends_to_the_state_it_names(size):
    watch = Watch(built("cross_which", size), **translation())
    sources = [*(f"encoder.layers.{i}" for i in range(4)), "encoder.norm", "decoder.encoder_mix"]
    states = {name: watch.came[name][0] for name in sources if name in watch.came}
    found = {
        i: name
        for i in range(4)
        for name, state in states.items()
        if f"decoder.layers.{i}.cross_attention" in watch.went
        and watch.reads(f"decoder.layers.{i}.cross_attention", state)
    }
    attending = {i for i in range(4) if f"decoder.layers.{i}.cross_attention" in watch.went}

    assert found == CROSSES[size]
    assert attending == set(found)


@pytest.mark.parametrize("changed", range(4))
def test_aligned_layers_see_a_change_from_their_layer_on(changed):
    model = built("cross_which", "aligned")
    inputs = translation()
    before = Watch(model, **inputs)
    with torch.no_grad():
        model.encoder.layers[changed].feed_forward.down.weight.add_(0.1)
    after = Watch(model, **inputs)
    same = [
        torch.equal(before.came[f"decoder.layers.{i}"][0], after.came[f"decoder.layers.{i}"][0])
        for i in range(4)
    ]

    assert same == [i < changed for i in range(4)]


def test_a_weighted_reading_mixes_all_layers():
    model = built("cross_which", "weighted")
    watch = Watch(model, **translation())
    shares = model.decoder.encoder_mix.weight.softmax(0)
    states = [watch.came[f"encoder.layers.{i}"][0] for i in range(4)]

    mixed = sum(share * state for share, state in zip(shares, states, strict=True))
    torch.testing.assert_close(watch.came["decoder.encoder_mix"][0], mixed)


# skip


SKIPS = {
    "mirror": {0: {3}, 1: {2}, 2: {1}, 3: {0}},
    "aligned": {i: {i} for i in range(4)},
    "pairs": {2: {0}, 1: {3}},
    "single": {1: {2}},
    "two": {3: {0, 1}, 0: {2}},
}


@pytest.mark.parametrize("size", SKIPS)
def test_skips_reach_the_layers_they_name(size):
    watch = Watch(built("skip_pairs", size), frames=torch.randn(2, 6, 16))
    states = [watch.came[f"down.layers.{i}"][0] for i in range(4)]
    found = {
        to: reads
        for to in range(4)
        if (reads := {i for i, state in enumerate(states) if watch.reads(f"up.layers.{to}", state)})
    }

    assert found == SKIPS[size]


def test_skips_within_a_stack():
    watch = Watch(built("skip_pairs", "in_stack"), frames=torch.randn(2, 6, 16))

    for stack, pairs in {"up": [(0, 3)], "down": [(0, 2)]}.items():
        for to in range(4):
            for source in range(to - 1):
                state = watch.came[f"{stack}.layers.{source}"][0]
                assert watch.reads(f"{stack}.layers.{to}", state) == ((source, to) in pairs)


# parallel


def test_exchange_reads_what_the_other_was_before_the_step():
    inputs = {"words": torch.randint(1, 23, (2, 6)), "frames": torch.randn(2, 5, 12)}
    watch = Watch(built("exchange", "both"), **inputs)
    first = {"text": watch.came["text.embed"][0], "image": inputs["frames"]}
    for reader, read in (("text", "image"), ("image", "text")):
        states = [first[read], *(watch.came[f"{read}.layers.{i}"][0] for i in range(3))]
        for i in range(3):
            found = [
                n
                for n, s in enumerate(states)
                if watch.reads(f"{reader}.layers.{i}.cross_attention", s)
            ]

            assert found == [i]


def test_one_way_exchange_reads_what_the_other_is_after_the_step():
    inputs = {"words": torch.randint(1, 23, (2, 6)), "frames": torch.randn(2, 5, 12)}
    watch = Watch(built("exchange", "one_way"), **inputs)
    states = [watch.came[f"text.layers.{i}"][0] for i in range(3)]

    assert not [name for name in watch.went if name.startswith("text") and "cross" in name]
    for i in range(3):
        found = [
            n for n, s in enumerate(states) if watch.reads(f"image.layers.{i}.cross_attention", s)
        ]
        assert found == [i]


@pytest.mark.parametrize("size", ["sum", "mean"])
def test_merged_branches_are_what_they_say(size):
    watch = Watch(built("branches", size), frames=torch.randn(2, 6, 16))
    near, far = watch.came["near.norm"][0], watch.came["far.norm"][0]

    torch.testing.assert_close(watch.outputs.states, (near + far) / (2 if size == "mean" else 1))


# gates


def test_a_gate_that_is_zero_leaves_the_model_as_it_was():
    """At first a gated cross-attention changes nothing: the decoder is a model of its own."""
    gated = composer.build("tests/specs/cross_which.yaml", size="every", seed=0).eval()
    spec = {
        "composer": 1, "name": "alone", "inputs": {"target": {"kind": "tokens", "vocab_size": 19}},
        "decoders": {"decoder": {
            "from": "target", "d_model": 16, "num_layers": 4, "attention": {"num_heads": 2},
            "feed_forward": {"d_ff": 24},
            "embed": {"position": {"kind": "learned", "max_length": 64}},
        }},
        "outputs": {"logits": {"from": "decoder", "head": "lm"}},
    }  # fmt: skip
    alone = composer.build(spec).eval()
    result = alone.load_state_dict(gated.state_dict(), strict=False)
    inputs = translation()
    gates = [p for name, p in gated.named_parameters() if "gate" in name]

    assert result.missing_keys == []
    assert {
        name.split(".")[3].split("_")[0]
        for name in result.unexpected_keys
        if name.startswith("decoder")
    } == {"cross"}
    assert len(gates) == 2
    assert torch.equal(alone(inputs["target"]).logits, gated(**inputs).logits)
    with torch.no_grad():
        gates[0].fill_(0.5)
    assert not torch.allclose(alone(inputs["target"]).logits, gated(**inputs).logits)


@pytest.mark.parametrize("kind", ["cross_which", "own_layers"])
def test_gates_get_gradients_from_zero(kind):
    model = composer.build(
        f"tests/specs/{kind}.yaml", size="every" if kind == "cross_which" else None, seed=0
    )
    inputs = translation() if kind == "cross_which" else {"tokens": torch.randint(1, 23, (2, 5))}
    model(**inputs).logits.square().sum().backward()

    gates = {name: p for name, p in model.named_parameters() if "gate" in name and p.shape == (1,)}
    assert gates
    assert all(p.item() == 0 and p.grad.abs() > 0 for p in gates.values())
