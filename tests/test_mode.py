"""Switches: what they change inside a block, in a decorated function, and in which thread or task."""

import asyncio
import threading

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.engine import mode


def recorded():
    return (tg.Tensor(1.0, requires_grad=True) * 2).requires_grad


def test_blocks_nest():
    assert recorded()
    with tg.no_grad():
        assert not recorded()
        with tg.enable_grad():
            assert recorded()
            with tg.no_grad():
                assert not recorded()
        assert not recorded()
    assert recorded()


def test_an_exception_ends_the_block():
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert recorded()


def test_one_instance_may_be_entered_again():
    off = tg.no_grad()
    with off, off:
        assert not recorded()
    with off:
        assert not recorded()
    assert recorded()


def test_decorators():
    @tg.no_grad()
    def f(depth):
        """Words."""
        inner = f(depth - 1) if depth else tg.enable_grad()(recorded)()
        return inner and not recorded()

    assert f(3)
    assert f.__name__ == "f"
    assert f.__doc__ == "Words."
    assert recorded()


def test_scopes_nest_with_the_other_switches():
    x = tg.Tensor(1.0, requires_grad=True)
    with tg.scope("net.0", "Linear"):
        y = x * 2
        with tg.no_grad(), tg.enable_grad():
            z = y * 2
    assert y.node.scope[:2] == z.node.scope[:2] == ("net.0", "Linear")
    assert (z * 2).node.scope.path == ""


@pytest.mark.parametrize("switch", [tg.no_grad, tg.enable_grad, lambda: tg.scope("a")])
def test_generators_and_coroutines_are_refused(switch):
    def generator():
        yield 1

    async def coroutine():
        pass

    with pytest.raises(TypeError, match=r"generator function 'generator'.*write `with "):
        switch()(generator)
    with pytest.raises(TypeError, match=r"coroutine function 'coroutine'.*write `with "):
        switch()(coroutine)


@pytest.mark.promise("J2")
def test_a_switch_in_one_thread_is_invisible_to_others():
    inside, done = threading.Event(), threading.Event()
    seen = []

    def quiet():
        with tg.no_grad():
            inside.set()
            done.wait(10)
            seen.append(recorded())

    thread = threading.Thread(target=quiet)
    thread.start()
    assert inside.wait(10)
    seen.append(recorded())
    with tg.no_grad():
        other = threading.Thread(target=lambda: seen.append(recorded()))
        other.start()
        other.join()
    done.set()
    thread.join()
    assert seen == [True, True, False]


def test_a_decorated_function_may_run_in_two_threads_at_once():
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
    results = []

    @tg.no_grad()
    def body(arrived, wait_for):
        arrived.set()
        assert wait_for.wait(10)
        return recorded()

    def first():
        results.append((body(first_is_in, second_is_in), recorded()))
        first_is_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(10)
    results.append((body(second_is_in, first_is_out), recorded()))
    thread.join()
    assert results == [(False, True), (False, True)]


@pytest.mark.promise("J2")
def test_a_switch_in_one_task_is_invisible_to_others():
    async def work(off):
        results = []
        for _ in range(3):
            if off:
                with tg.no_grad():
                    await asyncio.sleep(0)
                    results.append(recorded())
            else:
                await asyncio.sleep(0)
                results.append(recorded())
        return results

    async def both():
        return await asyncio.gather(work(True), work(False))

    assert asyncio.run(both()) == [[False] * 3, [True] * 3]


def test_a_generator_that_holds_a_block_open_ends_it_on_leaving_the_block():
    def numbers():
        with tg.no_grad():
            yield recorded()
        yield recorded()

    assert list(numbers()) == [False, True]
    assert recorded()


def held_open():
    with tg.no_grad():
        yield
    yield


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_generators_that_end_in_any_order_leave_nothing_switched(order):
    generators = [held_open() for _ in range(3)]
    for generator in generators:
        next(generator)
    assert not recorded()
    for i in order[:2]:
        generators[i].close()
        assert not recorded()  # one is still in its block
    next(generators[order[2]])
    assert recorded()
    with tg.no_grad():
        assert not recorded()
    assert recorded()


def test_generators_that_share_one_block():
    off = tg.no_grad()

    def numbers():
        with off:
            yield

    generators = [numbers(), numbers()]
    for generator in generators:
        next(generator)
    assert not recorded()
    for generator in generators:
        generator.close()
    assert recorded()
    assert not off._open


def test_a_block_that_ends_in_another_thread_leaves_nothing_switched():
    generator = held_open()
    next(generator)
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    assert recorded()


def test_a_block_may_end_inside_a_later_one():
    generator = held_open()
    next(generator)
    with tg.enable_grad():
        generator.close()
        assert recorded()
        with tg.no_grad():
            assert not recorded()
    assert recorded()


def test_pairs_of_generators_leave_nothing_behind():
    for _ in range(50):
        first, second = held_open(), held_open()
        next(first), next(second)
        first.close()
        second.close()
    assert recorded()
    assert depth(mode.current()) <= 1


def depth(setting):
    """How many settings one keeps alive."""
    return 1 + depth(setting.outer) if hasattr(setting, "outer") else 0


def test_the_owner_of_a_scope_holds_in_the_scopes_inside():
    assert tg.scope.owner() is None
    with tg.scope("net", owner="me"):
        with tg.scope(None, "function"):
            assert tg.scope.owner() == "me"
        with tg.scope("net.0", owner="other"):
            assert tg.scope.owner() == "other"
        assert tg.scope.owner() == "me"
    assert tg.scope.owner() is None


@pytest.mark.promise("J3")
def test_threads_add_to_one_leaf():
    x = tg.Tensor(np.zeros(1000), requires_grad=True)

    def work():
        for _ in range(50):
            (x * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(x.grad, np.full(1000, 400.0))
