"""What several test files ask for."""

import gc

import pytest


@pytest.fixture
def no_collector():
    """Without the cyclic collector; at the end it must find nothing to do."""
    while gc.collect():  # what other tests left may take several rounds
        pass
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "reference cycles were left"
    finally:
        gc.enable()
