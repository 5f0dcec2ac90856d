"""composer: a compiler from YAML specs to PyTorch models."""
