"""Ctrl-C takes effect before a step or after it, never within."""

import signal
import threading
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.engine import mode

from .interrupting import CASES, interrupt_all

HOW_MANY = {"blocks": 40, "fit": 5, "fit, returning": 5}


@pytest.mark.promise("J4")
@pytest.mark.parametrize("name", sorted(CASES.keys() - {"trace, native", "descriptor"}))
def test_nothing_stays_switched(name):
    """Ctrl-C, and an alarm, at places drawn from all there are; `python -m tests.interrupting` tries them all."""
    if "native" in name:
        pytest.importorskip("llvmlite")
    rng = np.random.default_rng(sorted(CASES).index(name))
    some = HOW_MANY.get(name, 8)
    outcomes, wrong = interrupt_all(
        name,
        lambda found: [found[i] for i in rng.choice(len(found), min(some, len(found)), replace=False)],
        instructions="replay" in name,
    )
    assert not wrong, "\n".join(wrong)
    assert outcomes["raised"] + outcomes["returned"] >= some


def test_no_descriptor_stays_open():
    """Whatever arrives between any two instructions of the library."""
    outcomes, wrong = interrupt_all("descriptor", lambda found: found, instructions=True)
    assert not wrong, "\n".join(wrong)
    assert outcomes.keys() == {"raised"}  # and nothing failed where a block was undone


@pytest.mark.parametrize("enter", [tg.no_grad, lambda: tg.scope("a"), tg.uninterrupted, tg.silenced])
def test_blocks_can_be_entered_in_other_ways(enter):
    def switches():
        return mode.current().grad, mode.current().scope, signal.getsignal(signal.SIGINT), np.geterr()

    before = switches()
    with ExitStack() as stack:
        stack.enter_context(enter())
        block = stack.enter_context(enter())
        assert switches() != before
    block = enter()
    block.__enter__()
    block.__enter__()
    assert switches() != before
    block.__exit__(None, None, None)
    assert switches() != before
    block.__exit__(None, None, None)
    assert switches() == before
    assert not block._open
    assert hasattr(block, "__exit__")
    assert not block._open


def test_what_a_block_restores_is_restored_again_when_that_is_interrupted():
    done = []

    def undo():
        done.append("begun")
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append("ended")

    with pytest.raises(KeyboardInterrupt), tg.restoring(undo):
        pass
    assert done == ["begun", "begun", "ended"]


def test_a_block_leaves_no_reference_cycle(no_collector):
    for _ in range(3):
        with tg.no_grad(), tg.uninterrupted(), tg.silenced(), tg.scope("a"):
            pass
        with suppress(KeyError), tg.no_grad():
            raise KeyError
        tg.no_grad()(int)()


def test_an_interrupt_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with tg.uninterrupted():
            with tg.uninterrupted():
                signal.raise_signal(signal.SIGINT)
                done.append(1)
            done.append(2)
        done.append(3)
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_waits_for_the_end_of_a_decorated_function():
    done = []

    @tg.uninterrupted()
    def work():
        signal.raise_signal(signal.SIGINT)
        done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_custom_handler_is_called_and_restored():
    calls = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        mine = signal.getsignal(signal.SIGINT)
        with tg.uninterrupted():
            signal.raise_signal(signal.SIGINT)
            assert not calls
        assert calls == [1]
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_run_is_a_block_around_a_call():
    def inner(calls):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return list(calls)

    calls = []
    with pytest.raises(KeyboardInterrupt):
        tg.uninterrupted.run(lambda: calls.append(inner(calls)))
    assert calls == [[]]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = signal.signal(signal.SIGINT, lambda *arrived: calls.append(arrived[0]))
    try:
        mine = signal.getsignal(signal.SIGINT)
        assert tg.uninterrupted.run(inner, calls=calls) == [[]]
        assert calls == [[], signal.SIGINT]
        with pytest.raises(ZeroDivisionError):
            tg.uninterrupted.run(lambda: 1 / 0)
        assert signal.getsignal(signal.SIGINT) is mine
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert tg.uninterrupted.run(inner, calls) == [[], signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_it_does_nothing():
    handlers = []

    def work():
        with tg.uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))
        handlers.append(tg.uninterrupted.run(signal.getsignal, signal.SIGINT))
        with pytest.raises(ValueError, match="inside"):
            tg.uninterrupted.run(fail)

    def fail():
        raise ValueError("inside")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler] * 2


@contextmanager
def alarms():
    """Make SIGALRM act as Ctrl-C."""
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def training(compiled, norm=None):
    rng = np.random.default_rng(0)
    model = nn.MLP([8, 32, 32, 3], activation="tanh", norm=norm, rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=1e-2)
    X, y = rng.normal(size=(64, 8)).astype(np.float32), rng.integers(0, 3, 64)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    return tg.compile(step) if compiled else step, model, optimizer


def state(model, optimizer):
    moments = optimizer.state_dict()["state"]
    parts = [p.data.tobytes() for p in model.parameters()]
    for i in sorted(moments):
        parts += [np.asarray(moments[i][key]).tobytes() for key in sorted(moments[i])]
    return b"".join(parts)


@pytest.mark.promise("J4")
@pytest.mark.parametrize("compiled", [False, True])
def test_parameters_and_state_belong_to_the_same_step(compiled):
    step, model, optimizer = training(compiled)
    known = [state(model, optimizer)]
    for _ in range(400):
        step()
        known.append(state(model, optimizer))
    known = set(known)

    step, model, optimizer = training(compiled)
    step()
    interrupted = 0
    rng = np.random.default_rng(1)
    with alarms():
        for _ in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-4, 4e-3)))
                for _ in range(6):
                    step()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert state(model, optimizer) in known
    assert interrupted


@pytest.mark.promise("J4")
@pytest.mark.parametrize("compiled", [False, True])
def test_running_statistics_are_at_most_one_step_ahead(compiled):
    """An eager forward pass updates them one after another; a compiled step updates all of them or none."""

    def trained():
        step, model, optimizer = training(compiled, norm="batch")
        return step, (lambda: state(model, optimizer)), lambda: [b.data.tobytes() for b in model.buffers()]

    step, weights, statistics = trained()
    number, known = {weights(): 0}, [statistics()]
    for i in range(20):
        step()
        number[weights()] = i + 1
        known.append(statistics())

    interrupted = 0
    rng = np.random.default_rng(1)
    with alarms():
        for _ in range(40):
            step, weights, statistics = trained()
            step()
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-4, 8e-3)))
                for _ in range(15):
                    step()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            now = number[weights()]
            for found, before, after in zip(statistics(), known[now], known[now + 1], strict=True):
                assert found == before or (found == after and not compiled)
    assert interrupted


@pytest.mark.promise("J4")
def test_gradients_are_written_all_or_none():
    leaves = [tg.Tensor(float(i), requires_grad=True) for i in range(2_000)]
    rng = np.random.default_rng(0)
    interrupted = 0
    with alarms():
        for _ in range(30):
            for x in leaves:
                x.grad = None
            loss = tg.stack(leaves).sum()
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-4, 5e-3)))
                loss.backward()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert len({x.grad is None for x in leaves}) == 1
    assert interrupted
