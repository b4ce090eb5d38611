"""A compiled step notices every change that it depends on, on the short way that its later calls take, too."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.compiler import replay, step


class Owner:
    """An object of the user's, which raises no counter anywhere."""

    factor = 2.0


class Case:
    """A network and an owner that a step uses, uncompiled and compiled."""

    def __init__(self, backend: str) -> None:
        self.net = nn.Sequential(nn.Linear(3, 4, bias=False, rng=0), nn.BatchNorm(4), nn.ReLU(), nn.Dropout(0.5, rng=0))
        self.net.append(nn.Linear(4, 2, rng=1))
        self.optimizer = nn.AdamW(self.net.parameters(), lr=0.01)
        self.owner = Owner()
        self.module = types.ModuleType("helpers")
        exec("def scaled(x):\n    return x * 3.0\n", vars(self.module))
        self.compiled = tg.compile(self.step, backend=backend)

    def step(self, x: Any, *rest: Any) -> Any:
        self.optimizer.zero_grad()
        loss = (self.module.scaled(self.net(x)) * tg.watch(self.owner, "factor")).sum()
        for more in rest:
            loss = loss + more
        loss.backward()
        self.optimizer.step()
        return loss


def freeze(case: Case) -> None:
    case.net[0].W.requires_grad = False


def hook(case: Case) -> None:
    case.net[4].b.register_hook(lambda g: g * 0.5)


def module_hook(case: Case) -> None:
    case.net[0].register_forward_hook(lambda module, args, out: out * 2.0)


def edit(case: Case) -> None:
    exec("def scaled(x):\n    return x * 4.0\n", vars(case.module))


def edit_code(case: Case) -> None:
    other: dict[str, Any] = {}
    exec("def scaled(x):\n    return x * 5.0\n", other)
    case.module.scaled.__code__ = other["scaled"].__code__


def replace(case: Case) -> None:
    case.net[0].W.data = case.net[0].W.data * 2.0


def replace_layout(case: Case) -> None:
    case.net[0].W.data = np.asfortranarray(case.net[0].W.data * 2.0)


def replace_buffer(case: Case) -> None:
    case.net[1].running_mean.data = case.net[1].running_mean.data + 1.0


def smuggle(case: Case) -> None:
    vars(case.net)["training"] = False
    vars(case.net[1])["training"] = False


def add_layer(case: Case) -> None:
    case.net.append(nn.ReLU())


CHANGES: dict[str, tuple[Callable[[Case], Any], int]] = {  # and how many traces there are afterwards
    "nothing": (lambda case: None, 1),
    "eval": (lambda case: case.net.eval(), 2),
    "past __setattr__": (smuggle, 2),
    "setting": (lambda case: setattr(case.net[1], "momentum", 0.5), 2),
    "owner": (lambda case: setattr(case.owner, "factor", 7.0), 2),
    "frozen": (freeze, 3),  # once more, as the histories of the others differ from then on
    "hook": (hook, 2),
    "learning rate": (lambda case: setattr(case.optimizer, "lr", 0.1), 1),
    "decay": (lambda case: case.optimizer.param_groups[0].update(weight_decay=0.0), 2),
    "group": (lambda case: case.optimizer.add_param_group({"params": [nn.Parameter(np.ones(2))]}), 2),
    "edited": (edit, 2),
    "edited in place": (edit_code, 2),
    "data": (replace, 1),
    "data, other layout": (replace_layout, 2),
    "buffer": (replace_buffer, 1),
    "layer": (add_layer, 2),
    "gradient": (lambda case: setattr(case.net[4].b, "grad", np.ones(2)), 1),
}


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_noticed(name: str, backend: str) -> None:
    if backend == "native":
        pytest.importorskip("llvmlite")
    change, traces = CHANGES[name]
    eager, case = Case(backend), Case(backend)
    X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    for number in range(9):
        if number == 4:
            change(eager)
            change(case)
        expected, found = eager.step(X).item(), case.compiled(X).item()
        assert found == expected if backend == "numpy" else found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert case.compiled.traces == traces
    for ours, theirs in zip(eager.net.parameters(), case.net.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=2e-3, atol=2e-3)


def test_module_hooks_run_in_every_call() -> None:
    eager, case = Case("numpy"), Case("numpy")
    X = np.ones((8, 3), np.float32)
    for number in range(6):
        if number == 3:
            module_hook(eager)
            module_hook(case)
        assert case.compiled(X).item() == eager.step(X).item()


def test_calls_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("numpy")
    X = np.ones((8, 3), np.float32)
    for _ in range(3):
        case.compiled(X)
    monkeypatch.setattr(step, "key_of", lambda *args: pytest.fail("the long way"))
    monkeypatch.setattr(replay, "facts_of", lambda *args: pytest.fail("the long way"))
    case.compiled(X)
    case.compiled(X + 1.0)


def test_without_the_long_way_a_change_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The changes above are noticed because the conditions say so: without them they are not."""
    case = Case("numpy")
    X = np.ones((8, 3), np.float32)
    for _ in range(3):
        case.compiled(X)
    monkeypatch.setattr(case.compiled._latest, "_quickly", lambda: True)
    case.owner.factor = 7.0
    case.compiled(X)
    assert case.compiled.traces == 1


ARGUMENTS: list[tuple[Any, ...]] = [
    (1.0,),
    (2.5,),
    (1,),
    (True,),
    (np.float32(2.0),),
    (np.float64(2.0),),
    (np.float64(3.0),),
    (np.int64(2),),
    (tg.Tensor(4.0),),
    (np.array(4.0),),
    (np.array(4.0, np.float32),),
    (np.array(4),),
    (),
    (1.0, 2.0),
    (np.ones((2, 3)).sum(),),
]


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_arguments_of_other_kinds(backend: str) -> None:
    if backend == "native":
        pytest.importorskip("llvmlite")
    eager, case = Case(backend), Case(backend)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8, 3)).astype(np.float32)
    layouts = [X, np.asfortranarray(X), X[::2], X.astype(np.float64), X[:, ::-1], X[:0:-1]]
    for number in range(60):
        x = layouts[number % 6] if number % 10 == 9 else X
        rest = ARGUMENTS[int(rng.integers(len(ARGUMENTS)))]
        with pytest.warns(RuntimeWarning) if x.dtype == np.float64 and not case.net._told else nothing():
            expected, found = eager.step(x, *rest), case.compiled(x, *rest)
        assert found.dtype == expected.dtype
        assert (
            found.item() == expected.item()
            if backend == "numpy"
            else found.item() == pytest.approx(expected.item(), rel=1e-2, abs=1e-2)
        )


class nothing:
    """A context that does nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        pass


def test_nested_arguments_of_a_call_like_the_last_one() -> None:
    @tg.compile(backend="numpy")
    def f(tree: Any, *, scale: Any = 1.0, names: Any = ()) -> Any:
        total = tree["a"][0] * scale + tree["b"]
        return total * len(names)

    def expected(tree: Any, scale: float, names: Any) -> Any:
        return (tree["a"][0] * scale + tree["b"]) * len(names)

    for k in range(4):
        tree = {"a": [np.full(2, float(k))], "b": np.ones(2)}
        np.testing.assert_array_equal(f(tree, scale=float(k), names=("x", "y")), expected(tree, k, "xy"))
    swapped = {"b": np.ones(2), "a": [np.full(2, 2.0)]}
    np.testing.assert_array_equal(f(swapped, scale=3.0, names=("x", "y")), expected(swapped, 3.0, "xy"))
    np.testing.assert_array_equal(f(tree, scale=3.0, names=("x",)), expected(tree, 3.0, "x"))
    np.testing.assert_array_equal(f(tree, names=("x",)), expected(tree, 1.0, "x"))
    np.testing.assert_array_equal(f({**tree, "a": (tree["a"][0],)}, names=("x",)), expected(tree, 1.0, "x"))
    np.testing.assert_array_equal(f({**tree, "c": 1}, names=("x",)), expected(tree, 1.0, "x"))


def test_a_graph_from_before_many_runs_knows_of_their_writes() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    v = tg.Tensor([1.0, 2.0], requires_grad=True, name="v")

    @tg.compile
    def run() -> Any:
        tg.writes_to(w, "mine")[...] *= 0.5
        return w.sum()

    run()
    run()
    before = (w * w).sum()
    other = (v * v).sum()
    for _ in range(20):
        run()
    other.backward()
    with pytest.raises(tg.InplaceError, match="a compiled step has written"):
        before.backward()
    again = (w * w).sum()
    again.backward()
    stale = (w * w).sum()
    run()
    del run
    with pytest.raises(tg.InplaceError, match="a compiled step has written"):
        stale.backward()


def test_writers_that_are_gone_are_folded() -> None:
    from tensorgrad.engine import writes

    w = tg.Tensor(np.ones(2), requires_grad=True)
    for _ in range(5):

        @tg.compile
        def run() -> Any:
            tg.writes_to(w, "mine")[...] *= 0.5
            return w.sum()

        run()
        run()
    log = writes._writes[id(w.data)]
    assert len(log.writers) <= 2
    assert log.everything()[0] == 10
