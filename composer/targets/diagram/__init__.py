"""Diagrams: a graph as DOT, and DOT as SVG, PNG or PDF."""

from .describe import describe
from .drawing import draw

__all__ = ["describe", "draw"]
