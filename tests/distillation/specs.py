"""A teacher and students of it, small."""

from __future__ import annotations

from pathlib import Path

CLASSES = """\
composer: 1
name: {name}
inputs: {{tokens: {{kind: tokens, vocab_size: 256, padding: {padding}}}}}
encoders:
  encoder: {{from: tokens, d_model: {width}, num_layers: {layers}, attention: {{num_heads: 2}}, dropout: {dropout}}}
outputs: {{kind: {{from: encoder, head: {{kind: classification, num_classes: 3}}}}}}
"""
LM = """\
composer: 1
name: {name}
inputs: {{tokens: {{kind: tokens, vocab_size: 256}}}}
decoders:
  decoder: {{from: tokens, d_model: {width}, num_layers: {layers}, attention: {{num_heads: 2, position: rope}}, dropout: {dropout}}}
outputs: {{logits: {{from: decoder, head: lm}}}}
"""


def written(
    folder: Path, distill: str, text: str = CLASSES, *, width: int = 16, layers: int = 2,
    padding: str = "0", dropout: float = 0.0, more: str = "", teacher: str = "",
) -> Path:  # fmt: skip
    """The path of a student; `teacher.yaml` of width 16 and 4 layers lies beside it."""
    big = text.format(name="teacher", width=16, layers=4, padding=padding, dropout=dropout)
    (folder / "teacher.yaml").write_text(big + teacher)
    small = text.format(
        name="student", width=width, layers=layers, padding=padding, dropout=dropout
    )
    path = folder / "student.yaml"
    path.write_text(f"{small}{more}distill:\n  teacher: {{spec: teacher.yaml}}\n{distill}")
    return path
