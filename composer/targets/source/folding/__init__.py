"""Folding of definitions for one model, and the layout of what is left."""

from .tidying import tidy
from .uses import fold_for_model

__all__ = ["fold_for_model", "tidy"]
