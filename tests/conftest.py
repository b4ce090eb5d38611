"""Fixtures that several test files share."""

import faulthandler
import gc
import math
import os
import random
import signal
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
from _pytest.runner import runtestprotocol

import nn  # noqa: F401  # before a file of it is collected for its doctests: pytest would import that one a second time

from .noise import blas_noise

HANG = 600  # seconds until the stacks of a test that hangs are printed, or up to a minute less

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each child, and there are a hundred, would compile nn anew: 0.3 s
os.environ["TENSORGRAD_CACHE"] = ""  # what other runs left on disk would decide when steps change to native code

# The noise refuses NumPy 2.0.0, whose ufuncs share their loops, and so would its doctest.
collect_ignore = ["noise.py"] if np.__version__ == "2.0.0" else []


def pytest_addoption(parser):
    parser.addoption(
        "--blas-noise",
        type=int,
        metavar="SEED",
        help="let BLAS and LAPACK return what another processor's might: off in the last place (tests/noise.py)",
    )
    parser.addoption("--file-order", type=int, metavar="SEED", help="run the files of tests in another order")


def pytest_collection_modifyitems(config, items):
    """Shuffle the files for --file-order; within each, the tests keep their order."""
    seed = config.getoption("--file-order")
    if seed is not None:
        files = list(dict.fromkeys(item.path for item in items))
        random.Random(seed).shuffle(files)
        position = {path: i for i, path in enumerate(files)}
        items.sort(key=lambda item: position[item.path])


class Watchdog:
    """Prints the stacks of a test that hangs. faulthandler_timeout would start a thread for each test."""

    def __init__(self):
        self.stderr = os.dup(sys.__stderr__.fileno())  # what pytest captures would be lost
        self.armed = -math.inf  # when the timer was last started

    def pytest_runtest_setup(self):
        now = time.monotonic()
        if now - self.armed >= 60:
            faulthandler.dump_traceback_later(HANG, file=self.stderr)
            self.armed = now

    def pytest_sessionfinish(self):
        faulthandler.cancel_dump_traceback_later()


class Brief:
    """Sends one report for most tests from a worker of xdist: three cost half of what an empty test costs.

    Not sent are a setup and a teardown that passed in less time than ``--durations`` lists, and the keywords.
    """

    def pytest_runtest_protocol(self, item, nextitem):
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed or report.duration > 0.005:
                report.keywords = {}
                hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


def pytest_configure(config):
    config.pluginmanager.register(Watchdog())
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Brief())


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    """Set up what holds for all tests. A fixture with autouse would be looked up for each of them."""
    seed = session.config.getoption("--blas-noise")
    # Ctrl-C raises: a shell that starts a command with & has it ignore SIGINT, and Python leaves it at that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with nullcontext() if seed is None else blas_noise(seed):
            return (yield)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the cyclic collector from what the collection makes: 40,000 tests, which it would walk again and again."""
    gc.disable()
    try:
        result = yield
        gc.collect()
        gc.freeze()
        return result
    finally:
        gc.enable()


@pytest.fixture
def strict(pytestconfig) -> list[str]:
    """Arguments of Python for which warnings are errors, but for those that the options of this run exempt."""
    return ["-W", "error", *(f"-W{rule}" for rule in pytestconfig.getoption("pythonwarnings") or ())]


@pytest.fixture
def no_collector():
    """Turn the cyclic collector off; at the end it must find nothing to collect."""
    while gc.collect():  # garbage from other tests may take several rounds
        pass
    gc.freeze()  # what is there now is not looked at again
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "reference cycles were left"
    finally:
        gc.enable()
