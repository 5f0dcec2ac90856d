"""Python source of a model."""
