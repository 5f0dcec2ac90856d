"""What differs between two models, and what of a checkpoint of the first the second can use."""

from .compare import Change, Difference, compare
from .tensors import Fate, fates
from .text import removed, to_json, to_text

__all__ = ["Change", "Difference", "Fate", "compare", "fates", "removed", "to_json", "to_text"]
