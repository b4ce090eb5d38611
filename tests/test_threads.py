"""Eight threads, while Python switches between them as often as it can; tasks; forked and spawned processes."""

import asyncio
import multiprocessing
import os
import sys
import threading
from functools import partial

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad import tensor


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


def in_threads(work, count=8):
    """Run ``work(number)`` in threads, while Python switches between them often. Returns what went wrong in them."""
    wrong = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            wrong.append((number, error))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return wrong


def needed(backend):
    if backend == "native":
        pytest.importorskip("llvmlite")


def training(seed, backend=None):
    """A small model, and a step of its training."""
    rng = np.random.default_rng(seed)
    model = nn.MLP([4, 6, 3], activation="tanh", dropout=0.2, rng=seed)
    optimizer = nn.AdamW(model.parameters(), lr=1e-2)
    X, y = rng.normal(size=(5, 4)).astype(np.float32), rng.integers(0, 3, 5)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, tg.compile(step, backend=backend) if backend else step


def weights(model):
    return [parameter.data.copy() for parameter in model.parameters()]


@pytest.mark.promise("J1")
@pytest.mark.parametrize("backend", [None, "numpy", "native"])
def test_threads_that_train_their_own_models(backend):
    needed(backend)
    count = 3 if backend == "native" else 8  # each compiles its own program
    alone = []
    for seed in range(count):
        model, step = training(seed, backend)
        for _ in range(15):
            step()
        alone.append(weights(model))
    found = {}

    def work(number):
        model, step = training(number, backend)
        for _ in range(15):
            step()
        found[number] = weights(model)

    assert in_threads(work, count) == []
    for number in range(count):
        for got, expected in zip(found[number], alone[number], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_threads_that_share_a_compiled_step(backend):
    needed(backend)
    w = tg.Tensor(np.linspace(0.5, 1.5, 64), requires_grad=True)

    @partial(tg.compile, backend=backend)
    def step(x):
        w.grad = None
        loss = (tg.tanh(w * x) ** 2).sum()
        loss.backward()
        return loss, tg.array_of(w.grad) * 1.0

    def work(number):
        for i in range(60):
            x = np.full(64 if i % 3 else 1, 0.1 * (number + 1))
            t = np.tanh(w.data * x)
            loss, gradient = step(x)
            np.testing.assert_allclose(loss.item(), (t**2).sum(), rtol=1e-9)
            np.testing.assert_allclose(gradient, 2 * t * (1 - t**2) * x, rtol=1e-9)

    assert in_threads(work) == []
    assert step.traces <= 4


@pytest.mark.parametrize("compiled", [False, True])
def test_threads_that_share_a_model_and_its_optimizer_count_every_compiled_step(compiled):
    model, step = training(0, "numpy" if compiled else None)
    if not compiled:
        lock = threading.Lock()

        def locked(step=step):
            with lock:  # a step that is not compiled is several operations: the user's lock makes it one
                step()

        step = locked

    assert in_threads(lambda number: [step() for _ in range(20)]) == []
    other, alone = training(0, "numpy" if compiled else None)
    for _ in range(160):
        alone()
    for got, expected in zip(weights(model), weights(other), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.promise("J2")
def test_tasks_that_train_in_turn():
    """Each task has its own switches and its own graph, whatever the others have entered."""
    alone = []
    for seed in range(4):
        model, step = training(seed)
        for _ in range(6):
            step()
        alone.append(weights(model))

    async def train(seed):
        model, step = training(seed)
        for _ in range(6):
            step()
            with tg.no_grad(), tg.scope(f"task{seed}", owner=seed):
                await asyncio.sleep(0)
                assert not (model.layers[0].W * 2.0).requires_grad
                assert tg.scope.owner() == seed
            await asyncio.sleep(0)
        return weights(model)

    async def all_of_them():
        return await asyncio.gather(*(train(seed) for seed in range(4)))

    for found, expected in zip(asyncio.run(all_of_them()), alone, strict=True):
        for got, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-7)


def in_child(pipe, step=None):
    """What a child process does: goes back through a graph, and runs a compiled step that it was given or makes."""
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    model, own = training(3, "numpy")
    for run in (own, step or own):
        for _ in range(2):
            run()
    pipe.send((x.grad.tolist(), [w.tolist() for w in weights(model)]))
    pipe.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_while_other_threads_hold_locks():
    """A child has no other threads, so nobody would unlock there what they held."""
    _, step = training(5, "numpy")
    step()
    begun, done = threading.Event(), threading.Event()

    def hold():
        with tensor._grad_lock, step._lock:
            begun.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(30)
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=in_child, args=(there, step))
        child.start()
        there.close()
        assert here.poll(60), "the child waits for a lock that nobody will release"
        gradient, _ = here.recv()
        child.join()
    finally:
        done.set()
        thread.join()
    assert child.exitcode == 0
    assert gradient == [2.0, 4.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_block():
    """The child goes on in the block, with the bits that its parent would have."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    with tg.no_grad(), tg.uninterrupted():
        child = context.Process(target=lambda: there.send((tg.Tensor(1.0, requires_grad=True) * 2).requires_grad))
        child.start()
    assert here.poll(60)
    assert here.recv() is False
    child.join()
    assert child.exitcode == 0
    assert (tg.Tensor(1.0, requires_grad=True) * 2).requires_grad


@pytest.mark.slow
def test_a_spawned_process_has_the_same_numbers():
    model, step = training(3, "numpy")
    for _ in range(4):
        step()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=in_child, args=(there,))
    child.start()
    assert here.poll(120)
    gradient, found = here.recv()
    child.join()
    assert child.exitcode == 0
    assert gradient == [2.0, 4.0]
    for got, expected in zip(found, weights(model), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
