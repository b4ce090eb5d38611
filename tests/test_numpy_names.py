"""Every public function of NumPy on Tensors with a history: recorded, answered, or refused with what to write."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.interop import answer_to
from tests.numpy_names import METHODS, dispatched, functions, ufuncs

FUNCTIONS = functions()
DISPATCHED = {name: f for name, f in FUNCTIONS.items() if dispatched(f)}
# What changes NumPy, asks the system, or reads files.
LEFT_ALONE = {name for name in FUNCTIONS if not dispatched(FUNCTIONS[name])} - {
    *("np.array", "np.asarray", "np.asanyarray", "np.ascontiguousarray", "np.asfortranarray", "np.asarray_chkfinite"),
    *("np.full", "np.arange", "np.require", "np.fromiter", "np.kaiser", "np.isscalar", "np.iterable"),
}


def arguments(scale: float) -> list[tuple[Any, ...]]:
    """Arguments of which one or another fits most functions: all Tensors have a history."""

    def t(*shape: int) -> Any:
        count = int(np.prod(shape))
        return tg.Tensor(scale * np.linspace(0.2, 0.8, count).reshape(shape), requires_grad=True) * 1.0

    vector, matrix, square = t(3), t(2, 3), t(2, 2) + 2 * np.eye(2)
    return [
        *((vector,), (matrix,), (square,), ([vector, vector],)),
        *((vector, vector), (square, square), (vector, 1), (vector, 0, 2), (vector, [0, 1, 2]), ("i->i", vector)),
        *(
            (vector, vector, vector),
            ([True, False, True], vector),
            (lambda row: row * 2, 0, matrix),
            (np.sum, matrix, 0),
            (matrix, (0, 1)),
        ),
        *((vector, [True, False, True], vector), (vector, [0, 1], vector), ([0, 2, 2], vector), (0.5, vector, 4)),
        *((matrix, (2, 3)), ([0, 1, 1], [vector, vector]), (vector, 2, 0), (t(2, 2, 2),), (vector, t(1)), (t(4), 2)),
        *((matrix, 0, 1), (vector, np.array([0, 1]), 0.5, 0), (vector, np.array([0, 1]), 0), (vector, vector, 1)),
        *((vector, [vector.data > 0.3], [np.sin]), (square, t(2)), (square, 1), (t(2, 2, 2), 2)),
    ]


def without_history(result: Any) -> list[Any]:
    """The numbers with a fraction among the results of which no history is known."""
    if isinstance(result, tuple | list):
        return [number for part in result for number in without_history(part)]
    if isinstance(result, tg.Tensor):
        return [] if result.requires_grad else without_history(result.data)
    return [result] if isinstance(result, np.ndarray | np.generic) and result.dtype.kind in "fc" else []


# Most of these arguments make no sense for most functions.
REFUSALS = (TypeError, ValueError, IndexError, AttributeError, tg.GraphError, np.linalg.LinAlgError)
FACTS_BESIDE = {
    "np.empty_like": "whatever the memory holds",
    "np.linalg.lstsq": "the singular values, documented to have no gradient",
}


@pytest.mark.promise("E3", "E4")
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in LEFT_ALONE])
def test_no_function_cuts_a_history(name: str) -> None:
    """What has no history must not depend on what had one: it is the same at other values."""
    function = FUNCTIONS[name]
    answer = answer_to(function) if dispatched(function) else "not dispatched"
    gave = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args, others in zip(arguments(1.0), arguments(1.01)):
            try:
                results = function(*args), function(*others)
            except REFUSALS:
                continue
            gave.append(args)
            if answer != "answered" and name not in FACTS_BESIDE:
                for a, b in zip(*map(without_history, results), strict=True):
                    np.testing.assert_array_equal(a, b, f"{name} of {args}")
    if answer == "recorded":
        assert gave, f"no arguments here fit {name}: add some"


@pytest.mark.parametrize("name", [name for name, f in DISPATCHED.items() if answer_to(f) == "refused"])
def test_what_is_refused_says_what_to_write(name: str) -> None:
    t = tg.Tensor([0.5, 1.5], requires_grad=True)
    function = DISPATCHED[name]
    ufunc = isinstance(function, np.ufunc)
    ask = t.__array_ufunc__ if ufunc else t.__array_function__
    args = ("__call__", *[t] * function.nin) if ufunc else ((tg.Tensor,), (t,), {})
    with pytest.raises(TypeError, match=r"has no derivative rule in tensorgrad.*\.data"):
        ask(function, *args)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ufuncs())
def test_methods_of_ufuncs(name: str, method: str) -> None:
    ufunc, answer = ufuncs()[name], answer_to(ufuncs()[name], method)
    t = tg.Tensor([0.25, 0.75, 1.5], requires_grad=True) * 1.0
    args = {"outer": (t, t), "at": (t, [0, 0], 0.5), "reduceat": (t, [0, 2])}.get(method, (t,))
    if answer == "refused":
        with pytest.raises(TypeError, match=r"tensorgrad"):
            getattr(ufunc, method)(*args)
        return
    plain = [np.array(a.data) if isinstance(a, tg.Tensor) else a for a in args]
    try:
        expected = getattr(ufunc, method)(*plain)
    except TypeError:  # of integers only
        with pytest.raises(TypeError):
            getattr(ufunc, method)(*args)
        return
    result = getattr(ufunc, method)(*args)
    np.testing.assert_allclose(
        t.data if method == "at" else np.asarray(getattr(result, "data", result)),
        plain[0] if method == "at" else expected,
        rtol=1e-14,
    )
    assert answer == "answered" or (t if method == "at" else result).requires_grad


@pytest.mark.parametrize("draw", ["normal", "uniform", "gamma", "exponential", "poisson", "choice"])
def test_numpys_generators_refuse_what_has_a_history(draw: str) -> None:
    t = tg.Tensor([0.5, 1.5], requires_grad=True) * 1.0
    with pytest.raises((tg.GraphError, TypeError), match=r"tg\.stack|detach|tensorgrad"):
        getattr(np.random.default_rng(0), draw)(t)
