"""The examples run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_unstable_gradients_tries_every_combination(strict):
    command = [sys.executable, *strict, str(ROOT / "examples" / "unstable_gradients.py")]
    done = subprocess.run(
        [*command, "--seeds", "1", "--epochs", "1"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(?:sigmoid|ReLU) .*?(?:\d\.\d{3}|nan) .*$", done.stdout, re.MULTILINE)
    assert len(rows) == 2 * 3 * 3 * 2 * 2


@pytest.mark.slow
def test_calibrate_monitor_agrees_with_the_truth(strict):
    command = [sys.executable, *strict, str(ROOT / "examples" / "calibrate_monitor.py"), "--seeds", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    equal = re.search(r"^(\d+) of 60 equal to the truth", done.stdout, re.MULTILINE)
    assert int(equal[1]) >= 57
    hard = re.findall(
        r"^(?:ReLU|tanh|sigmoid).*? ((?:\w+ or )?\w+) +(?:[+-]\d+\.\d\d +){3}(\w+) 1$", done.stdout, re.MULTILINE
    )
    assert len(hard) == 9
    assert all(verdict in expected for expected, verdict in hard)
