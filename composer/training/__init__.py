"""Training: checks of how training follows the sizes."""
