"""The torch half of every kind; these files import nothing but torch, so that they can be copied."""
