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
    *("np.full", "np.arange", "np.require", "np.fromiter", "np.kaiser", "np.asmatrix", "np.isscalar", "np.iterable"),
}


def arguments() -> list[tuple[Any, ...]]:
    """Arguments of which one or another fits most functions: all Tensors have a history."""

    def t(*shape: int) -> Any:
        count = int(np.prod(shape))
        return tg.Tensor(np.linspace(0.2, 0.8, count).reshape(shape), requires_grad=True) * 1.0

    vector, matrix, square = t(3), t(2, 3), t(2, 2) + 2 * np.eye(2)
    return [
        *((vector,), (matrix,), (square,), ([vector, vector],)),
        *((vector, vector), (square, square), (vector, 1), (vector, 0, 2), (vector, [0, 1, 2]), ("i->i", vector)),
        *((vector, vector, vector), ([True, False, True], vector), (lambda row: row * 2, 0, matrix), (matrix, (0, 1))),
        *((vector, [True, False, True], vector), (vector, [0, 1], vector), ([0, 2, 2], vector), (0.5, vector, 4)),
        *((matrix, (2, 3)), ([0, 1, 1], [vector, vector]), (vector, 2, 0), (t(2, 2, 2),), (vector, t(1)), (t(4), 2)),
    ]


def kept_history(result: Any) -> bool:
    """Is no number with a fraction among the results that has lost its history?"""
    if isinstance(result, tuple | list):
        return all(map(kept_history, result))
    if isinstance(result, tg.Tensor):
        return result.requires_grad or result.dtype.kind not in "fc" or result.size == 0 or not np.any(result.data % 1)
    return not (isinstance(result, np.ndarray | np.generic) and result.dtype.kind in "fc")


REFUSALS = (TypeError, ValueError, IndexError, tg.GraphError, np.linalg.LinAlgError)


@pytest.mark.promise("E3", "E4")
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in LEFT_ALONE])
def test_no_function_cuts_a_history(name: str) -> None:
    function = FUNCTIONS[name]
    answer = answer_to(function) if dispatched(function) else "not dispatched"
    gave = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args in arguments():
            try:
                result = function(*args)
            except REFUSALS as error:
                assert str(error)
                continue
            gave.append(result)
            assert answer == "answered" or kept_history(result), f"{name} of {args} gave {result}"
    if answer == "refused":
        assert not gave, f"{name} is refused, but gave {gave}"
    if answer == "recorded":
        assert gave, f"no arguments here fit {name}: add some"


@pytest.mark.parametrize("name", [name for name, f in DISPATCHED.items() if answer_to(f) == "refused"])
def test_what_is_refused_says_what_to_write(name: str) -> None:
    t = tg.Tensor([0.5, 1.5], requires_grad=True)
    function = DISPATCHED[name]
    with pytest.raises(TypeError, match=r"has no derivative rule in tensorgrad.*\.data"):
        if isinstance(function, np.ufunc):
            t.__array_ufunc__(function, "__call__", *[t] * function.nin)
        else:
            t.__array_function__(function, (tg.Tensor,), (t,), {})


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


@pytest.mark.parametrize("draw", ["normal", "uniform", "gamma", "exponential", "poisson", "choice", "shuffle"])
def test_numpys_generators_refuse_what_has_a_history(draw: str) -> None:
    t = tg.Tensor([0.5, 1.5], requires_grad=True) * 1.0
    with pytest.raises((tg.GraphError, TypeError), match=r"tg\.stack|detach|tensorgrad"):
        getattr(np.random.default_rng(0), draw)(t)
