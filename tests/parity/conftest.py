"""Fixtures of the comparisons with other implementations."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums have one order, and small models are quick."""
