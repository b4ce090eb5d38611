"""The engine's own functions of arrays, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.engine.arrays import array_functions, finite


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (100, 90), (1 << 17,), (3, 50_001), (450, 300)])
def test_finite_finds_a_single_bad_number_wherever_it_is(shape: Any, dtype: Any) -> None:
    plain = np.full(shape, 1.5, dtype)
    big = np.full(shape, np.finfo(dtype).max, dtype)  # whose squares overflow
    layouts: list[Any] = [lambda a: a, np.asfortranarray, lambda a: a[::-1] if a.ndim else a]
    for array in (plain, -big):
        for bad in (np.nan, np.inf, -np.inf):
            for place in (0, plain.size // 2, plain.size - 1):
                wrong = np.array(array)
                if array.size:
                    wrong.reshape(-1)[place] = bad
                with tg.silenced():
                    for layout in layouts:
                        assert finite(layout(array))
                        assert finite(layout(wrong)) == (not array.size)
    assert finite(np.broadcast_to(dtype(1.0), (500, 500)))
    assert not finite(np.broadcast_to(dtype(np.nan), (500, 500)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex128, np.int64])
def test_broadcast_to_makes_numpys_views(dtype: Any) -> None:
    array = np.arange(12).astype(dtype).reshape(3, 4)
    read_only = array.copy()
    read_only.flags.writeable = False
    cases: list[tuple[Any, tuple[int, ...]]] = [
        (array, (3, 4)),
        (array, (2, 3, 4)),
        (array[:1], (3, 4)),
        (array[:, :1].copy(), (5, 3, 4)),
        (array[0], (2, 0, 4)),
        (array[::2], (6, 2, 4)),
        (array.T, (2, 4, 3)),
        (array[:0], (2, 0, 4)),
        (array[0, 0], (2, 2)),
        (np.array(7, dtype), ()),
        (np.array(7, dtype), (2, 3)),
        (read_only, (1, 3, 4)),
    ]
    for given, shape in cases:
        got, expected = array_functions.broadcast_to(given, shape), np.broadcast_to(given, shape)
        assert np.array_equal(got, expected)
        assert got.dtype == expected.dtype
        assert got.strides == expected.strides
        assert not got.flags.writeable
        assert np.shares_memory(got, expected) == bool(expected.size and isinstance(given, np.ndarray))
    assert array_functions.broadcast_to(array[0, :1].copy(), 3).shape == (3,)
    for given, shape in [(array, (3, 5)), (array, (4,)), (array[0], (2, 3)), (array, ())]:
        with pytest.raises(ValueError, match=r"broadcast|remapping"):
            array_functions.broadcast_to(given, shape)
