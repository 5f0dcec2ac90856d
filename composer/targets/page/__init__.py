"""A page of a model: one HTML file with its drawings and what is known of each part."""

from .page import page

__all__ = ["page"]
