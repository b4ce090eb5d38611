"""Fixtures that several test files use."""

import gc

import pytest


@pytest.fixture
def no_collector():
    """Run a test without the cyclic collector, which must find nothing to do at the end."""
    while gc.collect():  # garbage from other tests may take several rounds
        pass
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "reference cycles were left"
    finally:
        gc.enable()
