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

FORMATS: tuple[Format, ...] = ("onnx", "torch-export")

PAGE = """\
# What exports

Each spec, made small, is exported with random parameters, read again and run beside the model at
two batches and two sets of lengths that the exporter did not see. The numbers are the largest
differences of any output, relative to its largest number; `composer export` refuses more than 1e-5.
`make exports` writes this page with torch VERSION.

| spec | onnx | torch-export |
|---|---:|---:|
"""


def row(case: Small, folder: Path) -> tuple[str, dict[str, None]]:
    """One line of the table, and why what it lacks is not there."""
    found = [result(case, folder, to) for to in FORMATS]
    cells = [each if isinstance(each, str) else f"{each:.1e}" for each in found]
    reasons = {each: None for each in found if isinstance(each, str)}
    return f"| {case} | {' | '.join('-' if cell in reasons else cell for cell in cells)} |", reasons


def result(case: Small, folder: Path, to: Format) -> float | str:
    """The largest difference, or why there is none."""
    try:
        return composer.export(case.load(), out(case, folder, to), to=to).difference
    except ExportError as error:
        return error.problems[0].message


def main() -> None:
    """Writes the page."""
    torch.set_num_threads(1)
    lines, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            line, reasons = row(case, Path(folder))
            lines.append(line)
            notes += [f"- {case}: {reason}" for reason in reasons]
            sys.stderr.write(f"{line}\n")
    if notes:
        lines += ["", "Refused:", "", *notes]
    page = PAGE.replace("VERSION", torch.__version__.partition("+")[0])
    Path(sys.argv[1]).write_text(page + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
