"""`composer generate` prints what `composer.generate` gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

import composer
from composer.cli import main

SPEC = str(Path(__file__).resolve().parents[1] / "specs/patterns/tiny_lm.yaml")
SET = ["--set", "decoder.num_layers=1"]


@pytest.fixture
def weights(tmp_path):
    model = composer.build(SPEC, overrides=["decoder.num_layers=1"], seed=0)
    save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    return model, str(tmp_path / "tiny.safetensors")


def test_prints_a_line_for_each_prompt(weights, capfd):
    model, path = weights
    status = main(
        ["generate", SPEC, *SET, "--weights", path, "--prompt-ids", "1,2,3", "--prompt-ids", "4,5",
         "--max-new-tokens", "5", "--num-beams", "2"]
    )  # fmt: skip
    made = composer.generate(
        model, SPEC, [[1, 2, 3], [4, 5]], max_new_tokens=5, num_beams=2,
        overrides=["decoder.num_layers=1"],
    )  # fmt: skip
    printed = capfd.readouterr().out.splitlines()

    assert status == 0
    assert [[int(n) for n in line.split(",")] for line in printed] == made.lists()


def test_a_tokenizer_reads_and_writes_text(weights, tmp_path, capfd):
    tokenizers = pytest.importorskip("tokenizers")
    words = {f"w{n:03}": n for n in range(256)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w000"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model, path = weights
    status = main(
        ["generate", SPEC, *SET, "--weights", path, "--prompt", "w001 w002", "--max-new-tokens",
         "4", "--tokenizer", str(tmp_path / "tokenizer.json")]
    )  # fmt: skip
    made = composer.generate(
        model, SPEC, [[1, 2]], max_new_tokens=4, overrides=["decoder.num_layers=1"]
    )

    assert status == 0
    assert capfd.readouterr().out.split() == [f"w{n:03}" for n in made.lists()[0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no prompt"),
        (["--prompt-ids", "1,x"], "write token ids with commas between them"),
        (["--prompt-ids", "1,300"], "token 300 is not in the vocabulary of 256"),
        (["--prompt", "text"], "--prompt needs a --tokenizer"),
        (["--prompt-ids", "1", "--input", "source"], "write NAME=1,2,3"),
        (["--prompt-ids", "1", "--input", "source=1"], "there is no input 'source'"),
        (["--prompt-ids", "1", "--top-k", "0"], "top_k must be 1 or more"),
    ],
)
def test_mistakes_are_named(weights, arguments, message, capfd):
    _, path = weights
    status = main(["generate", SPEC, *SET, "--weights", path, *arguments])

    assert status == 2
    assert message in capfd.readouterr().err
