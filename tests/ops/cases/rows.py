"""The row of the table of operation cases, and short ways to write one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

INF = np.inf
_rng = np.random.default_rng(0)


def seed(family: str) -> None:
    """Restart the random numbers, so that rows added to one family do not change another's."""
    global _rng
    _rng = np.random.default_rng(list(family.encode()))


def u(*shape: int, low: float = -2.0, high: float = 2.0) -> Any:
    """Uniform random numbers."""
    return _rng.uniform(low, high, shape)


def z(*shape: int) -> Any:
    """Complex random numbers of magnitude 0.5 to 2, away from the negative real axis, where logarithms jump."""
    return _rng.uniform(0.5, 2.0, shape) * np.exp(1j * _rng.uniform(-2.8, 2.8, shape))


def positive(*shape: int) -> Any:
    return u(*shape, low=0.3, high=2.5)


@dataclass(frozen=True)
class Sample:
    """The arguments of one call: arrays to differentiate with respect to, then the others."""

    arrays: tuple[Any, ...]
    more: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)

    def apply(self, function: Callable[..., Any], arrays: Any = None) -> Any:
        return function(*(self.arrays if arrays is None else arrays), *self.more, **self.keywords)


def S(*arrays: Any, more: tuple[Any, ...] = (), **keywords: Any) -> Sample:
    wide = (np.asarray(a, dtype=np.complex128 if np.iscomplexobj(a) else np.float64) for a in arrays)
    return Sample(tuple(wide), more, keywords)


@dataclass(frozen=True)
class Kink:
    """The gradients of the sum of the result at a singular point."""

    sample: Sample
    gradients: tuple[Any, ...]


def K(sample: Sample, *gradients: Any) -> Kink:
    return Kink(sample, gradients)


@dataclass(frozen=True)
class Guard:
    """Exact derivatives of any order, at a point where a rule has a guard: 0, a pole of a factor, the end of a domain.

    A guard that puts a harmless number in place of x is right in value at its point, and can be wrong as a function.
    """

    sample: Sample
    derivatives: dict[str, float]  # "xxy": twice by the first argument and once by the second, in any order


def G(*point: float, more: tuple[Any, ...] = (), **derivatives: float) -> Guard:
    return Guard(S(*point, more=more), derivatives)


@dataclass(frozen=True)
class Refusal:
    call: Callable[[], Any]
    error: type[Exception]
    texts: tuple[str, ...]


def R(call: Callable[[], Any], error: type[Exception], *texts: str) -> Refusal:
    return Refusal(call, error, texts)


@dataclass(frozen=True)
class Case:
    name: str
    oracle: Callable[..., Any]
    samples: tuple[Sample, ...]
    op: Callable[..., Any]
    method: str | None = None  # how the numeric derivative is taken: "complex" where the operation is analytic
    orders: int = 2  # how many times it is differentiated; 0: the result has no gradient
    kinks: tuple[Kink, ...] = ()
    guards: tuple[Guard, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    float32: bool = True  # float32 in, float32 out
    honest: bool = True  # its gradient is its derivative; False: a surrogate, which kinks show


def public(name: str) -> Any:
    found: Any = tg
    for part in name.split("."):
        found = getattr(found, part)
    return found


def C(name: str, oracle: Any, *samples: Sample, op: Any = None, **rest: Any) -> Case:
    return Case(name, oracle, samples, op or public(name), **rest)


def row(name: str, *samples: Sample, oracle: Any = None, **rest: Any) -> Case:
    """An analytic operation whose oracle is NumPy's function of the same name."""
    rest.setdefault("method", "complex")
    return C(name, oracle or getattr(np, name), *samples, **rest)


def unary(name: str, oracle: Any, make: Any = u, **rest: Any) -> Case:
    rest.setdefault("method", "complex")
    return C(name, oracle, S(make(2, 3)), S(make()), S(make(0, 3)), S(make(3, 1)[::-1].T), **rest)


def compared(name: str) -> Case:
    oracle = getattr(np, name)
    samples = (S([1.0, 2.0], [2.0, 2.0]), S(u(2, 3), u(3)), S([0.0, 1.0, 0.0], [0.0, 0.0, 2.0]), S(u(), u()))
    refusal = R(lambda: public(name)(np.ones(2), np.ones(3)), ShapeError, name, "(2,)", "(3,)")
    return C(name, oracle, *samples, orders=0, refusals=(refusal,))


def real(name: str) -> Refusal:
    """The refusal of complex numbers."""
    return R(lambda: public(name)(np.array([1j])), DTypeError, name, "complex128")


def binary(name: str, oracle: Any, left: Any = u, right: Any = u, **rest: Any) -> Case:
    """A function of two arrays; test_cases.py tries it with all pairs of seven shapes."""
    rest.setdefault("method", "complex")
    text = ("(4, 5)", "(3, 5)", "axis -2", name)
    more = rest.pop("refusals", ())
    refusals = (R(lambda: public(name)(np.ones((4, 5)), np.ones((3, 5))), ShapeError, *text), *more)
    samples = (S(left(2, 3), right(2, 3)), S(left(), right()), S(left(0, 3), right(3)))
    return C(name, oracle, *samples, refusals=refusals, **rest)


def joined(function: Any) -> Any:
    """A function of a sequence of arrays, turned into one of several arguments."""
    return lambda *arrays, **keywords: function(arrays, **keywords)


def out_of_axes(name: str, call: Any) -> tuple[Refusal, ...]:
    return (
        R(lambda: call(np.ones((2, 3)), 2), ShapeError, name, "axis 2", "2 dimensions"),
        R(lambda: call(np.ones((2, 3)), (0, -2)), ShapeError, name, "same axis twice"),
        R(lambda: call(np.ones((2, 3)), 1.5), TypeError, name, "1.5"),
    )


MASK = np.array([[True, False, True], [False, True, False]])
ROW = np.array([0, 2, 0])
