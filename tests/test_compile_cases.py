"""Every row of the table of operation cases, differentiated in a compiled step: the replay equals the eager result."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.engine.trees import leaves

from .ops.cases import GROUPS, Case, Sample

NATIVE = ["native"] if importlib.util.find_spec("llvmlite") else []
# The rows whose second call runs uncompiled, because a gradient has to be repaired: zero times an infinite derivative.
# Native code that does not need the repair may compute them.
REPAIRED = {"grad": {"safe_where"}, "hessian": {"safe_where", "linalg.slogdet"}}
WITHOUT_GRADIENT = {("polyval", 3)}  # its result does not depend on its argument
# A Hessian of up to 1,700 instructions takes seconds to compile: natively, only those of fewer than this.
LARGE = 120


def _function(case: Case, sample: Sample, phases: tuple[Any, ...]) -> Callable[..., Any]:
    """A scalar made of all results, with second derivatives everywhere."""

    def f(*arrays: Any) -> Any:
        turned = (a if phase is None else a * phase for a, phase in zip(arrays, phases, strict=True))
        results = sample.apply(case.op, turned)
        total = tg.Tensor(0.0)
        for result in results if isinstance(results, list | tuple) else [results]:
            if isinstance(result, tg.Tensor) and result.dtype.kind in "fc":
                weights = 1.0 + 0.5 * np.cos(np.arange(result.size)).reshape(result.shape)
                squares = tg.real(result) ** 2 + 2 * tg.imag(result) ** 2 if result.dtype.kind == "c" else result**2
                total = total + (weights * squares).sum()
        return total

    return f


def _prepared(case: Case, sample: Sample, order: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The function, and the arrays to differentiate with respect to: a Hessian takes the absolute values of complex."""
    if order < 2 or not any(map(np.iscomplexobj, sample.arrays)):
        return _function(case, sample, (None,) * len(sample.arrays)), sample.arrays
    sizes = tuple(np.abs(a) for a in sample.arrays)
    phases = (np.where(size > 0, a / np.where(size > 0, size, 1.0), 1.0) for a, size in zip(sample.arrays, sizes))
    return _function(case, sample, tuple(phases)), sizes


def _others(arrays: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Other values of the same shapes: in another order; in this one, where the operation refuses the other."""
    for change in (lambda a: 0.97 * np.flip(a), lambda a: 0.97 * a):
        yield tuple(np.array(change(a), order="C") for a in arrays)


def _eager(f: Callable[..., Any], arrays: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    """Other values and the eager result for them."""
    refused: Exception | None = None
    for others in _others(arrays):
        try:
            return others, f(*others)
        except (ValueError, np.linalg.LinAlgError) as error:
            refused = error
    raise AssertionError("the operation refuses all values but its own") from refused


def _compare(got: Any, expected: Any, what: str, backend: str) -> None:
    for one, other in zip(leaves(got), leaves(expected), strict=True):
        assert type(one) is type(other), what
        assert (one.shape, one.dtype) == (other.shape, other.dtype), what
        size = np.max(np.abs(other), initial=0.0, where=np.isfinite(other))
        rounding = 1e-12 if backend == "numpy" else 1e-10
        np.testing.assert_allclose(one, other, rtol=rounding, atol=rounding * size, err_msg=what)


def _check(cases: tuple[Case, ...], transform: str, backends: list[str], samples: slice) -> None:
    order = 2 if transform == "hessian" else 1
    native = 0
    uncompiled: dict[str, set[str]] = {backend: set() for backend in backends}
    for case in cases:
        if case.orders < order:
            continue
        for position in range(len(case.samples))[samples]:
            sample = case.samples[position]
            if (case.name, position) in WITHOUT_GRADIENT or not sample.arrays:
                continue
            f, arrays = _prepared(case, sample, order)
            derivative = getattr(tg, transform)(f, tuple(range(len(arrays))))
            others, expected = _eager(derivative, arrays)
            instructions = 0
            for backend in backends:
                if backend == "native" and instructions > LARGE:
                    continue
                what = f"{transform} of {case.name}, sample {position}, {backend}"
                compiled = tg.compile(derivative, backend=backend)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    compiled(*(np.array(a, order="C") for a in arrays))
                    got = compiled(*others)
                _compare(got, expected, what, backend)
                native += backend == "native"
                instructions = 0 if order == 1 or caught else len(compiled.program.instructions)
                if caught:
                    assert all("not finite" in str(w.message) for w in caught), [str(w.message) for w in caught]
                    uncompiled[backend].add(case.name)
                else:
                    assert compiled.traces == 1, what
    assert native or backends == ["numpy"]
    here = {case.name for case in cases} & REPAIRED[transform]
    for backend in backends:
        assert uncompiled[backend] == here if backend == "numpy" else uncompiled[backend] <= here


@pytest.mark.parametrize("transform", ["grad", "hessian"])
@pytest.mark.parametrize("group", GROUPS)
def test_first_samples(group: str, transform: str) -> None:
    _check(GROUPS[group], transform, ["numpy", *NATIVE], slice(0, 1))


@pytest.mark.parametrize("group", GROUPS)
def test_other_samples(group: str) -> None:
    _check(GROUPS[group], "grad", ["numpy"], slice(1, None))


def test_numbers_of_a_kind_that_is_not_traced() -> None:
    """A Python complex number is part of the key: each is traced, and is right."""
    compiled = tg.compile(tg.grad(lambda z: tg.abs(z * z)))
    for z in (1 + 2j, 2 - 1j, 1 + 2j):
        np.testing.assert_allclose(compiled(z), tg.grad(lambda z: tg.abs(z * z))(z), rtol=1e-14)
    assert compiled.traces == 2
