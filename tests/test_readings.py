"""One rule, four readings: on ndarrays, on Tensors, on traced arrays, and on another library's arrays.

Every operation of the table, and every function of nn, runs forward and backward in all four, and the numbers are
compared.
"""

from __future__ import annotations

import math
import types
from functools import cache
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.closeness import assert_close
from tests.nn.cases import CASES as NN_CASES
from tests.ops.cases import CASES, Sample
from tests.standin import StandIn, unwrapped

ROWS = [
    pytest.param(case.op, sample, id=f"{case.name}-{i}")
    for case in (*CASES, *(case for case in NN_CASES if not case.random))
    if case.orders
    for i, sample in enumerate(case.samples)
]


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def seeds(results: list[Any]) -> list[Any]:
    return [seed.copy() for seed in _seeds(tuple((r.shape, np.dtype(r.dtype)) for r in results))]


@cache
def _seeds(kinds: tuple[Any, ...]) -> list[Any]:
    rng = np.random.default_rng(1)
    made = [(rng.uniform(0.5, 1.5, shape), dtype) for shape, dtype in kinds]
    return [np.asarray(g + 0.7j * g * g if dtype.kind == "c" else g, dtype) for g, dtype in made]


def results_and_gradients(op: Any, sample: Sample, arrays: Any = None) -> tuple[list[Any], list[Any]]:
    """The results and gradients on plain arrays."""
    leaves = [tg.Tensor(a, requires_grad=True) for a in (arrays or sample.arrays)]
    results = listed(sample.apply(op, leaves))
    for result, seed in zip(results, seeds(results)):
        result.backward(seed, retain_graph=True)
    return [r.data for r in results], [leaf.grad for leaf in leaves]


def same(got: Any, expected: Any, rtol: float = 0.0) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        if b is None:
            assert a is None
        else:
            assert_close(a, b, rtol, rtol)


@pytest.mark.parametrize(("op", "sample"), ROWS)
def test_on_tensors(op: Any, sample: Sample) -> None:
    expected, gradients = results_and_gradients(op, sample)
    leaves = [tg.Tensor(a, requires_grad=True) for a in sample.arrays]
    results = listed(sample.apply(op, leaves))
    for result, seed in zip(results, seeds(results)):
        result.backward(seed, create_graph=True)
    same([r.data for r in results], expected)
    same([leaf.grad if leaf.grad is None else leaf.grad.data for leaf in leaves], gradients, 1e-13)


@pytest.mark.parametrize(("op", "sample"), ROWS)
def test_on_traced_arrays(op: Any, sample: Sample) -> None:
    leaves = [tg.Tensor(a, requires_grad=True) for a in sample.arrays]

    def step() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        results = listed(sample.apply(op, leaves))
        for result, seed in zip(results, seeds(results)):
            result.backward(seed, retain_graph=True)
        return results

    compiled = tg.compile(step)
    for factor in (1.0, 0.9, 0.95):  # traced once, replayed twice on other numbers
        arrays = [np.asarray(a * factor) for a in sample.arrays]
        expected, gradients = results_and_gradients(op, sample, arrays)
        for leaf, array in zip(leaves, arrays):
            leaf.data[...] = array
        results = compiled()
        # To the bit, except for complex numbers: NumPy multiplies a single one in a different way.
        rtol = 1e-14 if any(map(np.iscomplexobj, (*sample.arrays, *expected))) else 0.0
        same([r.data for r in results], expected, rtol)
        same([leaf.grad for leaf in leaves], gradients, rtol)
    assert compiled.traces == 1


# They, or their gradients, need one of the functions that docs/arrays.md says CuPy lacks.
WITHOUT = (
    "special.zeta",
    "special.digamma",
    "special.polygamma",
    "special.spence",
    "special.i1-",
    "special.i1e",
    "special.iv",
    "special.jv",
)
WITHOUT += ("special.j1", "special.ive")


@pytest.mark.parametrize(("op", "sample"), [row for row in ROWS if not row.id.startswith("random.")])
def test_on_arrays_of_another_library(op: Any, sample: Sample, request: pytest.FixtureRequest) -> None:
    """All except random draws, which come from NumPy's generators."""
    if any(name in request.node.name for name in WITHOUT):
        with pytest.raises(TypeError, match=r"docs/arrays\.md|NotImplemented"):
            _on_stand_ins(op, sample)
    else:
        _on_stand_ins(op, sample)


def _on_stand_ins(op: Any, sample: Sample) -> None:
    expected, gradients = results_and_gradients(op, sample)
    leaves = [tg.from_numpy(StandIn(a), requires_grad=True) for a in sample.arrays]
    more = tuple(StandIn(m) if isinstance(m, np.ndarray) else m for m in sample.more)
    keywords = {name: StandIn(v) if isinstance(v, np.ndarray) else v for name, v in sample.keywords.items()}
    results = listed(Sample(sample.arrays, more, keywords).apply(op, leaves))
    assert all(isinstance(r.data, StandIn) for r in results)
    for result, seed in zip(results, seeds(results)):
        result.backward(StandIn(seed), retain_graph=True)
    same([unwrapped(r.data) for r in results], expected, 1e-15)
    assert all(leaf.grad is None or isinstance(leaf.grad, StandIn) for leaf in leaves)
    same([unwrapped(leaf.grad) for leaf in leaves], gradients, 1e-13)


def test_a_network_learns_on_arrays_of_another_library() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(32, 4)).astype(np.float32), rng.integers(0, 3, 32)

    def trained(wrap: Any) -> tuple[list[float], Any]:
        model = nn.MLP([4, 8, 3], norm="batch", dropout=0.0, rng=0)
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = wrap(tensor.data)
        losses = []
        for _ in range(5):
            model.zero_grad()
            loss = nn.functional.cross_entropy(model(wrap(X)), wrap(y))
            loss.backward()
            for p in model.parameters():
                memory = tg.writes_to(p, by="descent")
                memory[...] = memory - np.float32(0.1) * p.grad
            losses.append(float(loss.data))
        return losses, [unwrapped(p.data) for p in model.parameters()]

    expected, weights = trained(lambda a: a)
    losses, other = trained(StandIn)
    assert losses == expected
    same(other, weights)


LIBRARY = types.ModuleType("standin")
LIBRARY.asarray = StandIn  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Lion"])
def test_optimisers_update_arrays_of_another_library(kind: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(32, 4)).astype(np.float32), rng.integers(0, 3, 32)

    def trained(library: Any) -> nn.Module:
        model = nn.MLP([4, 8, 3], norm="batch", dropout=0.2, rng=0).to(library)
        optimizer = getattr(nn, kind)(model.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(library.asarray(X)), library.asarray(y)).backward()
            nn.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        assert all(isinstance(p.data, type(library.asarray(X))) for p in model.parameters())
        return model.to(np)

    expected, other = (trained(library).state_dict() for library in (np, LIBRARY))
    same([other[name] for name in expected], list(expected.values()), 1e-6)


def test_moving_to_something_that_has_no_arrays() -> None:
    with pytest.raises(TypeError, match="the module math has no arrays"):
        nn.Linear(2, 1).to(math)


def test_a_stand_in_has_only_what_the_page_lists() -> None:
    given = StandIn(np.arange(3.0))
    for refused in (
        lambda: np.add(given, given, where=StandIn(np.ones(3, bool))),
        lambda: np.maximum.reduce(given),
        lambda: np.add.reduce(given, initial=1.0),
        lambda: np.sum(given, initial=1.0),
        lambda: np.nanmax(given),
        lambda: np.sort(given, stable=True),
    ):
        with pytest.raises(TypeError):
            refused()
