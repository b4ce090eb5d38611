"""Writes the files beside it, which tests/nn/test_files_golden.py reads. They were written once, and stay.

    python tests/nn/golden/write.py

"big-endian.npz" has its numbers in the byte order that nn.save never writes, but other programs and systems may.
"""

from pathlib import Path
from unittest import mock

import numpy as np

import nn
from nn._files import header, npz

FOLDER = Path(__file__).parent


def golden():
    """A model and its optimiser, of numbers that are exact in every dtype, and something beside them."""
    rng = np.random.Generator(np.random.PCG64(5))
    model = nn.Sequential(
        nn.Linear(3, 2), nn.BatchNorm(2, dtype=np.float64), nn.Dropout(0.25, rng=rng), nn.LeakyReLU(0.5)
    )
    model[0].W.data[...] = np.arange(6).reshape(3, 2) / 8
    model[0].b = nn.Parameter(np.array([[1.0, 2.0], [3.0, 4.0]], np.float16).T[0])
    model[1].running_mean.data[...] = [-0.0, 5e-324]
    model[1].gamma.requires_grad = False
    model[2].shared = nn.Dropout(0.125, rng=rng)
    model.table = np.arange(6, dtype=np.int16).reshape(2, 3).T
    model.note = ("naïve", None, {1: np.float32(0.1)}, float("inf"), np.dtype("f8"))
    optimizer = nn.SGD([{"params": [model[0].W], "lr": 0.5}, {"params": [model[0].b]}], lr=0.25, momentum=0.5)
    model[0].W.grad = np.ones((3, 2), np.float32)
    optimizer.step()
    rng.bit_generator.random_raw(3)
    return model.eval(), optimizer, {"epoch": 7, "seed": 2**100, "mask": np.array([True, False])}


def big_endian(array):
    return np.asarray(array, array.dtype.newbyteorder(">"), order="C")


if __name__ == "__main__":
    nn.save(FOLDER / "model.npz", *golden())
    nn.save(FOLDER / "model.safetensors", *golden())
    with mock.patch.object(npz, "storable", big_endian), mock.patch.object(header, "storable", big_endian):
        nn.save(FOLDER / "big-endian.npz", *golden())
