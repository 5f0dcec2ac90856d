"""`composer watch`: the page follows the file, errors come and go, nobody else can reach it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from composer.cli import main
from composer.language.variants import files_of

for extra in ("starlette", "uvicorn", "watchfiles"):
    pytest.importorskip(extra)

ROOT = Path(__file__).resolve().parents[1]
SPEC = (ROOT / "specs/patterns/tiny_lm.yaml").read_text(encoding="utf-8")
WRONG = SPEC.replace("num_layers", "num_layer")


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def port(spec):
    """The port of a server that watches the spec."""
    command = [sys.executable, "-m", "composer", "watch", str(spec)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        said = server.stderr.readline()
        try:
            yield int(re.search(r"http://127\.0\.0\.1:(\d+)/", said)[1])
        finally:
            server.send_signal(signal.SIGINT)
            rest = server.stderr.read()
        server.wait(timeout=20)
    assert "Traceback" not in rest


def get(port, path, host="127.0.0.1"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        line = answer.readline() if path == "/events" else answer.read()
        return answer.status, dict(answer.getheaders()), line.decode()


def test_it_tells_what_it_draws_and_nothing_to_other_names(port):
    status, headers, text = get(port, "/")
    _, _, event = get(port, "/events")
    _, _, model = get(port, "/model")

    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert '<iframe id="model"' in text
    assert event == 'data: {"number": 1, "problems": "", "drawn": true}\n'
    assert model.startswith("<!doctype html>")
    assert get(port, "/", host="evil.example")[0] == 400
    assert get(port, "/events", host="evil.example:80")[0] == 400
    assert get(port, "/../pyproject.toml")[0] == 404


def test_an_error_is_shown_at_its_line_and_goes_when_it_is_mended(port, spec, chromium, screenshot):
    view = chromium.new_page(viewport={"width": 1400, "height": 900})
    said = []
    view.on("pageerror", lambda error: said.append(str(error)))
    view.goto(f"http://127.0.0.1:{port}/")
    model = view.frame_locator("#model")
    model.locator(".view:visible svg").wait_for()
    assert not view.locator("#problems").is_visible()

    spec.write_text(WRONG, encoding="utf-8")
    view.locator("#problems").wait_for(state="visible")
    line = next(i for i, text in enumerate(WRONG.splitlines(), 1) if "num_layer:" in text)
    shown = view.locator("#problems").inner_text()
    assert f"model.yaml:{line}:" in shown
    assert "did you mean 'num_layers'?" in shown
    assert model.locator(".view:visible svg").is_visible()  # the last good one stays
    screenshot(view, "watch-error")

    spec.write_text(SPEC.replace("Tiny language model", "Mended"), encoding="utf-8")
    view.locator("#problems").wait_for(state="hidden")
    model.get_by_role("heading", name="Mended").wait_for()
    screenshot(view, "watch-mended")
    view.close()
    assert said == []


def test_what_is_chosen_is_there_in_the_next_drawing(port, spec, chromium):
    view = chromium.new_page(viewport={"width": 1400, "height": 900})
    view.goto(f"http://127.0.0.1:{port}/")
    model = view.frame_locator("#model")
    model.get_by_label("Inside").check()
    model.locator("#zoom-in").click()
    model.locator("#theme").click()
    near = model.locator(".view:visible svg").get_attribute("viewBox")
    theme = model.locator("html").get_attribute("data-theme")

    spec.write_text(SPEC.replace("Tiny language model", "Another"), encoding="utf-8")
    model.get_by_role("heading", name="Another").wait_for()
    model.locator('.view[data-depth="2"]').wait_for(state="visible")
    assert model.get_by_label("Inside").is_checked()
    assert model.locator("html").get_attribute("data-theme") == theme
    assert model.locator(".view:visible svg").get_attribute("viewBox") == near
    view.close()


def test_the_bases_of_a_spec_are_watched_too(tmp_path):
    for name, text in (("a", "extends: b.yaml\n"), ("b", "extends: sub/c.yaml\n")):
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.yaml").write_text("composer: 1\n")

    found = files_of(tmp_path / "a.yaml")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.yaml", "b.yaml", "sub/c.yaml"]


def test_what_is_no_file_cannot_be_watched(capfd):
    assert main(["watch", "-"]) == 2
    assert "is not a file" in capfd.readouterr().err


def test_without_the_extra_it_says_how_to_get_it(spec, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "composer.cli.serving", raising=False)

    assert main(["watch", str(spec)]) == 3
    assert "pip install 'graph-composer[watch]'" in capfd.readouterr().err
