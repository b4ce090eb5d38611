"""Windows are views, and the engine must take that into account."""

import numpy as np
import pytest

import tensorgrad as tg


def test_a_write_to_memory_under_windows_is_detected():
    x = tg.Tensor(np.arange(5.0), requires_grad=True)
    y = tg.square(tg.strided_windows(x, 2)).sum()
    tg.writes_to(x, "somebody")[...] = 0.0
    with pytest.raises(tg.InplaceError, match=r"square .* saved its input .strided_windows.*somebody has written"):
        y.backward()


def test_a_write_to_a_result_under_windows_is_refused():
    x = tg.Tensor(np.arange(5.0), requires_grad=True)
    y = 2.0 * x
    windows = tg.strided_windows(y, 2)
    with pytest.raises(tg.InplaceError, match="strided_windows"):
        y[0] = 1.0
    del windows
    y[0] = 1.0


def test_padded_windows_have_memory_of_their_own():
    x = tg.Tensor(np.arange(3.0), requires_grad=True)
    y = 2.0 * x
    windows = tg.strided_windows(y, 2, padding=1)
    y[0] = 1.0
    assert windows.data[0].tolist() == [0.0, 0.0]


def test_splitting_a_convolution_into_blocks_does_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 2, 4, 4)), rng.normal(size=(3, 2, 2, 2))
    g = rng.normal(size=(5, 3, 3, 3))
    results = []
    for size in (1, 2**10, 2**18):
        monkeypatch.setattr("tensorgrad.engine.convolutions._BLOCK", size)
        leaves = tg.Tensor(x, requires_grad=True), tg.Tensor(w, requires_grad=True)
        out = tg.conv(*leaves)
        out.backward(g)
        results.append((out.data, leaves[0].grad, leaves[1].grad))
    for other in results[:2]:
        for a, b in zip(other, results[2], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
