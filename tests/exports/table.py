"""`make exports`: every spec as ONNX and as a program of torch, as the table in the docs.

python -m tests.exports.table docs/reference/export.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

import composer
from composer.integrations.exporting import ExportError, Format
from tests.exports.cases import Small, cases, out

PAGE = """\
# What exports

Each spec, made small, is exported with random parameters, read again and run beside the model at
two batches and two sets of lengths that the exporter did not see. The numbers are the largest
differences of any output, relative to its largest number; `composer export` refuses more than 1e-5.
`make exports` writes this page with torch VERSION.

| spec | onnx | torch-export |
|---|---:|---:|
"""


def row(case: Small, folder: Path) -> str:
    """One line of the table."""
    return f"| {case} | {result(case, folder, 'onnx')} | {result(case, folder, 'torch-export')} |"


def result(case: Small, folder: Path, to: Format) -> str:
    """The largest difference, or why there is none."""
    try:
        made = composer.export(case.load(), out(case, folder, to), to=to)
    except ExportError as error:
        return error.problems[0].message
    return f"{made.difference:.1e}"


def main() -> None:
    """Writes the page."""
    torch.set_num_threads(1)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            lines.append(row(case, Path(folder)))
            sys.stderr.write(f"{lines[-1]}\n")
    page = PAGE.replace("VERSION", torch.__version__.partition("+")[0])
    Path(sys.argv[1]).write_text(page + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
