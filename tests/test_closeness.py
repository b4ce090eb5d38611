"""The quick comparison passes and fails where NumPy's does."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.closeness import assert_close

NUMBERS = [0.0, -0.0, 1.0, 1.0 + 1e-9, 1.1, 1e-9, np.inf, -np.inf, np.nan, 1 + 1e-9j, complex(np.inf, 1.0)]
OTHERS = [1.0, None, True, 1, np.float32(1.0), np.float32(1.1), np.float16(1.0), np.uint8(1), np.ones(1)]
ROWS = [[1.0, 1.0], [1.0, 1.0 + 1e-9], [1.0, np.inf], [1.1, np.inf], [1.0, np.nan], [[1.0, 1.0]]]
VALUES = [*map(np.asarray, [*NUMBERS, *ROWS]), *OTHERS, np.ones((0, 2)), np.ones((0, 3))]


def passes(compare, *arguments):
    try:
        compare(*arguments)
    except (AssertionError, TypeError):  # the second for None
        return False
    return True


@pytest.mark.parametrize(("rtol", "atol"), [(1e-7, 0.0), (0.0, 1e-7)])
def test_it_is_assert_allclose(rtol, atol):
    outcomes = set()
    for got, want in product(VALUES, repeat=2):
        expected = passes(np.testing.assert_allclose, got, want, rtol, atol)
        assert passes(assert_close, got, want, rtol, atol) is expected, (got, want)
        outcomes.add(expected)
    assert outcomes == {True, False}
