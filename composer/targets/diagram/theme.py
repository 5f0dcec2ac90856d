"""The palette: every colour of a drawing by what it is for, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from composer.components.component import Role

Theme = Literal["light", "dark", "auto"]
LineKind = Literal["data", "residual", "cross", "skip", "parallel", "shared", "weights"]

FONT = "Arial"
"""One name: Graphviz measures `Helvetica` 15 % too wide, and takes a list for no font at all."""

FONT_STACK = "Arial,Helvetica,'Liberation Sans',sans-serif"
"""What a browser is given instead; all of these have Arial's widths."""


@dataclass(frozen=True)
class Palette:
    """Colours by purpose. Nodes are pastel, lines saturated, so that the two are never confused."""

    canvas: str = "#FFFFFF"
    block: str = "#F8FAFC"
    nested: str = "#F1F5F9"
    border: str = "#94A3B8"
    title: str = "#0F172A"
    secondary: str = "#526076"
    badge: str = "#334155"
    badge_text: str = "#FEFEFE"
    io: str = "#64748B"
    attention: str = "#FFEDD5"
    attention_stroke: str = "#F5B371"
    feed_forward: str = "#DBEAFE"
    feed_forward_stroke: str = "#93BEF5"
    norm: str = "#FEF9C3"
    norm_stroke: str = "#E5CB4A"
    embedding: str = "#FCE7F3"
    embedding_stroke: str = "#F0A3C8"
    projection: str = "#EDE9FE"
    projection_stroke: str = "#BBA8F5"
    head: str = "#DCFCE7"
    head_stroke: str = "#7FD6A0"
    resample: str = "#CCFBF1"
    resample_stroke: str = "#6BCFC3"
    data: str = "#475569"
    residual: str = "#2563EB"
    cross: str = "#C2410C"
    skip: str = "#047857"
    parallel: str = "#7C3AED"
    shared: str = "#BE185D"
    added: str = "#16A34A"
    changed: str = "#D97706"
    removed: str = "#DC2626"
    frozen: str = "#155E75"

    def named(self, name: str) -> str:
        """The colour of a name."""
        return str(getattr(self, name))

    def line(self, kind: LineKind) -> str:
        """The colour of a kind of line."""
        return str(getattr(self, "data" if kind == "weights" else kind))

    def box(self, role: Role) -> tuple[str, str]:
        """Fill and border of a component's box."""
        fill, stroke = BOXES.get(role, BOXES["operator"])
        return str(getattr(self, fill)), str(getattr(self, stroke))


LIGHT = Palette()
DARK = Palette(
    canvas="#0D1117", block="#161B22", nested="#1C232C", border="#4A5562",
    title="#F0F6FC", secondary="#9DA7B3", badge="#D0D7DE", badge_text="#0D1117", io="#7D8896",
    attention="#3B2313", attention_stroke="#A8642A",
    feed_forward="#12264A", feed_forward_stroke="#3E6DB0",
    norm="#332C0A", norm_stroke="#8F7A1C",
    embedding="#3D1529", embedding_stroke="#A34A78",
    projection="#271C4D", projection_stroke="#6E58B8",
    head="#0F2E1B", head_stroke="#2F8A55",
    resample="#0B2E2B", resample_stroke="#2B8C82",
    data="#AEB8C4", residual="#60A5FA", cross="#FB923C", skip="#34D399", parallel="#A78BFA",
    shared="#F472B6", added="#4ADE80", changed="#FBBF24", removed="#F87171",
    frozen="#67E8F9",
)  # fmt: skip

BOXES: Mapping[Role, tuple[str, str]] = {
    "input": ("canvas", "io"),
    "embedding": ("embedding", "embedding_stroke"),
    "position": ("canvas", "embedding_stroke"),
    "norm": ("norm", "norm_stroke"),
    "attention": ("attention", "attention_stroke"),
    "feed_forward": ("feed_forward", "feed_forward_stroke"),
    "convolution": ("feed_forward", "feed_forward_stroke"),
    "projection": ("projection", "projection_stroke"),
    "head": ("head", "head_stroke"),
    "resample": ("resample", "resample_stroke"),
    "operator": ("canvas", "data"),
    "combine": ("canvas", "data"),
    "gate": ("canvas", "data"),
}

WIDTHS: Mapping[LineKind, float] = {
    "data": 1.3,
    "residual": 1.5,
    "cross": 2.2,
    "skip": 1.9,
    "parallel": 1.5,
    "shared": 1.6,
    "weights": 1.0,
}
"""Pen widths: a kind of line is told by more than its colour."""

STYLES: Mapping[LineKind, str] = {"shared": "dotted", "weights": "dashed"}
"""Pen styles of the lines that are not solid."""

LEGEND: Mapping[LineKind, str] = {
    "data": "data",
    "residual": "residual",
    "cross": "cross-attention",
    "skip": "skip",
    "parallel": "parallel branch",
    "shared": "shared parameters: same letter, one set",
    "weights": "attention weights",
}


def palette(theme: Theme) -> Palette:
    """The colours of a theme; a drawing for both is the light one until it is an SVG."""
    return DARK if theme == "dark" else LIGHT


def tokens(colors: Palette) -> dict[str, str]:
    """Every colour by the name of its purpose, as it is written in an SVG."""
    return {f.name.replace("_", "-"): str(getattr(colors, f.name)).lower() for f in fields(colors)}
