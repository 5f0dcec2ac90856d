"""Weights on the command line: into a spec's names, back out, and beside the source of a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file

import composer

SPECS = Path(__file__).resolve().parents[1] / "specs"
GPT2, LLAMA, BLOOM = (str(SPECS / f"{name}.yaml") for name in ("gpt2", "llama", "bloom"))
SMALL = {
    GPT2: {"dims.vocab_size": 61, "dims.d_model": 32, "dims.num_heads": 4,
           "decoder.embed.position.max_length": 20, "decoder.num_layers": 2},
    LLAMA: {"dims.vocab_size": 61, "dims.d_model": 32, "dims.num_heads": 4, "dims.num_kv_heads": 2,
            "dims.d_ff": 44, "decoder.num_layers": 2},
    BLOOM: {"dims.vocab_size": 61, "dims.d_model": 32, "dims.num_heads": 4, "decoder.num_layers": 2},
}  # fmt: skip


def overrides(spec: str) -> list[str]:
    return [f"{name}={value}" for name, value in SMALL[spec].items()]


def sets(spec: str) -> list[str]:
    return [word for each in overrides(spec) for word in ("--set", each)]


def random_weights(spec: str, folder: Path) -> tuple[Path, torch.nn.Module]:
    """Random weights of a small model under the spec's names: the file, and the model."""
    model = composer.build(spec, overrides=overrides(spec), seed=1)
    tensors = {name: tensor.detach() for name, tensor in model.named_parameters()}
    save_file(tensors, folder / "own.safetensors")
    return folder / "own.safetensors", model


@pytest.fixture
def own(tmp_path):
    """Those of a small GPT-2."""
    return random_weights(GPT2, tmp_path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_weights_go_out_and_come_back(run, tmp_path, own):
    file, _ = own
    theirs, back = tmp_path / "theirs", tmp_path / "deep" / "back.safetensors"
    out = run("export-weights", file, "--spec", GPT2, *sets(GPT2), "--out", theirs)
    again = run("convert", theirs, "--spec", GPT2, *sets(GPT2), "--out", back)
    expected, actual = load_file(file), load_file(back)

    assert out[:2] == again[:2] == (0, "")
    assert names_in(theirs) == ["model.safetensors"]
    assert names_in(back.parent) == ["back.safetensors"]
    assert "transformer.h.0.attn.c_attn.weight" in load_file(theirs / "model.safetensors")
    assert expected.keys() == actual.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, actual[name]), name


def test_the_report_counts_tensors_and_names_ties(run, tmp_path, own):
    file, model = own
    _, _, err = run("export-weights", file, "--spec", GPT2, *sets(GPT2), "--out", tmp_path / "f")
    count = sum(parameter.numel() for parameter in model.parameters())
    head, tie = err.splitlines()

    assert f"{len(load_file(tmp_path / 'f' / 'model.safetensors'))} tensors" in head
    assert f"{count:,} parameters" in head
    assert f"{count * 4 / 1000:.1f} kB" in head
    assert tie == "  logits.head.weight is decoder.embed.tokens.weight"


@pytest.mark.parametrize("spec", [GPT2, BLOOM])
@pytest.mark.parametrize(
    ("layout", "start"), [("memory", "transformer.h.0."), ("published", "h.0.")]
)
def test_both_namings_are_written_and_read(run, tmp_path, spec, layout, start):
    file, _ = random_weights(spec, tmp_path)
    theirs, back = tmp_path / "theirs.safetensors", tmp_path / "back.safetensors"
    options = ["--spec", spec, *sets(spec)]
    run("export-weights", file, *options, "--layout", layout, "--out", theirs)
    published = load_file(theirs)
    # Files of older versions of GPT-2 hold the mask of each layer, too.
    masks = {
        f"{start}attn.bias": torch.ones(1, 1, 20, 20),
        f"{start}attn.masked_bias": torch.ones(1),
    }
    save_file({**published, **(masks if spec == GPT2 else {})}, theirs)
    code, _, err = run("convert", theirs, *options, "--out", back)

    assert code == 0, err
    assert any(name.startswith(start) for name in published)
    for name, tensor in load_file(file).items():
        assert torch.equal(tensor, load_file(back)[name]), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", [GPT2, LLAMA])
def test_a_checkpoint_of_transformers_computes_the_same(run, tmp_path, spec):
    transformers = pytest.importorskip("transformers")
    if spec == GPT2:
        config = transformers.GPT2Config(
            vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=20
        )
        other = transformers.GPT2LMHeadModel(config).eval()
    else:
        config = transformers.LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=44, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2,
        )  # fmt: skip
        other = transformers.LlamaForCausalLM(config).eval()
    other.save_pretrained(tmp_path / "hf", max_shard_size="20KB")
    code, _, err = run(
        "build", spec, *sets(spec), "--weights", tmp_path / "hf", "--out", tmp_path / "made"
    )
    model = composer.build(spec, overrides=overrides(spec))
    load_model(model, tmp_path / "made" / "weights.safetensors")
    tokens = torch.randint(61, (2, 7))

    assert code == 0, err
    with torch.no_grad():
        assert torch.allclose(model(tokens=tokens).logits, other(tokens).logits, atol=1e-5)


def test_a_built_model_loads_the_weights_that_lie_beside_it(run, tmp_path, own):
    file, expected = own
    run("build", GPT2, *sets(GPT2), "--weights", file, "--out", tmp_path / "made")
    names: dict[str, object] = {}
    exec(compile((tmp_path / "made" / "model.py").read_text(), "model.py", "exec"), names)
    model = names["Gpt2"]()
    load_model(model, tmp_path / "made" / "weights.safetensors")
    tokens = torch.randint(61, (2, 7))

    assert torch.equal(model.eval()(tokens=tokens).logits, expected.eval()(tokens=tokens).logits)


@pytest.mark.parametrize(("short", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_numbers_are_cast(run, tmp_path, own, short, kind):
    out = tmp_path / "cast.safetensors"
    run("convert", own[0], "--spec", GPT2, *sets(GPT2), "--dtype", short, "--out", out)

    assert {tensor.dtype for tensor in load_file(out).values()} == {kind}


# Parts


BERT2GPT = str(SPECS / "bert2gpt.yaml")
PARTS = {
    "bert": ["dims.vocab_size=61", "dims.d_model=32", "dims.num_heads=4", "dims.max_length=40",
             "encoder.num_layers=2"],
    "gpt2": ["dims.vocab_size=53", "dims.d_model=32", "dims.num_heads=4",
             "decoder.embed.position.max_length=30", "decoder.num_layers=2"],
}  # fmt: skip


@pytest.fixture
def parts(tmp_path):
    """Random weights of a small BERT and a small GPT-2 under their published names, by name."""
    places = {}
    for name, changes in PARTS.items():
        spec, own = SPECS / f"{name}.yaml", tmp_path / f"own-{name}.safetensors"
        model = composer.build(spec, overrides=changes, seed=1)
        save_file({key: each.detach() for key, each in model.named_parameters()}, own)
        places[name] = tmp_path / f"{name}.safetensors"
        composer.export_weights(spec, own, places[name], overrides=changes)
    return places


def named(places: dict[str, Path]) -> list[str]:
    return [word for name, at in places.items() for word in ("--weights", f"{name}={at}")]


def test_a_model_of_parts_is_built_from_the_weights_of_each(run, tmp_path, parts):
    made = tmp_path / "made"
    code, out, err = run("build", BERT2GPT, "--size", "small", *named(parts), "--out", made)
    expected = composer.build(BERT2GPT, size="small", weights=parts, seed=0).state_dict()
    actual = composer.build(BERT2GPT, size="small", weights=made / "weights.safetensors")

    assert code == 0, err
    assert str(composer.audit_weights(BERT2GPT, parts, size="small")) in out
    assert f"{made / 'weights.safetensors'}" in out
    for name, tensor in actual.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_what_is_loaded_new_and_frozen_is_described(run, parts):
    _, plain, _ = run("describe", BERT2GPT, "--size", "small")
    code, out, err = run("describe", BERT2GPT, "--size", "small", *named(parts))
    lines = out.removeprefix(plain).split("\n")

    assert (code, err) == (0, "")
    assert out.startswith(plain)
    assert [line[:9].strip() for line in lines if line] == [
        "loaded", "loaded", "new", "frozen", "ignored",
    ]  # fmt: skip
    assert "decoder.layers.*.cross_attention" in lines[3]


def test_other_formats_stay_as_they_are(run, parts):
    options = ["--size", "small", "--format", "json"]
    _, plain, _ = run("describe", BERT2GPT, *options)
    _, out, err = run("describe", BERT2GPT, *options, *named(parts))

    assert out == plain
    assert err == f"{composer.audit_weights(BERT2GPT, parts, size='small')}\n"


def test_one_path_is_described_too(run, own):
    _, out, _ = run("describe", GPT2, *sets(GPT2), "--weights", own[0])

    assert out.endswith(f"\n{composer.audit_weights(GPT2, own[0], overrides=overrides(GPT2))}\n")


def test_a_path_may_have_an_equals_sign(run, tmp_path, own):
    odd = own[0].rename(tmp_path / "lr=3.safetensors")
    code, _, err = run("describe", GPT2, *sets(GPT2), "--weights", odd)

    assert code == 0, err


@pytest.mark.parametrize("command", ["build", "describe"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["bert={bert}", "{gpt2}"], "has no name, and is not the only path"),
        (["bert={bert}", "bert={gpt2}"], "'bert' has two paths"),
        (["bert={bert}", "gtp2={gpt2}"], "the spec has no weights called 'gtp2' (bert, gpt2)"),
        (["{bert}"], "the weights of 'bert2gpt' are those of parts: bert, gpt2"),
        (["bert={gpt2}"], "'bert' reads"),
    ],
)
def test_places_that_say_nothing_are_errors_and_nothing_is_written(
    run, tmp_path, parts, command, given, said
):
    options = [word for each in given for word in ("--weights", each.format(**parts))]
    folder = ["--out", tmp_path / "made"] if command == "build" else []
    code, out, err = run(command, BERT2GPT, "--size", "small", *options, *folder)

    assert (code, out) == (1, "")
    assert said in err
    assert not (tmp_path / "made").exists()


# Errors


def test_weights_of_another_size_name_both_sides_and_write_nothing(run, tmp_path, own):
    out = tmp_path / "out" / "new.safetensors"
    code, text, err = run(
        "convert", own[0], "--spec", GPT2, *sets(GPT2), "--set", "dims.vocab_size=60", "--out", out
    )

    assert (code, text) == (1, "")
    assert (
        "error[W405]: 'decoder.embed.tokens.weight' is [61, 32], but the model's is [60, 32]" in err
    )
    assert err.splitlines()[-1] == f"{GPT2}: 1 error"
    assert names_in(tmp_path) == ["own.safetensors"]


@pytest.mark.parametrize("command", ["convert", "export-weights", "build"])
def test_a_file_that_is_no_safetensors_is_2_and_nothing_is_written(run, tmp_path, command):
    (tmp_path / "model.bin").write_bytes(b"PK\x03\x04 and more of a pickle")
    arguments = {
        "build": [GPT2, "--weights", tmp_path / "model.bin", "--out", tmp_path / "new"],
    }.get(command, [tmp_path / "model.bin", "--spec", GPT2, "--out", tmp_path / "new"])
    code, text, err = run(command, *arguments)

    assert (code, text) == (2, "")
    assert "error[W410]" in err
    assert "never read" in err
    assert names_in(tmp_path) == ["model.bin"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--map", "elsewhere"], "no weights called 'elsewhere' (huggingface)"),
        (["--layout", "memroy"], "has no layout 'memroy' ('memory', 'published')"),
    ],
)
def test_a_map_or_a_layout_that_is_not_there(run, tmp_path, own, arguments, said):
    code, _, err = run(
        "export-weights", own[0], "--spec", GPT2, *sets(GPT2), *arguments, "--out", tmp_path / "new"
    )

    assert code == 1
    assert said in err
    assert names_in(tmp_path) == ["own.safetensors"]


def test_a_folder_where_the_file_should_be_stays_as_it_is(run, tmp_path, own):
    (tmp_path / "taken").mkdir()
    code, _, err = run("convert", own[0], "--spec", GPT2, *sets(GPT2), "--out", tmp_path / "taken")

    assert code == 2
    assert "cannot write" in err
    assert names_in(tmp_path) == ["own.safetensors", "taken"]
    assert names_in(tmp_path / "taken") == []


def test_the_command_line_says_what_is_missing(run):
    code, out, err = run("convert", "weights.safetensors")

    assert (code, out) == (2, "")
    assert "--spec" in err
