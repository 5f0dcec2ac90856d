"""Diagrams: a graph as DOT or Mermaid, and DOT as SVG, PNG or PDF."""

from .changes import Changes
from .describe import describe
from .drawing import MOST, draw, draw_mermaid, fitting_depth
from .pen import Direction
from .rendering import DrawingError, mark_of, render
from .theme import Theme

__all__ = [
    "MOST",
    "Changes",
    "Direction",
    "DrawingError",
    "Theme",
    "describe",
    "draw",
    "draw_mermaid",
    "fitting_depth",
    "mark_of",
    "render",
]
