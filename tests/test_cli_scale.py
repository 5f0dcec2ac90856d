"""`composer scale` and `composer diff` from outside."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys

import pytest

import composer
from composer.cli import main


@pytest.fixture
def run(capfdbinary):
    """Runs a command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return call


@pytest.fixture
def spec(tmp_path):
    shutil.copytree("specs/maps", tmp_path / "maps")
    shutil.copy("specs/gpt2.yaml", tmp_path / "gpt2.yaml")
    return tmp_path / "gpt2.yaml"


def test_factors_print_an_entry(run):
    code, out, err = run("scale", "specs/gpt2.yaml", "--width", "2")

    assert (code, out) == (
        0,
        "sizes:\n  width-x2:\n    dims: {d_model: 1536, num_heads: 24}\n",
    )
    assert "418,748,928 parameters, 12 layers of width 1536\n" in err
    assert "rounding: width +0.00%, depth +0.00%\n" in err


def test_compound_doubles_the_cost_each_time(run):
    _, out, err = run("scale", "specs/patterns/tiny_lm.yaml", "--compound", "4")

    assert out.startswith("sizes:\n  compound-4:\n")
    times = float(err.split("steps: ")[1].split(" times")[0])
    assert 8 < times < 24


def test_compound_with_a_length_makes_longer_positions(run):
    code, out, _ = run(
        "scale", "specs/gpt2.yaml", "--compound", "2", "--factors",
        "depth=1.2,width=1.1,length=1.4",
    )  # fmt: skip

    assert code == 0
    assert "max_length: 2007" in out


def test_write_adds_a_size_that_has_what_was_printed(run, spec):
    before = spec.read_text(encoding="utf-8")
    code, _, err = run("scale", spec, "--params", "350M", "--write", "--size", "medium")
    count = int(err.split(" ")[0].replace(",", ""))

    assert code == 0
    assert spec.read_text(encoding="utf-8").startswith(before)
    assert composer.graph(spec, size="350m").parameters == count == pytest.approx(350e6, rel=0.01)


def test_a_file_of_its_own(run, spec, tmp_path):
    code, _, err = run("scale", spec, "--params", "200M", "-o", tmp_path / "new.yaml")
    count = int(err.split(" ")[0].replace(",", ""))

    assert code == 0
    assert composer.graph(tmp_path / "new.yaml").parameters == count


def test_a_budget_gives_parameters_and_tokens(run):
    code, _, err = run("scale", "specs/llama.yaml", "--flops", "1e20", "--law", "kaplan")

    assert code == 0
    assert "kaplan: 1,446,399,691 parameters without embeddings; rounding: " in err
    assert "training: 1e+20 FLOPs\n" in err
    assert "predicted loss: " in err


def test_a_series_is_a_table(run):
    code, out, _err = run("scale", "specs/gpt2.yaml", "--series", "20M..150M", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))

    assert code == 0
    assert len(rows) == 4
    assert [row["steps"] for row in rows] == ["1024"] * 4
    losses = [float(row["loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)


def test_a_series_without_a_law_has_no_loss(run):
    code, out, _ = run("scale", "specs/mixtral.yaml", "--series", "1B..4B", "--format", "json")

    assert code == 0
    assert {row["loss"] for row in json.loads(out)} == {None}


@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_series_is_drawn(run, tmp_path, form):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"plot.{form}"
    code, _, _err = run("scale", "specs/gpt2.yaml", "--series", "20M..80M", "--plot", file)
    data = file.read_bytes()

    assert code == 0
    assert data.startswith(b"\x89PNG" if form == "png" else b"<?xml")
    assert form == "png" or b"predicted loss (nats a token)" in data


def test_without_matplotlib_a_plot_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(
        "scale", "specs/gpt2.yaml", "--series", "20M..80M", "--plot", tmp_path / "a.svg"
    )

    assert code == 3
    assert "install graph-composer[plot]" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "nothing says how far"),
        (("--params", "350"), "350 parameters are too few to be meant; write 350M or 350B"),
        (("--params", "1M"), "fewer than the smallest of this shape has; the nearest possible is"),
        (("--params", "1B", "--flops", "1e20"), "--params and --flops contradict each other"),
        (("--params", "1B", "--width", "2", "--depth", "2"), "too many say how far"),
        (("--compound", "2", "--width", "2"), "too many say how far"),
        (("--compound", "1", "--factors", "depth=2,width=2"), "is 8.000, not within 1.9 to 2.1"),
        (("--compound", "1", "--factors", "height=2"), "something else than depth, width"),
        (("--compound", "1", "--factors", "depth=x"), "'depth=x' is no factor"),
        (("--compound", "nan"), "is too far"),
        (("--width", "2", "--factors", "depth=2,width=1"), "--factors belongs to --compound"),
        (("--width", "2", "--law", "kaplan"), "--law belongs to"),
        (("--width", "0"), "a factor of width is a number above 0, not 0"),
        (("--depth", "-1"), "a factor of depth is a number above 0, not -1"),
        (("--params", "1B", "--law", "moore"), "laws: chinchilla20, hoffmann-refit, kaplan"),
        (("--width", "2", "--as", "medium"), "the spec has a size 'medium' already"),
        (("--width", "2", "--as", "a b"), "is no name of a size"),
        (("--width", "2", "--write", "-o", "x.yaml"), "--write and -o contradict each other"),
        (("--width", "2", "--plot", "x.svg"), "belong to --series"),
        (("--series", "1B"), "is no range of parameters"),
        (("--series", "1B..10M"), "1B is not below 10M"),
        (("--series", "10M..1B", "--plot", "x.pdf"), "none of .svg, .png"),
        (("--series", "10M..1B", "--write"), "a series is a table"),
        (("--width", "2", "--set", "decoder.num_layers=3"), "--set is not kept in a size"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, arguments, why):
    code, out, err = run("scale", "specs/gpt2.yaml", *arguments)

    assert (code, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1


def test_a_law_that_does_not_apply_is_refused(run):
    for spec, why in (("mixtral", "has experts"), ("transformer", "is no causal decoder")):
        code, _, err = run("scale", f"specs/{spec}.yaml", "--flops", "1e20")
        assert code == 2
        assert why in err


def test_two_sizes_of_one_spec(run):
    code, out, _ = run("diff", "specs/gpt2.yaml", "--size", "base", "--size", "medium")

    assert code == 0
    assert "parameters: 124,439,808 -> 354,823,168 (2.85 times)\n" in out


def test_two_specs_as_json(run):
    code, out, _ = run("diff", "specs/gpt2.yaml", "specs/llama.yaml", "--format", "json")

    assert code == 0
    assert json.loads(out)["b"] == "specs/llama.yaml"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("specs/gpt2.yaml",), "nothing to compare it with"),
        (("specs/gpt2.yaml",) * 3, "more were given"),
        (("-", "-"), "stdin holds one spec"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, arguments, why):
    code, _, err = run("diff", *arguments)

    assert code == 2
    assert why in err


def test_neither_imports_torch():
    code = (
        "import sys\n"
        "from composer.cli import main\n"
        "assert main(['scale', 'specs/gpt2.yaml', '--params', '1B']) == 0\n"
        "assert main(['diff', 'specs/gpt2.yaml', 'specs/llama.yaml']) == 0\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
