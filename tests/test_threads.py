"""Eight threads with their own graphs, while Python switches between them as often as it can."""

import sys
import threading

import numpy as np
import pytest

import tensorgrad as tg


@pytest.mark.promise("J1")
def test_threads_with_separate_graphs():
    x = np.array([0.3, -1.2, 2.0])
    nested = 2 * np.cos(x) - x * np.sin(x)  # the second derivative of x sin(x)
    wrong = []

    def f(t):
        return (t * tg.sin(t)).sum()

    def work(number):
        for i in range(1_250):
            scale = float(number + i % 7)
            leaf = tg.Tensor(x, requires_grad=True)
            with tg.no_grad() if i % 2 else tg.enable_grad():
                inner = tg.grad(lambda t: tg.grad(f)(t).sum())(leaf)
            (scale * f(leaf)).backward()
            if not np.allclose(inner.data, nested, rtol=1e-12):
                wrong.append(("nested", number, i))
            if not np.allclose(leaf.grad, scale * (np.sin(x) + x * np.cos(x)), rtol=1e-12):
                wrong.append(("plain", number, i))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
