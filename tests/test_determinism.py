"""The same bits from the same seed, whatever the process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg

PROGRAM = """
import sys
import numpy as np
import nn
import tensorgrad as tg

litter = [bytearray(int(n)) for n in np.random.default_rng(int(sys.argv[1])).integers(1, 5_000, 500)]
rng = np.random.default_rng(0)
X, y = rng.normal(size=(256, 20)), rng.integers(0, 4, 256)
model = nn.MLP([20, 64, 64, 4], norm="batch", dropout=0.2, rng=0)
optimizer = nn.AdamW(model.parameters(), lr=1e-2)
for i in range(50):
    optimizer.zero_grad()
    h = model(X)
    loss = nn.functional.cross_entropy(h, y) + 1e-3 * sum((p * p).sum() for p in model.parameters())
    loss.backward()
    optimizer.step()
sys.stdout.buffer.write(b"".join(p.data.tobytes() for p in model.parameters()))
"""


def weights(hash_seed: int, threads: int = 1) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    root = str(Path(tg.__file__).parent.parent)
    command = [sys.executable, "-c", PROGRAM, str(hash_seed)]
    return subprocess.run(command, capture_output=True, check=True, env=environment, cwd=root).stdout


@pytest.mark.promise("K1")
def test_five_processes_end_with_the_same_bits():
    runs = {weights(seed) for seed in range(5)}
    assert len(runs) == 1
    assert len(next(iter(runs))) > 8 * 20 * 64


@pytest.mark.promise("K3")
def test_threads_of_the_blas_change_no_more_than_the_last_bits():
    """Bits may differ by the number of BLAS threads and by the processor: within 1e-12 here."""
    one, two = (np.frombuffer(weights(0, threads), dtype=np.float64) for threads in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
