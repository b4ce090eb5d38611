"""The examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_unstable_gradients_tries_every_combination():
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "unstable_gradients.py")]
    done = subprocess.run(
        [*command, "--seeds", "1", "--epochs", "1"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(?:sigmoid|ReLU) .*?(?:\d\.\d{3}|nan) .*$", done.stdout, re.MULTILINE)
    assert len(rows) == 2 * 3 * 3 * 2 * 2
