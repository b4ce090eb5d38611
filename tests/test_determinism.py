"""The same bits from the same seed, in every process."""

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
X, y = rng.normal(size=(256, 20)).astype(sys.argv[2]), rng.integers(0, 4, 256)
model = nn.MLP([20, 64, 64, 4], norm="batch", dropout=0.2, rng=0).to(sys.argv[2])
optimizer = getattr(nn, sys.argv[3])(model.parameters(), lr=1e-2)
for i in range(50):
    optimizer.zero_grad()
    h = model(X)
    loss = nn.functional.cross_entropy(h, y) + 1e-3 * sum((p * p).sum() for p in model.parameters())
    loss.backward()
    optimizer.step()
sys.stdout.buffer.write(b"".join(p.data.tobytes() + p.grad.tobytes() for p in model.parameters()))
"""


def trained(hash_seed: int, threads: int = 1, dtype: str = "float64", optimizer: str = "AdamW") -> bytes:
    """The weights and last gradients after training in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    root = str(Path(tg.__file__).parent.parent)
    command = [sys.executable, "-c", PROGRAM, str(hash_seed), dtype, optimizer]
    return subprocess.run(command, capture_output=True, check=True, env=environment, cwd=root).stdout


@pytest.mark.promise("K1")
def test_five_processes_end_with_the_same_bits():
    runs = {trained(seed) for seed in range(5)}
    assert len(runs) == 1
    assert len(next(iter(runs))) > 8 * 20 * 64


@pytest.mark.promise("K3")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_blas_threads_change_only_the_last_bits(dtype, tolerance):
    """The number of BLAS threads and the processor may change the bits, but no more than this.

    Adam is left out: it divides a gradient that is pure rounding error by its own size.
    """
    one, two = (np.frombuffer(trained(0, threads, dtype, "SGD"), dtype) for threads in (1, 2))
    np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)
