"""What several test files ask for, and what holds for all of them."""

import gc
import signal

import pytest

import nn  # noqa: F401  # before a file of it is collected for its doctests: pytest would import that one a second time


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Ctrl-C raises: a shell that starts a command with & has it ignore SIGINT, and Python leaves it at that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
