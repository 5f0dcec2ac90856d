"""Folding of definitions for one model."""

from .uses import fold_for_model

__all__ = ["fold_for_model"]
