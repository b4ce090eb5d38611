"""The line of the user's code that called an operation, wherever in the library the operation is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.engine.frames import source_line

X = tg.Tensor(np.ones((4, 3), np.float32), requires_grad=True)


def lines(result: Any) -> dict[str, set[int]]:
    """The lines of this file that called each of the operations that a result was computed by."""
    found: dict[str, set[int]] = {}
    waiting = [result.node]
    while waiting:
        node = waiting.pop()
        if node.rules:
            line = source_line(node.code, node.lasti)
            assert line is not None
            assert line[0] == __file__, node.op
            found.setdefault(node.op, set()).add(line[1])
            waiting += [parent for parent in node.inputs if hasattr(parent, "rules")]
    return found


def here() -> int:
    return sys._getframe(1).f_lineno


def test_all_operations_of_a_model_are_called_by_the_line_that_calls_it() -> None:
    model = nn.MLP([3, 5, 2], norm="batch", rng=0)
    out, line = model(X), here()
    loss, second = nn.CrossEntropyLoss()(out, [0, 1, 0, 1]), here()
    found = lines(loss)
    assert found["log_softmax"] == {second}
    assert found["matmul"] == found["sqrt"] == found["relu"] == found["mean"] == {line}


class Own(nn.Module):
    """A forward of the user's, between layers of the library."""

    line = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Tanh())

    def forward(self, x: Any) -> Any:
        Own.line = here() + 1
        return self.inner(x)


def test_a_forward_of_the_users_calls_its_layers() -> None:
    model = nn.Sequential(nn.ReLU(), Own(), nn.Sigmoid())
    out, line = model(X), here()
    assert lines(out) == {
        "sigmoid": {line},
        "tanh": {Own.line},
        "add": {Own.line},
        "matmul": {Own.line},
        "relu": {line},
    }


def test_a_hook_calls_what_it_computes() -> None:
    model = nn.Sequential(nn.Linear(3, 2, rng=0))
    called = []

    def double(module: Any, inputs: Any, output: Any) -> Any:
        called.append(here() + 1)
        return nn.functional.linear(output, np.ones((2, 2), np.float32)) * 2.0

    with model[0].register_forward_hook(double):
        out, line = model(X), here()
    assert lines(out) == {"multiply": set(called), "matmul": {called[0], line}, "add": {line}}


@tg.scope(None, "outer")
def outer(function: Callable[[Any], Any], x: Any) -> Any:
    return function(x)


@pytest.mark.parametrize(
    "inside",
    [
        lambda x: tg.enable_grad()(tg.exp)(x),
        lambda x: tg.uninterrupted()(partial(tg.scope.run, None, "inner", (), None, tg.exp))((x,)),
        lambda x: tg.scope.run("a.b", "inner", (), None, tg.exp, (x,)),
        lambda x: nn.functional.layer_norm(x, 3),
        lambda x: copy_context().run(tg.exp, x),
    ],
    ids=["another switch", "another block", "a scope", "a function", "a context"],
)
def test_the_nearest_line_counts(inside: Callable[[Any], Any]) -> None:
    code = inside.__code__
    node = tg.scope.run("a", "module", (), None, outer, (inside, X)).node
    assert node.code is code


def test_a_thread_with_the_context_of_a_module() -> None:
    results = []

    def work() -> None:
        results.append((tg.exp(X), here()))

    def start() -> None:
        thread = Thread(target=copy_context().run, args=(work,))
        thread.start()
        thread.join()

    tg.scope.run("a", "module", (), None, start)
    ((result, line),) = results
    assert lines(result) == {"exp": {line}}
    assert result.node.scope.path == "a"


def test_a_block_that_ends_late_leaves_no_line_behind() -> None:
    def generator() -> Any:
        with tg.enable_grad():
            yield

    def begin() -> Any:
        running = generator()
        next(running)
        return running

    class Leaving(nn.Module):
        def forward(self, x: Any) -> Any:
            self.running = tg.scope.run("a", "module", (), None, begin)  # its block ends before the one inside it
            return x

    model = nn.Sequential(Leaving(), nn.Linear(3, 1, bias=False))
    out, line = model(X), here()
    assert lines(out) == {"matmul": {line}}
    model[0].running.close()
    out, line = tg.exp(X), here()
    assert (lines(out), out.node.scope.path) == ({"exp": {line}}, "")


def test_run_returns_raises_and_ends_like_a_block() -> None:
    def inner(x: int, *, y: int) -> Any:
        return x, y, tg.scope.run("b", "", (), 1, tg.scope.owner), tg.scope.run(None, "", (), None, tg.scope.owner)

    assert tg.scope.run("a", "", (), 2, inner, (1,), {"y": 2}) == (1, 2, 1, 2)
    with pytest.raises(ZeroDivisionError):
        tg.scope.run("a", "", (), 3, lambda: 1 // 0)
    assert tg.scope.owner() is None
    assert tg.exp(X).node.scope.path == ""


def test_all_forms_of_a_scope_record_the_same() -> None:
    array, title = np.ones(3), "Exp"
    with tg.scope("a", title, (array, 2)):
        with_block = tg.exp(X)
    decorated = tg.scope("a", title, (array, 2))(tg.exp)(X)
    called = tg.scope.run("a", title, (array, 2), None, tg.exp, (X,))
    for result in (with_block, decorated, called):
        scope = result.node.scope
        assert scope._replace(inputs=()) == ("a", title, ("", "", None, False, ()), False, ())
        assert [(shape, ref()) for shape, ref in scope.inputs] == [((3,), array)]
