"""The torch half of every kind; these files import only torch, so that they can be copied."""
