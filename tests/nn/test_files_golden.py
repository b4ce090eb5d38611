"""Files that were written by an earlier version, and in another byte order (L12)."""

from pathlib import Path

import numpy as np
import pytest

import nn

FOLDER = Path(__file__).parent / "golden"
FILES = ["model.npz", "model.safetensors", "big-endian.npz"]


@pytest.mark.promise("L12")
def test_all_are_here():
    assert sorted(FILES) == sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".npz", ".safetensors"))
    assert b"'>f8'" in (FOLDER / "big-endian.npz").read_bytes()
    assert b"'>f8'" not in (FOLDER / "model.npz").read_bytes()
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 20_000


@pytest.mark.promise("L12")
@pytest.mark.parametrize("name", FILES)
def test_golden_files(name):
    model, optimizer, extra = nn.load(FOLDER / name)
    assert [type(layer) for layer in model] == [nn.Linear, nn.BatchNorm, nn.Dropout, nn.LeakyReLU]
    assert not any(module.training for module in model.modules())
    weight, bias = model[0].W, model[0].b
    np.testing.assert_array_equal(weight.data, np.array([[0, 1], [2, 3], [4, 5]], np.float32) / 8 - 0.5)
    np.testing.assert_array_equal(bias.data, np.array([1.0, 3.0]))
    assert (weight.dtype, bias.dtype, model[1].gamma.dtype) == (np.float32, np.float16, np.float64)
    assert all(tensor.dtype.isnative for tensor in (*model.parameters(), *model.buffers()))
    assert model[1].running_mean.data.tobytes() == np.array([-0.0, 5e-324]).tobytes()
    assert [p.requires_grad for p in model.parameters()] == [True, True, False, True]
    assert (model[2].p, model[2].shared.p, model[3].negative_slope) == (0.25, 0.125, 0.5)
    assert repr(model.note) == "('naïve', None, {1: np.float32(0.1)}, inf, dtype('float64'))"
    np.testing.assert_array_equal(model.table, [[0, 3], [1, 4], [2, 5]])
    assert model.table.dtype == np.int16
    assert model.table.dtype.isnative

    assert model[2].rng is model[2].shared.rng
    same = np.random.PCG64(5)
    same.random_raw(3)
    assert model[2].rng.bit_generator.random_raw(4).tolist() == same.random_raw(4).tolist()

    assert extra["epoch"] == 7
    assert extra["seed"] == 2**100
    assert extra["mask"].tolist() == [True, False]
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    assert optimizer.param_groups[0]["params"][0] is weight
    weight.grad, bias.grad = np.ones((3, 2)), np.ones(2)
    optimizer.step()  # momentum: 0.5 * 1 + 1 = 1.5
    np.testing.assert_array_equal(weight.data, np.array([[0, 1], [2, 3], [4, 5]], np.float32) / 8 - 0.5 - 0.75)
    np.testing.assert_array_equal(bias.data, [0.75, 2.75])
