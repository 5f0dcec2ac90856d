"""Graphs and rules that the tests share."""

import pytest

import composer
from tests.weights.samples import SAME, SPEC, TIED


@pytest.fixture
def graph():
    return composer.graph(SPEC)


@pytest.fixture
def tied():
    return composer.graph(TIED)


@pytest.fixture
def rules():
    return list(SAME)
