"""Adapters in the files of peft, read by it and written by it; skipped where it is not there."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

import composer
from tests.targets.test_adapting import SMALL, adapted, shared, tokens, trained

SPECS = {
    "lora": "lora: {on: decoder.layers.*.attention.(q|v), rank: 2, alpha: 16}",
    "rslora": "lora: {on: {role: [q, ffn_in]}, rank: 2, alpha: 3, scaling: rslora}",
    "dora": "lora: {on: decoder.layers.(0|3), rank: 3, dora: true}",
    "ranks": "lora: {on: decoder.layers.0, rank: 3, alpha: 9}\n  - lora: {on: decoder.layers.1, rank: 1, alpha: 4}",
    "ia3": "ia3: {name: lora, on: {role: [k, v, ffn_out]}}",
    "head": "lora: {on: decoder.layers.*.attention.(q|v), rank: 2}\nfreeze: {parts: '*', except: [logits, decoder.norm]}",
}


@pytest.fixture
def peft():
    """The library, or a skip."""
    return pytest.importorskip("peft", reason="peft is not installed", exc_type=ImportError)


@pytest.mark.parametrize("case", SPECS)
@pytest.mark.filterwarnings("ignore")
def test_peft_computes_the_same_with_our_files(case, peft, tmp_path):
    text = adapted(SPECS[case])
    model = trained(composer.build(text, seed=0)).eval()
    composer.save_adapter(text, model, tmp_path)
    plain = composer.build(SMALL, seed=0).eval()
    before = plain(tokens()).logits
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path).eval()

    assert (model(tokens()).logits - before).abs().max() > 1e-3
    assert (theirs(tokens()).logits - model(tokens()).logits).abs().max() < 1e-5


@pytest.mark.parametrize("case", ["lora", "rslora", "dora", "ia3", "head"])
@pytest.mark.filterwarnings("ignore")
def test_we_compute_the_same_with_the_files_of_peft(case, peft, tmp_path):
    text = adapted(SPECS[case])
    composer.save_adapter(text, composer.build(text, seed=0), tmp_path / "ours")
    config = peft.PeftConfig.from_pretrained(tmp_path / "ours")
    config.inference_mode = False
    theirs = peft.get_peft_model(composer.build(SMALL, seed=0), config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    theirs.save_pretrained(tmp_path / "theirs")
    model = composer.build(text, seed=0).eval()
    composer.load_adapter(text, model, tmp_path / "theirs")

    assert (theirs.eval()(tokens()).logits - model(tokens()).logits).abs().max() < 1e-5


@pytest.mark.parametrize("case", SPECS)
def test_our_files_come_back_as_they_were(case, tmp_path):
    text = adapted(SPECS[case])
    model, other = trained(composer.build(text, seed=0)), composer.build(text, seed=0)
    composer.save_adapter(text, model, tmp_path)
    composer.load_adapter(text, other, tmp_path)

    assert torch.equal(model.eval()(tokens()).logits, other.eval()(tokens()).logits)


def test_what_trains_beside_is_saved_as_modules(tmp_path):
    text = adapted(SPECS["head"])
    composer.save_adapter(text, composer.build(text, seed=0), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        names = {name for name in file.keys() if "lora" not in name}  # noqa: SIM118

    assert config["modules_to_save"] == ["decoder.norm", "logits"]
    assert names == {
        f"base_model.model.{name}"
        for name in ("decoder.norm.weight", "decoder.norm.bias", "logits.head.weight")
    }
    frozen = adapted(SPECS["head"].partition("\n")[0])
    with pytest.raises(composer.SpecError, match=r"nothing is made of '.*logits.head.weight'"):
        composer.load_adapter(frozen, composer.build(frozen), tmp_path)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("decoder.embed", "'decoder.layers.0.attention.q.weight' is trained, but not all"),
        (
            "{parts: '*', except: decoder.layers.1.attention.q}",
            "attention.q.weight' is trained, but",
        ),
    ],
)
def test_what_would_be_lost_beside_adapters_is_refused(freeze, message, tmp_path):
    text = adapted(f"{SPECS['lora']}\nfreeze: {freeze}")

    with pytest.raises(composer.SpecError) as error:
        composer.save_adapter(text, composer.build(text), tmp_path / "none")

    assert message in str(error.value)
    assert not (tmp_path / "none").exists()


def test_factors_of_another_side_are_refused(tmp_path):
    text = adapted("ia3: {name: lora, on: {role: ffn_out}}")
    composer.save_adapter(text, composer.build(text), tmp_path)
    other = adapted("ia3: {name: lora, on: {role: ffn_out}, of: result}")

    with pytest.raises(composer.SpecError, match="factors of the input of"):
        composer.load_adapter(other, composer.build(other), tmp_path)


def test_settings_of_another_spec_are_refused_by_name(tmp_path):
    text = adapted(SPECS["lora"])
    model = composer.build(text, seed=0)
    composer.save_adapter(text, model, tmp_path)
    for item, message in (
        (SPECS["lora"].replace("16", "8"), "alpha of 'decoder.layers.0.attention.q' is 16"),
        (SPECS["lora"].replace("alpha", "dora: true, alpha"), "'use_dora' is False in the file"),
        (SPECS["lora"].replace("rank: 2", "rank: 3"), "but the model's is"),
        (SPECS["lora"].replace("(q|v)", "q"), "nothing is made of"),
        (SPECS["lora"].replace("(q|v)", "*"), "there is nothing for"),
    ):
        other = adapted(item)
        with pytest.raises(composer.SpecError) as error:
            composer.load_adapter(other, composer.build(other), tmp_path)
        assert message in str(error.value)


def test_what_peft_cannot_say_is_refused(tmp_path):
    tied = shared("{within: decoder.layers, every: all}", "decoder.layers.*.attention.q")
    one = shared("{within: decoder.layers.*.attention, every: all}", "decoder.layers.*.attention.q")
    mixed = adapted(SPECS["lora"], "lora: {on: logits, rank: 1, dora: true}")
    narrow = adapted("adapter: {after: decoder.layers, bottleneck: 2, name: lora}")
    composer.save_adapter(tied, composer.build(tied), tmp_path / "tied")

    both = adapted(SPECS["lora"], "ia3: {name: lora, on: {role: k}}")
    tied_head = (
        shared("[decoder.embed.tokens, logits.head]", "decoder.layers.*.attention.q")
        + "freeze: {parts: '*', except: [logits, decoder.embed]}\n"
    )
    for text, message in (
        (both, "adapters of several kinds, lora, ia3"),
        (tied_head, "'decoder.embed.tokens.weight' is trained, and is also 'logits.head.weight'"),
        (one, "peft would adapt one of them only"),
        (mixed, "one scaling, dora and dropout"),
        (narrow, "peft has no 'adapter'"),
        (adapted("prefix: {on: decoder, length: 2, name: lora}"), "peft moves the positions"),
    ):
        with pytest.raises(composer.SpecError, match=message):
            composer.save_adapter(text, composer.build(text), tmp_path / "none")
    assert json.loads((tmp_path / "tied" / "adapter_config.json").read_text())["r"] == 2
    assert not (tmp_path / "none").exists()
