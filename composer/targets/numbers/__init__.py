"""Exact numbers of a model before it is built: operations, memory, cache."""
