"""Diagrams: a graph as DOT, and DOT as SVG, PNG or PDF."""

from .changes import Changes
from .describe import describe
from .drawing import MOST, draw, fitting_depth
from .rendering import DrawingError, render

__all__ = ["MOST", "Changes", "DrawingError", "describe", "draw", "fitting_depth", "render"]
