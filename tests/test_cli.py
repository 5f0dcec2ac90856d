"""The command line: products on stdout, messages on stderr, exit codes, nothing half-written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import composer
from composer.cli import output
from composer.cli.build import folder_name
from composer.components.component import KINDS
from composer.diagnostics import Problem, SpecError
from composer.targets import diagram, files
from composer.targets.expand import expand

ROOT = Path(__file__).resolve().parents[1]
TINY = str(ROOT / "specs/patterns/tiny_lm.yaml")
TRANSFORMER = str(ROOT / "specs/transformer.yaml")
WRONG = """
composer: 1
name: wrong
inputs:
  tokens: {kind: tokens, vocab_size: 100}
decoders:
  decoder: {from: tokens, d_model: 64, num_layers: 2, attention: {heads: 4}}
outputs:
  logits: {from: decoder, head: lmm}
"""
SIZED = """
composer: 1
name: sized
inputs:
  tokens: {kind: tokens, vocab_size: 100}
decoders:
  decoder: {from: tokens, d_model: 64, num_layers: 2, attention: {num_heads: 4}}
outputs:
  logits: {from: decoder, head: lm}
sizes:
  small: {}
  odd: {decoders: {decoder: {attention: {num_heads: 3}}}}
"""
WRITTEN = ["diagram.dot", "diagram.svg", "model.py", "spec.yaml", "summary.json", "summary.txt"]


@pytest.fixture
def wrong(tmp_path) -> str:
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG, encoding="utf-8")
    return str(path)


@pytest.fixture
def no_graphviz(monkeypatch):
    """A machine without Graphviz."""

    def render(*_arguments: object, **_options: object) -> bytes:
        raise diagram.DrawingError("no Graphviz was found")

    monkeypatch.setattr(diagram, "render", render)


def fresh(*arguments: str, stdin: bytes | None = None, **environment: str):
    """Runs a command in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-m", "composer", *arguments],
        input=stdin, capture_output=True, check=False, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip


# check


def test_a_good_spec_is_said_to_be_good_with_its_size(run):
    count = f"{composer.graph(TINY).parameters:,}"

    assert run("check", TINY) == (0, f"{TINY}: ok, {count} parameters\n", "")


def test_every_size_is_checked_unless_one_is_named(run):
    _, out, _ = run("check", TRANSFORMER)
    _, one, _ = run("check", TRANSFORMER, "--size", "small")

    assert [line.split(":")[0] for line in out.splitlines()] == [
        TRANSFORMER, f"{TRANSFORMER} --size base", f"{TRANSFORMER} --size big",
        f"{TRANSFORMER} --size small",
    ]  # fmt: skip
    assert one == f"{TRANSFORMER} --size small: ok, 958,464 parameters\n"


def test_all_problems_go_to_stderr_with_their_number_last(run, wrong):
    code, out, err = run("check", wrong)

    assert code == 1
    assert out == ""
    assert f"{wrong}:7:67: error[C102]: unknown key 'heads'" in err
    assert "did you mean 'num_heads'?" in err
    assert "unknown kind 'lmm'" in err
    assert err.splitlines()[-1] == f"{wrong}: 2 errors"


def test_a_problem_of_one_size_names_it_and_stands_once(run, tmp_path):
    path = tmp_path / "sized.yaml"
    path.write_text(SIZED, encoding="utf-8")
    code, out, err = run("check", path)

    assert code == 1
    assert out == ""
    assert "with --size odd" in err
    assert err.splitlines()[-1] == f"{path}: 1 error"
    assert run("check", path, "--size", "small")[0] == 0


def test_a_problem_of_all_sizes_stands_once_and_names_none(run, tmp_path):
    path = tmp_path / "sized.yaml"
    path.write_text(SIZED.replace("head: lm", "head: lmm"), encoding="utf-8")
    _, _, err = run("check", path, "--set", "decoder.attention.num_heads=8")

    assert err.count("unknown kind 'lmm'") == 1
    assert "--size" not in err


def test_several_specs_are_all_checked_and_the_worst_decides(run, wrong):
    code, out, err = run("check", wrong, TINY, "no/such.yaml")

    assert code == 2
    assert "tiny_lm.yaml: ok" in out
    assert f"{wrong}: 2 errors" in err
    assert "no/such.yaml: 1 error" in err


def test_problems_as_json_are_the_product(run, wrong):
    code, out, err = run("check", wrong, TINY, "--format", "json")
    found = json.loads(out)

    assert code == 1
    assert err == ""
    assert [problem["code"] for problem in found] == ["C102", "C103"]
    assert found[0]["file"] == wrong
    assert (found[0]["line"], found[0]["column"]) == (7, 67)
    assert run("check", TINY, "--format", "json") == (0, "[]\n", "")


def test_a_dash_reads_stdin():
    done = fresh("check", "-", stdin=WRONG.encode())

    assert done.returncode == 1
    assert done.stdout == b""
    assert b"<stdin>:7:67: error[C102]" in done.stderr
    assert done.stderr.splitlines()[-1] == b"<stdin>: 2 errors"


def test_what_comes_from_stdin_cannot_extend_a_file():
    done = fresh("check", "-", stdin=b"extends: specs/transformer.yaml\nname: other\n")

    assert done.returncode == 1
    assert b"<stdin>:1:10: error[C110]" in done.stderr


# Usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "no/such.yaml"], "cannot read 'no/such.yaml'"),
        (["check", TRANSFORMER, "--size", "hug"], "no size 'hug'"),
        (["check", TINY, "--set", "decoder.num_layers"], "NAME.OPTION=VALUE"),
        (["check", TINY, "--set", "decoder.num_layers="], "there is no value"),
        (["check", TINY, "--set", "decodr.num_layers=1"], "nothing is called 'decodr'"),
        (["check", TINY, "--set", "outputs.extra.from=decoder"], "nothing under outputs is called"),
        (["check", TINY, "--plugin", "no/such.py"], "cannot read plugin 'no/such.py'"),
        (["check", TINY, "--format", "xml"], "xml"),
        (["check"], "Missing argument"),
        (["chek"], "chek"),
        (["kinds", "atention"], "did you mean 'attention'?"),
        (["draw", TINY, "-o", "model.jpeg"], "give --format"),
        (["draw", TINY, "--depth", "3"], "depth"),
    ],
)
def test_wrong_usage_is_2_and_says_why(run, arguments, said):
    code, out, err = run(*arguments)

    assert code == 2
    assert out == ""
    assert said in err


def test_a_value_from_set_is_used_and_a_wrong_one_is_found(run):
    _, one, _ = run("check", TINY, "--set", "decoder.num_layers=1")
    code, _, err = run("check", TINY, "--set", "decoder.attention.num_heads=3")

    assert one.endswith(
        f"{composer.graph(TINY, overrides=['decoder.num_layers=1']).parameters:,} parameters\n"
    )
    assert code == 1
    assert "num_heads 3" in err


def test_version_and_module():
    done = fresh("--version")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"composer ")


def test_help_names_every_command(run):
    code, out, _ = run("--help")

    assert code == 0
    for command in (
        "check",
        "build",
        "draw",
        "watch",
        "describe",
        "expand",
        "emit",
        "convert",
        "export-weights",
        "import",
        "kinds",
        "schema",
    ):
        assert command in out


# Colour


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environment", "terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {}, True, False),
    ],
)
def test_colours_are_for_terminals_unless_said_otherwise(
    monkeypatch, choice, environment, terminal, expected
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(output.settings, "color", output.ColorChoice(choice))

    assert output.colored(Terminal() if terminal else io.StringIO()) is expected


def test_the_option_stands_before_or_after_the_command(run, wrong):
    assert "\x1b[" in run("check", wrong, "--color", "always")[2]
    assert "\x1b[" in run("--color", "always", "check", wrong)[2]
    assert "\x1b[" not in run("check", wrong)[2]
    assert "\x1b[" in run("describe", TINY, "--color", "always")[1]
    assert "\x1b[" not in run("describe", TINY)[1]


# build


def test_build_writes_everything_and_says_what(run, tmp_path):
    out = tmp_path / "deep" / "model"
    code, text, err = run("build", TRANSFORMER, "--size", "small", "--out", out)
    spec = composer.load(TRANSFORMER, size="small")

    assert (code, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == WRITTEN
    assert (out / "model.py").read_text() == composer.source(spec)
    assert (out / "spec.yaml").read_text() == expand(spec, composer.graph(spec))
    assert json.loads((out / "summary.json").read_text())["parameters"] == 958_464
    assert "958,464 parameters" in (out / "summary.txt").read_text()
    assert (out / "diagram.svg").read_bytes().lstrip().startswith((b"<?xml", b"<svg"))
    assert "958,464 parameters" in text
    for name in WRITTEN:
        assert str(out / name) in text
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_what_is_written_does_not_depend_on_the_terminal(run, tmp_path, monkeypatch):
    run("build", TINY, "--out", tmp_path / "pipe")
    monkeypatch.setenv("COLUMNS", "60")
    run("build", TINY, "--out", tmp_path / "narrow", "--color", "always")

    for name in WRITTEN:
        assert (tmp_path / "pipe" / name).read_bytes() == (tmp_path / "narrow" / name).read_bytes()


def test_the_written_model_runs_without_composer(run, tmp_path):
    run("build", TINY, "--out", tmp_path / "made")
    code = (
        "import sys; sys.modules['composer'] = None; sys.path.insert(0, sys.argv[1])\n"
        "import torch, model\n"
        "made = model.TinyLm()\n"
        "print(sum(p.numel() for p in made.parameters()))\n"
        "print(tuple(made(tokens=torch.zeros(1, 5, dtype=torch.int64)).logits.shape))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "made")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(composer.graph(TINY).parameters), "(1, 5, 256)"]


def test_linked_source_imports_the_layers(run, tmp_path):
    run("build", TINY, "--out", tmp_path, "--linked")

    assert (tmp_path / "model.py").read_text() == composer.source(TINY, mode="linked")


def test_a_dry_run_says_what_it_would_write_and_writes_nothing(run, tmp_path):
    code, text, _ = run("build", TINY, "--out", tmp_path / "made", "--dry-run")

    assert code == 0
    assert "would write" in text
    assert str(tmp_path / "made" / "model.py") in text
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_for_a_wrong_spec(run, wrong, tmp_path):
    code, text, err = run("build", wrong, "--out", tmp_path / "made")

    assert code == 1
    assert text == ""
    assert err.splitlines()[-1] == f"{wrong}: 2 errors"
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


def test_nothing_is_written_where_the_emitted_source_is_no_python(run, tmp_path, monkeypatch):
    monkeypatch.setattr("composer.targets.source.emit.emit", lambda *_: "def f(:\n")
    code, _, err = run("build", TINY, "--out", tmp_path / "made")

    assert code == 101
    assert "please report it" in err
    assert list(tmp_path.iterdir()) == []


def test_other_files_of_the_folder_stay(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "model.py").write_text("old")
    run("build", TINY, "--out", tmp_path)

    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "model.py").read_text() == composer.source(TINY)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*WRITTEN, "notes.txt"])


def test_a_file_that_cannot_be_written_leaves_all_as_it_was(run, tmp_path):
    (tmp_path / "model.py").write_text("old")
    (tmp_path / "summary.txt").mkdir()
    code, _, err = run("build", TINY, "--out", tmp_path)

    assert code == 2
    assert "summary.txt: is a directory" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.py", "summary.txt"]
    assert (tmp_path / "model.py").read_text() == "old"


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_an_error_while_files_are_put_into_place_takes_them_back(tmp_path, monkeypatch, fails_at):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "a").write_bytes(b"old a")
    (folder / "b").write_bytes(b"old b")
    rename, calls = Path.rename, iter(range(1, 100))

    def fail_once(path: Path, target: Path) -> Path:
        if next(calls) == fails_at:
            raise OSError(28, "No space left on device", str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    written = {"a": b"new a", "b": b"new b", "c": b"new c"}
    if fails_at == 6:  # each of two moves out and in, and one in
        files.write_folder(folder, written)
        return
    with pytest.raises(OSError, match="No space left"):
        files.write_folder(folder, written)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a": b"old a",
        "b": b"old b",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_without_graphviz_the_rest_is_written_and_the_exit_code_is_3(run, tmp_path, no_graphviz):
    code, text, err = run("build", TINY, "--out", tmp_path / "made")

    assert code == 3
    assert "error[D301]: no Graphviz was found" in err
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        name for name in WRITTEN if name != "diagram.svg"
    ]
    assert "diagram.svg" not in text


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("tiny-lm", None, "tiny-lm"),
        ("tiny-lm", "big", "tiny-lm-big"),
        ("transformer-big", "big", "transformer-big"),
        ("../../etc/passwd", None, "etc-passwd"),
        ("a b\n/c", None, "a-b-c"),
        ("..", "x", "model-x"),
        ("模型", None, "model"),
    ],
)
def test_a_folder_is_named_after_the_model(name, size, expected):
    assert folder_name(name, size) == expected


def test_the_folder_is_build_name_unless_said(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("build", TRANSFORMER, "--size", "small")

    assert sorted(path.name for path in (tmp_path / "build/transformer-small").iterdir()) == WRITTEN


# draw


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("svg", b"<"),
        ("png", b"\x89PNG"),
        ("pdf", b"%PDF"),
        ("dot", b"digraph"),
        ("mmd", b"---\ntitle: "),
        ("mermaid", b"---\ntitle: "),
        ("html", b"<!doctype html>"),
    ],
)
def test_draw_writes_the_format_that_the_file_is_called(run, tmp_path, form, start):
    path = tmp_path / f"model.{form}"
    code, out, err = run("draw", TINY, "-o", path)

    assert (code, out) == (0, "")
    assert path.read_bytes().lstrip().startswith(start)
    assert f"wrote {path}" in err


def test_draw_without_a_file_writes_to_stdout(run):
    graph = composer.graph(TINY)
    _, out, err = run(
        "draw", TINY, "--format", "dot", "--theme", "dark", "--depth", "2", "--direction", "right"
    )

    assert out == diagram.draw(graph, theme="dark", depth=2, direction="right")
    assert err == ""


@pytest.mark.parametrize("form", ["svg", "html"])
def test_draw_without_graphviz_is_3_and_writes_the_dot(run, tmp_path, no_graphviz, form):
    code, _, err = run("draw", TINY, "-o", tmp_path / f"model.{form}")
    kept = tmp_path / "model.dot"

    assert code == 3
    assert "error[D301]: no Graphviz was found" in err
    assert f"wrote {kept}, which any Graphviz can draw" in err
    assert list(tmp_path.iterdir()) == [kept]
    assert kept.read_text(encoding="utf-8") == diagram.draw(composer.graph(TINY))


def test_mermaid_needs_no_graphviz(run, no_graphviz):
    code, out, err = run("draw", TINY, "--format", "mermaid", "--direction", "right")

    assert (code, err) == (0, "")
    assert out == diagram.draw_mermaid(composer.graph(TINY), direction="right")


def test_a_page_follows_the_readers_theme_unless_said(run):
    _, auto, _ = run("draw", TINY, "--format", "html")
    _, dark, _ = run("draw", TINY, "--format", "html", "--theme", "dark")

    assert '<html lang="en">' in auto
    assert '<html lang="en" data-theme="dark">' in dark


# The texts


def test_describe_as_json_and_csv(run):
    _, text, _ = run("describe", TINY, "--format", "json")
    _, lines, _ = run("describe", TINY, "--format", "csv")

    assert json.loads(text)["parameters"] == composer.graph(TINY).parameters
    assert len(lines.splitlines()) == 1 + len(json.loads(text)["parts"])


def test_describe_says_what_a_model_costs(run):
    _, text, _ = run("describe", TINY, "--batch", "2", "--set-length", "tokens=64")
    _, held, _ = run("describe", TINY, "--mode", "inference", "--dtype", "bf16")
    _, forms, _ = run("describe", TINY, "--formula")

    assert "batch 2, tokens 64, fp32" in text
    assert "FLOPs" in text
    assert "most memory" in text
    assert "a step" in held
    assert "batch*tokens" in forms


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--budget", "1kB"], 1, "more than 1 kB"),
        (["--budget", "5"], 2, "a budget needs a unit"),
        (["--set-length", "token=5"], 2, "did you mean 'tokens'?"),
        (["--set-length", "tokens"], 2, "wants NAME=STEPS"),
        (["--set-length", "batch=2", "--batch", "2"], 2, "batch is given twice"),
    ],
)
def test_describe_refuses_what_cannot_be(run, options, code, why):
    status, out, err = run("describe", TINY, *options)

    assert (status, out) == (code, "")
    assert why in err


def test_describe_within_a_budget_is_described(run):
    status, out, _ = run("describe", TINY, "--budget", "1TB")

    assert status == 0
    assert "parameters" in out


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _, described, _ = run("describe", TRANSFORMER)
    _, listed, _ = run("kinds")

    assert max(map(len, [*described.splitlines(), *listed.splitlines()])) <= width
    assert "6 × 1,050,624" in described
    assert "decoder.embed with encoder.embed.tokens" in described
    assert "63,082,496 parameters: 252.3 MB in fp32, 126.2 MB in bf16" in described


def test_expand_and_emit_print_what_the_functions_give(run):
    spec = composer.load(TRANSFORMER, size="small")

    assert run("expand", TRANSFORMER, "--size", "small")[1] == expand(spec, composer.graph(spec))
    assert run("emit", TINY)[1] == composer.source(TINY)
    assert run("emit", TINY, "--linked")[1] == composer.source(TINY, mode="linked")


def test_schema_is_json(run):
    assert json.loads(run("schema")[1])["title"] == "composer spec"


def test_kinds_lists_every_kind(run):
    _, text, _ = run("kinds")
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}

    assert {kind for kind, cls in KINDS.items() if cls.__module__.startswith("composer.")} <= listed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kinds_explains_each_with_all_of_its_options(run, kind):
    code, text, _ = run("kinds", kind)

    assert code == 0
    for name in KINDS[kind].model_fields:
        assert name == "kind" or name in text
    assert "anything" not in text


# Faults and endings


def test_a_fault_of_ours_is_101_and_asks_for_a_report(run, monkeypatch):
    def fail(*_arguments: object) -> None:
        raise KeyError("what")

    monkeypatch.setattr("composer.cli.reading.build_graph", fail)
    code, out, err = run("describe", TINY)
    debugged = run("--debug", "describe", TINY)[2]

    assert code == 101
    assert out == ""
    assert "error[I901]: KeyError" in err
    assert "please report it" in err
    assert "composer 0." in err
    assert "Traceback" not in err
    assert "Traceback" in debugged


def test_text_from_elsewhere_cannot_move_the_cursor(run, monkeypatch):
    def fail(*_arguments: object) -> None:
        raise SpecError([Problem("C102", "unknown key '\x1b[2J'", None)])

    monkeypatch.setattr("composer.cli.reading.build_graph", fail)

    assert "\x1b" not in run("describe", TINY)[2]


def test_a_reader_that_stops_is_no_error():
    command = [sys.executable, "-m", "composer", "schema"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        err = process.stderr.read()

    assert (process.returncode, err) == (0, b"")


def test_products_are_utf_8_whatever_the_locale():
    done = fresh("describe", TINY, PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.returncode == 0, done.stderr
    assert "4 × " in done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", TRANSFORMER],
        ["describe", TINY],
        ["expand", TINY],
        ["emit", TINY],
        ["draw", TINY, "--format", "dot"],
        ["build", TINY, "--dry-run"],
        ["kinds", "attention"],
        ["schema"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_command_loads_torch_and_check_no_tables(arguments):
    code = (
        "import sys; from composer.cli import main\n"
        f"code = main({arguments!r})\n"
        "heavy = {'torch', 'numpy', 'transformers', *sys.argv[1:]}\n"
        "loaded = heavy & {*sys.modules}\n"
        "sys.exit(f'{code} {loaded}' if code or loaded else 0)"
    )
    tables = ["rich", "networkx"] if arguments[0] == "check" else []
    done = subprocess.run(
        [sys.executable, "-c", code, *tables], capture_output=True, check=False, cwd=ROOT
    )

    assert done.returncode == 0, done.stderr.decode()
