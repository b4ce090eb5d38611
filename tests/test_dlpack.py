"""DLPack in both directions, without copies and safely."""

import subprocess
import sys

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import GraphError


def test_to_numpy_and_back_shares_memory():
    t = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    a = np.from_dlpack(t)
    assert np.shares_memory(a, t.data)
    back = tg.from_dlpack(t.data, requires_grad=True, name="w")
    assert np.shares_memory(back.data, t.data)
    assert (back.requires_grad, back.name) == (True, "w")
    assert t.__dlpack_device__() == (1, 0)


def test_history_is_not_cut_silently():
    x = tg.Tensor([1.0], requires_grad=True)
    for t in (x, x * 2):
        with pytest.raises(GraphError, match=r"DLPack.*detach\(\)"):
            np.from_dlpack(t)
        assert np.from_dlpack(t.detach()).shape == (1,)


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.arange(3.0)[::-1], "negative"), (np.broadcast_to(np.float64(1), (3,)), "read-only")],
)
def test_unsafe_exports_are_refused(array, words):
    t = tg.from_numpy(array)
    with pytest.raises(BufferError, match=rf"{words}.*copy=True"):
        np.from_dlpack(t)
    copied = np.from_dlpack(tg.asarray(t, copy=True))
    np.testing.assert_array_equal(copied, array)


@pytest.mark.peer
def test_exchange_with_pytorch_makes_no_copy():
    torch = pytest.importorskip("torch")
    t = tg.Tensor([1.0, 2.0])
    theirs = torch.from_dlpack(t)
    theirs[0] = 7.0
    assert t.data[0] == 7.0
    ours = tg.from_dlpack(torch.arange(3.0))
    np.testing.assert_array_equal(ours.data, [0, 1, 2])
    transposed = tg.from_numpy(np.arange(6.0).reshape(2, 3).T)
    assert torch.from_dlpack(transposed).tolist() == transposed.data.tolist()


@pytest.mark.peer
@pytest.mark.parametrize("expression", ["np.arange(3.0)[::-1]", "np.broadcast_to(np.float64(1), (3,))"])
def test_pytorch_neither_crashes_the_interpreter_nor_writes_to_read_only_memory(expression):
    pytest.importorskip("torch")
    program = f"""
import numpy as np, torch, tensorgrad as tg
try:
    torch.from_dlpack(tg.from_numpy({expression}))
except BufferError:
    print("refused")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "refused"
