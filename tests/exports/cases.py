"""Every spec of the project made small, and what becomes of it in each format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import composer
from composer.language.spec import ModelSpec
from tests.conformance import models
from tests.parity import (
    test_zoo_decoders,
    test_zoo_encoders,
    test_zoo_sequences,
    test_zoo_vision,
)

ROOT = models.ROOT
PROGRAMS = ("specs/bert.yaml", "specs/llama.yaml", "specs/wav2vec2.yaml-base")
"""Cases that are exported to torch in the tests of every day."""

MECHANISMS = {
    "shortened lengths": "specs/wav2vec2.yaml-base",
    "relative positions": "specs/t5.yaml",
    "disentangled positions": "specs/deberta_v2.yaml",
    "slopes": "specs/bloom.yaml",
    "experts": "specs/mixtral.yaml",
    "state spaces": "specs/mamba.yaml",
    "attention sinks": "specs/gpt_oss.yaml",
    "shifted windows": "specs/swin.yaml",
    "sliding windows": "specs/patterns/sliding.yaml",
    "rearranged axes": "specs/patterns/rearrange.yaml",
    "images and text": "specs/patterns/image_captioning.yaml",
}
"""Cases that are exported to ONNX there, one for each way to compute; `make exports` takes all."""


@dataclass(frozen=True)
class Small:
    """A spec made small."""

    path: str
    size: str | None = None
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.path if self.size is None else f"{self.path}-{self.size}"

    def load(self) -> ModelSpec:
        """The checked spec."""
        return composer.load(ROOT / self.path, size=self.size, overrides=self.overrides)


@cache
def cases() -> list[Small]:
    """Published models as they are compared with others, patterns, and what else has a small size."""
    found: dict[tuple[str, str | None], Small] = {}
    for module in (test_zoo_decoders, test_zoo_sequences, test_zoo_encoders, test_zoo_vision):
        for family in module.FAMILIES:
            path, size = f"specs/{family.spec}.yaml", family.size
            found.setdefault((path, size), Small(path, size, tuple(family.overrides())))
    for case in models.CASES:
        path = case.path.relative_to(ROOT).as_posix()
        if path.startswith("specs/"):
            found.setdefault((path, case.size), Small(path, case.size))
    return list(found.values())


def case_of(name: str) -> Small:
    """The case of a name."""
    return next(case for case in cases() if str(case) == name)


def specs() -> list[str]:
    """Every spec of the project."""
    folders = (ROOT / "specs", ROOT / "specs/patterns")
    return sorted(p.relative_to(ROOT).as_posix() for f in folders for p in f.glob("*.yaml"))


def out(case: Small, folder: Path, to: str) -> Path:
    """Where a case is written."""
    name = Path(case.path).stem if case.size is None else f"{Path(case.path).stem}-{case.size}"
    return folder / (name + {"onnx": ".onnx", "torch-export": ".pt2", "huggingface": ""}[to])
