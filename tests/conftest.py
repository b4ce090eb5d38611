"""Fixtures that several test files share."""

import gc

import pytest


@pytest.fixture
def no_collector():
    """Turn the cyclic collector off; at the end it must find nothing to collect."""
    while gc.collect():  # garbage from other tests may take several rounds
        pass
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "reference cycles were left"
    finally:
        gc.enable()
