"""Diagrams: a graph as DOT or Mermaid, and DOT as SVG, PNG or PDF."""

from .changes import Changes
from .describe import describe
from .drawing import MOST, draw, draw_mermaid, fitting_depth
from .pen import Direction
from .rendering import DrawingError, has_program, mark_of, render
from .theme import Theme
from .view import Detail, View

__all__ = [
    "MOST",
    "Changes",
    "Detail",
    "Direction",
    "DrawingError",
    "Theme",
    "View",
    "describe",
    "draw",
    "draw_mermaid",
    "fitting_depth",
    "has_program",
    "mark_of",
    "render",
]
