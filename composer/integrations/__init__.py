"""Composer inside other tools: Sphinx, MkDocs, pre-commit."""
