"""What all tests share: golden files, compared or rewritten, and a browser where there is one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from composer.cli import main

os.environ.pop("COLUMNS", None)  # tables are as wide as they are, whatever runs the tests
SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"


def pytest_addoption(parser):
    parser.addoption(
        "--update", action="store_true", help="rewrite golden files instead of comparing with them"
    )
    parser.addoption(
        "--all-sizes", action="store_true", help="build every model that scaling finds, on meta"
    )
    parser.addoption(
        "--all-meshes", action="store_true", help="train on meshes of two kinds at once"
    )


@pytest.fixture
def golden(request):
    """`golden(path, text)`: the file holds exactly that text; with --update it is rewritten."""
    update = request.config.getoption("--update")

    def compare(path: Path, text: str) -> None:
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path.name} is missing; --update writes it"
        assert path.read_text(encoding="utf-8") == text

    return compare


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
def one_thread():
    """torch computes on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, driven by Playwright; tests skip where either is missing."""
    driver = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with driver.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if root else []
        )
        yield browser
        browser.close()


@pytest.fixture
def screenshot():
    """`screenshot(page, name)` keeps what a page shows in build/screenshots."""

    def keep(page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return keep
