"""Debug mode: the first non-finite number, and writes behind the engine's back."""

import asyncio
import threading
import time

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.engine.mode import current
from tensorgrad.engine.record import record
from tensorgrad.errors import InplaceError, NonFiniteError

HERE = r"test_debugging\.py:\d+"


def leaf(*values, dtype=np.float64):
    return tg.Tensor(np.array(values, dtype), requires_grad=True)


FORWARD = {
    "log of zero": (
        lambda: tg.log(leaf(1.0, 0.0)),
        r"log produced 1 infinity .*\(2,\).*index \(1,\): log\(0\.0\) = -inf",
    ),
    "root of a negative": (lambda: tg.sqrt(leaf(-4.0, 1.0)), r"sqrt produced 1 NaN .*sqrt\(-4\.0\) = nan"),
    "0 / 0 and 1 / 0": (
        lambda: leaf(0.0, 1.0) / np.zeros(2),
        r"divide produced 1 NaN and 1 infinity .*divide\(0\.0, 0\.0\)",
    ),
    "overflow": (lambda: tg.exp(leaf(1.0, 1000.0)), r"exp produced 1 infinity .*from 1 to 1000"),
    "float16": (
        lambda: leaf(300.0, 2.0, dtype=np.float16) * leaf(300.0, 2.0, dtype=np.float16),
        r"multiply produced 1 infinity .*from 2 to 300",
    ),
    "a matrix": (
        lambda: tg.matmul(np.full((2, 2), 1e200), leaf(1e200, 1e200)),
        r"matmul produced 2 infinities .*\(0,\)",
    ),
    "NaN in the input": (lambda: leaf(1.0, np.nan) * 2.0, r"multiply produced 1 NaN .*Number 0 .* already had NaN"),
    "without a graph": (lambda: tg.log(tg.Tensor([0.0])), r"log produced 1 infinity"),
}


@pytest.mark.promise("I2", "E11")
@pytest.mark.parametrize("case", FORWARD)
def test_forward(case):
    f, words = FORWARD[case]
    with np.errstate(over="ignore"):  # NumPy warns about overflow
        f()
    with np.errstate(over="ignore"), tg.debug(), pytest.raises(NonFiniteError, match=words) as caught:
        f()
    assert f"called at {__file__}" in str(caught.value)


BACKWARD = {
    "root at zero": (lambda x: tg.sqrt(x), r"backward of sqrt for input 0 produced 1 infinity .*index \(0,\)"),
    "power at zero": (lambda x: x**0.5, r"backward of power for input 0 produced"),
    "a custom rule": (
        lambda x: record("mine", lambda a: a * 1, (x,), (lambda xp, g: g * np.nan,)),
        r"backward of mine for input 0 produced 2 NaN",
    ),
}


@pytest.mark.promise("I2")
@pytest.mark.parametrize("case", BACKWARD)
def test_backward(case):
    f, words = BACKWARD[case]
    x = leaf(0.0, 1.0)
    with tg.debug():
        loss = f(x).sum()
        with pytest.raises(NonFiniteError, match=words) as caught:
            loss.backward()
    assert f"called at {__file__}" in str(caught.value)
    assert x.grad is None


def test_an_infinity_in_the_input_is_accepted():
    with tg.debug():
        scores = leaf(1.0, 2.0) + np.array([0.0, -np.inf])  # a mask
        tg.softmax(scores)[0].backward()


def test_a_gradient_zeroed_by_a_dead_branch_is_not_an_error():
    x = leaf(0.0, 4.0)
    with tg.debug():
        y = tg.where(x.data > 0, tg.sqrt(x), 0.0)
        y.sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.25])


@pytest.mark.promise("I1")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_non_finite_loss_warns_once(value):
    x = leaf(1.0, 2.0)
    with pytest.warns(RuntimeWarning, match=rf"loss that is {value}, the result of sum, called at .*{HERE}") as said:
        (x * value).sum().backward()
    assert len(said) == 1
    assert not np.isfinite(x.grad).any()


# --- writes behind the engine's back ----------------------------------------------------------------------


def rewritten(array):
    array[0] = 9.0


WRITES = {
    "C2: the array behind from_numpy": (lambda a: tg.from_numpy(a, requires_grad=True), lambda x, a: a, "its input"),
    "C6: an earlier view": (
        lambda a: tg.from_numpy(a[::1], requires_grad=True),
        lambda x, a: a.reshape(-1),
        "its input",
    ),
    "C4: t.data": (lambda a: tg.Tensor(a, requires_grad=True), lambda x, a: x.data, "its input"),
}


@pytest.mark.promise("C2", "C4", "C6")
@pytest.mark.parametrize("case", WRITES)
def test_a_write_through_an_alias_is_detected(case):
    make, written, words = WRITES[case]
    a = np.array([1.0, 2.0, 3.0])
    with tg.debug():
        x = make(a)
        loss = (x * x).sum()
        rewritten(written(x, a))
        with pytest.raises(InplaceError, match=rf"multiply \(called at .*{HERE}\) saved {words}.*bytes have changed"):
            loss.backward()
    assert x.grad is None


@pytest.mark.promise("C4")
def test_an_update_of_data_is_detected():
    x = leaf(1.0, 2.0)
    with tg.debug():
        loss = (x * x).sum()
        x.data *= 2
        with pytest.raises(InplaceError, match=r"multiply .*saved its input.*t\.data, was written to"):
            loss.backward()
    assert x.grad is None


@pytest.mark.promise("C3")
def test_a_write_to_a_constant_is_detected():
    a = np.array([1.0, 2.0])
    x = leaf(3.0, 4.0)
    with tg.debug():
        loss = (x * a).sum()
        a[0] = 7.0
        with pytest.raises(InplaceError, match=r"multiply .*an input.*bytes have changed"):
            loss.backward()


@pytest.mark.promise("C6")
def test_a_write_after_unlocking_a_read_only_array_is_detected():
    a = np.array([1.0, 2.0])
    a.flags.writeable = False
    x = tg.from_numpy(a, requires_grad=True)
    with tg.debug():
        loss = tg.exp(x * x).sum()
        a.flags.writeable = True
        a[1] = 0.0
        with pytest.raises(InplaceError, match="multiply"):
            loss.backward()


def test_a_swap_of_two_elements_is_detected():
    a = np.array([1.0, 2.0])
    x = tg.from_numpy(a, requires_grad=True)
    with tg.debug():
        loss = (x * x).sum()
        a[:] = a[::-1].copy()
        with pytest.raises(InplaceError):
            loss.backward()


def test_unchanged_arrays_give_the_right_gradient():
    x = tg.Tensor(np.arange(6.0).reshape(2, 3).T, requires_grad=True)
    with tg.debug():
        (tg.exp(x[::-1] * 0.1) @ np.ones((2, 2))).sum().backward()
    np.testing.assert_allclose(x.grad, 0.2 * np.exp(x.data * 0.1))


# --- where it applies -------------------------------------------------------------------------------------


@pytest.mark.promise("I3")
def test_when_off_operations_take_the_short_path():
    assert current().plain
    assert current().debug is None
    with tg.debug():
        assert not current().plain
    assert current().plain


@pytest.mark.promise("I3")
def test_when_on_it_costs_about_as_much_again():
    rng = np.random.default_rng(0)
    model = nn.MLP([64, 128, 128, 10], norm="batch", rng=0)
    optimizer = nn.AdamW(model.parameters())
    X, y = rng.normal(size=(64, 64)).astype(np.float32), rng.integers(0, 10, 64)

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), y).backward()
        optimizer.step()

    def seconds(f):
        start = time.process_time()
        for _ in range(5):
            f()
        return time.process_time() - start

    off, on = np.min([(seconds(step), seconds(tg.debug()(step))) for _ in range(15)], axis=0)
    assert on < 3 * off  # 1.7 times on a quiet machine


@pytest.mark.promise("J2")
def test_it_is_invisible_to_other_threads_and_tasks():
    seen = []
    with tg.debug():
        thread = threading.Thread(target=lambda: seen.append(tg.log(leaf(0.0)).item()))
        thread.start()
        thread.join()
    assert seen == [-np.inf]

    async def one():
        with tg.debug():
            await asyncio.sleep(0.01)
            with pytest.raises(NonFiniteError):
                tg.log(leaf(0.0))

    async def other():
        await asyncio.sleep(0.005)
        return tg.log(leaf(0.0)).item()

    async def both():
        return await asyncio.gather(one(), other())

    assert asyncio.run(both())[1] == -np.inf


def test_a_training_step_in_debug_mode_has_the_same_bits():
    def trained(debugged):
        rng = np.random.default_rng(0)
        model = nn.MLP([4, 8, 3], norm="batch", rng=0)
        optimizer = nn.AdamW(model.parameters())
        X, y = rng.normal(size=(16, 4)).astype(np.float32), rng.integers(0, 3, 16)
        for _ in range(5):
            optimizer.zero_grad()
            if debugged:
                with tg.debug():
                    nn.functional.cross_entropy(model(X), y).backward()
            else:
                nn.functional.cross_entropy(model(X), y).backward()
            optimizer.step()
        return [p.data for p in model.parameters()]

    for a, b in zip(trained(True), trained(False)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_debug_mode_does_not_warn_of_numbers_whose_squares_overflow(dtype):
    x = tg.Tensor(np.full(1 << 17, np.finfo(dtype).max / 2, dtype), requires_grad=True)
    with tg.debug():
        (x[:9] * 1.5).backward(np.full(9, 1.0, dtype))
        (x * 1.5).backward(np.full(x.shape, 1.0, dtype))
    assert (x.grad == dtype(1.5) * (1 + (np.arange(x.size) < 9))).all()
