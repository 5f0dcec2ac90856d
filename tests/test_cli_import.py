"""`composer import`: from a config to a spec that can be checked, built and given weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import composer
from composer.configs.reading import period
from composer.configs.writing import text_of, without_unused

ROOT = Path(__file__).resolve().parents[1]
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "rope_scaling": None,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def config(tmp_path):
    """Writes a config of LLaMA with some keys changed."""

    def write(**changes: object) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**LLAMA, **changes}, indent=2))
        return path

    return write


def test_a_config_becomes_a_spec_with_its_sizes(run, config, tmp_path):
    out = tmp_path / "deep" / "spec.yaml"
    code, text, err = run("import", config(), "--out", out)
    made = composer.graph(out)

    assert (code, text) == (0, "")
    assert err == f"wrote {out}: llama.yaml with the sizes of {tmp_path / 'config.json'}\n"
    assert made.parameters == 2 * 61 * 32 + 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 44 + 64) + 32
    assert run("check", out) == (0, f"{out}: ok, {made.parameters:,} parameters\n", "")
    assert "eps: 1e-05" in out.read_text()
    assert "theta: 500000.0" in out.read_text()
    assert [path.name for path in out.parent.iterdir()] == ["spec.yaml"]


def test_a_folder_is_read_too_and_stdout_is_the_product(run, config):
    path = config()
    _, text, err = run("import", path.parent)

    assert text == composer.import_config(path)
    assert err == ""


def test_the_imported_spec_reads_weights_under_their_names(run, config, tmp_path):
    spec, own, theirs = (tmp_path / name for name in ("s.yaml", "own.safetensors", "hf"))
    run("import", config(tie_word_embeddings=True), "--out", spec)
    model = composer.build(spec, seed=1)
    save_file({name: each.detach() for name, each in model.named_parameters()}, own)
    assert run("export-weights", own, "--spec", spec, "--out", theirs)[0] == 0
    assert run("convert", theirs, "--spec", spec, "--out", tmp_path / "back.safetensors")[0] == 0

    published, back = (
        load_file(theirs / "model.safetensors"),
        load_file(tmp_path / "back.safetensors"),
    )
    assert "model.layers.1.mlp.gate_proj.weight" in published
    assert "lm_head.weight" not in published
    assert all(torch.equal(each, back[name]) for name, each in load_file(own).items())


def test_keys_that_are_not_in_the_spec_are_named(run, config):
    _, text, err = run(
        "import", config(attention_dropout=0.1, sandwich=3, empty=None, more={"a": 1})
    )

    assert err.splitlines() == [
        "for training only, and left out: attention_dropout",
        "not understood: sandwich, more.a",
    ]
    assert "# Keys of the config that are not understood: sandwich, more.a." in text
    assert "# For training only, and left out: attention_dropout." in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rope_scaling": {"rope_type": "longrope", "factor": 4.0}},
         ["error[W421]: 'rope_parameters.rope_type' is 'longrope', but the spec can say default, linear, llama3, yarn",
          "rotary positions are plain, interpolated, or stretched as llama3 or yarn"]),
        ({"hidden_act": "tanh"}, ["error[W421]: 'hidden_act' is 'tanh'"]),
        ({"architectures": ["LlamaForSequenceClassification"]},
         ["the config is of LlamaForSequenceClassification, but the spec is LlamaForCausalLM"]),
        ({"rope_scaling": {"type": "linear"}},
         ["error[W422]: the config has no 'rope_parameters.factor'"]),
        ({"hidden_size": "wide"}, ["error[W422]: 'head_dim' cannot be computed"]),
        ({"num_key_value_heads": 3}, ["num_kv_heads 3"]),
        ({"model_type": "lama"}, ["error[W420]: there is no spec for 'lama'", "did you mean 'llama'?"]),
        ({"model_type": None}, ["error[W420]"]),
    ],
)  # fmt: skip
def test_what_the_spec_cannot_say_is_an_error_and_nothing_is_written(run, config, changes, said):
    path = config(**changes)
    code, text, err = run("import", path, "--out", path.parent / "spec.yaml")

    assert (code, text) == (1, "")
    assert "config.json:" in err
    for each in said:
        assert each in err
    assert [each.name for each in path.parent.iterdir()] == ["config.json"]


def test_every_value_that_cannot_be_said_is_shown_at_its_place(run, config):
    _, _, err = run("import", config(hidden_act="tanh", attention_bias="no"))

    assert err.splitlines()[-1].endswith("config.json: 2 errors")
    assert '"hidden_act": "tanh"' in err
    assert '"attention_bias": "no"' in err


def test_a_config_that_is_not_there_is_2(run, tmp_path):
    code, _, err = run("import", tmp_path / "none.json")

    assert code == 2
    assert "cannot read" in err


def test_importing_does_not_load_torch(config):
    code = (
        "import sys; from composer.cli import main\n"
        "code = main(['import', sys.argv[1]])\n"
        "sys.exit(code or len({'torch', 'numpy', 'transformers'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(config())], capture_output=True, check=False, cwd=ROOT
    )

    assert done.returncode == 0, done.stderr.decode()


# Writing


@pytest.mark.parametrize(
    ("items", "expected"),
    [([], []), (["a"], ["a"]), (["a", "a", "a"], ["a"]), (["a", "b", "a"], ["a", "b"]),
     (["a", "a", "b"], ["a", "a", "b"]), (["a", "a", "b", "a", "a", "b", "a"], ["a", "a", "b"])],
)  # fmt: skip
def test_layers_are_written_as_the_shortest_pattern(items, expected):
    assert period(items) == expected


def test_dims_types_and_sizes_that_nothing_uses_are_left_out():
    spec = {
        "description": "with a window",
        "dims": {"window": 4, "d_model": 8, "logits": 2, "half": "d_model//2", "twice": "2*window"},
        "decoders": {
            "decoder": {
                "d_model": "half",
                "layer_types": ["full"],
                "types": {"full": {}, "sliding": {}},
            }
        },
        "connections": [{"shared": ["decoder.embed", "logits.head"]}],
        "sizes": {"base": {}},
    }
    made = without_unused(spec)

    assert made["dims"] == {"d_model": 8, "half": "d_model//2"}
    assert made["decoders"]["decoder"]["types"] == {"full": {}}
    assert "sizes" not in made


def test_a_map_is_written_into_the_spec_with_what_it_extends(tmp_path):
    (tmp_path / "base.yaml").write_text("description: base\nrules:\n  - a -> b\n")
    (tmp_path / "map.yaml").write_text("extends: base.yaml\nrules:\n  - c -> d\n")
    text = text_of({"name": "x", "weights": {"theirs": "map.yaml"}}, tmp_path, ["made"])

    assert text.splitlines() == [
        "# made", "name: x", "", "weights:", "  theirs:", "    extends:", "      description: base",
        "      rules:", "        - a -> b", "    rules:", "      - c -> d",
    ]  # fmt: skip
