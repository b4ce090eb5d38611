"""The table of operation cases: one row for every public operation, read by ``test_cases.py``.

A row has the operation, the NumPy or SciPy function that is its oracle, samples of inputs (float64,
differentiated; more arguments as they are), what its gradient is at singular points, and what it refuses. An
operation that is missing here fails the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

INF = np.inf
RNG = np.random.default_rng(2024)


def u(*shape: int, low: float = -2.0, high: float = 2.0) -> Any:
    """Uniform random numbers."""
    return RNG.uniform(low, high, shape)


def positive(*shape: int) -> Any:
    return u(*shape, low=0.3, high=2.5)


@dataclass(frozen=True)
class Sample:
    """Arguments of one call: arrays to differentiate by, then what follows them."""

    arrays: tuple[Any, ...]
    more: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)

    def apply(self, function: Callable[..., Any], arrays: Any = None) -> Any:
        return function(*(self.arrays if arrays is None else arrays), *self.more, **self.keywords)


def S(*arrays: Any, more: tuple[Any, ...] = (), **keywords: Any) -> Sample:
    return Sample(tuple(np.asarray(a, dtype=np.float64) for a in arrays), more, keywords)


@dataclass(frozen=True)
class Kink:
    """The gradients of the sum of the result at a singular point."""

    sample: Sample
    gradients: tuple[Any, ...]


def K(sample: Sample, *gradients: Any) -> Kink:
    return Kink(sample, gradients)


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
    orders: int = 2  # how often it is differentiated; 0: the result has no gradient
    kinks: tuple[Kink, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    float32: bool = True  # float32 in, float32 out


def public(name: str) -> Any:
    found: Any = tg
    for part in name.split("."):
        found = getattr(found, part)
    return found


def C(name: str, oracle: Any, *samples: Sample, op: Any = None, **rest: Any) -> Case:
    return Case(name, oracle, samples, op or public(name), **rest)


def unary(name: str, oracle: Any, make: Any = u, **rest: Any) -> Case:
    rest.setdefault("method", "complex")
    return C(name, oracle, S(make(2, 3)), S(make()), S(make(0, 3)), S(make(3, 1)[::-1].T), **rest)


def binary(name: str, oracle: Any, left: Any = u, right: Any = u, **rest: Any) -> Case:
    """Pairs of shapes are in test_cases.py: all that broadcast, of seven."""
    rest.setdefault("method", "complex")
    text = ("(4, 5)", "(3, 5)", "axis -2", name)
    refusals = (R(lambda: public(name)(np.ones((4, 5)), np.ones((3, 5))), ShapeError, *text),)
    samples = (S(left(2, 3), right(2, 3)), S(left(), right()), S(left(0, 3), right(3)))
    return C(name, oracle, *samples, refusals=refusals, **rest)


def compared(name: str) -> Case:
    oracle = getattr(np, name)
    samples = (S([1.0, 2.0], [2.0, 2.0]), S(u(2, 3), u(3)), S(u(), u()))
    refusal = R(lambda: public(name)(np.ones(2), np.ones(3)), ShapeError, name, "(2,)", "(3,)")
    return C(name, oracle, *samples, orders=0, refusals=(refusal,))


def joined(function: Any) -> Any:
    """A function of a sequence of arrays, as one of several arguments."""
    return lambda *arrays, **keywords: function(arrays, **keywords)


def einsum(function: Any) -> Any:
    return lambda *args: function(args[-1], *args[:-1])


def numpy_scatter(values: Any, key: Any, shape: Any) -> Any:
    result = np.zeros(shape, dtype=values.dtype)
    np.add.at(result, key, values)
    return result


def written(copy: Any) -> Any:
    def write(y: Any, value: Any, key: Any) -> Any:
        y = copy(y)
        y[key] = value
        return y

    return write


def cumulative(x: Any, axis: Any = None, include_initial: bool = False) -> Any:
    sums = np.cumsum(x, axis)
    axis = 0 if axis is None else axis
    return np.insert(sums, 0, 0, axis) if include_initial else sums


def along_last(function: Any) -> Any:
    """SciPy's function with our default axis; it does not take empty arrays."""
    return lambda x, axis=-1: function(x, axis) if x.size else x.copy()


def loop_softplus(x: Any) -> Any:
    return np.vectorize(lambda v: v + np.log1p(np.exp(-v)) if v > 0 else np.log1p(np.exp(v)), otypes=[x.dtype])(x)


def out_of_axes(name: str, call: Any) -> tuple[Refusal, ...]:
    return (
        R(lambda: call(np.ones((2, 3)), 2), ShapeError, name, "axis 2", "2 dimensions"),
        R(lambda: call(np.ones((2, 3)), (0, -2)), ShapeError, name, "same axis twice"),
        R(lambda: call(np.ones((2, 3)), 1.5), TypeError, name, "1.5"),
    )


def reduced(name: str, oracle: Any, make: Any = u, empty: bool = False, **rest: Any) -> Case:
    """A reduction along axes."""
    op = public(name)
    samples = [
        S(make(2, 3)),
        S(make(2, 3), axis=0),
        S(make(2, 3), axis=-1, keepdims=True),
        S(make(2, 3, 2), axis=(0, -1)),
        S(make(2, 3, 2), axis=(2, 0), keepdims=True),
        S(make(2, 2), axis=None, keepdims=True),
        S(make()),
        S(make(1, 3), axis=0),
        S(make(0, 3), axis=1),
        S(make(3, 2).T, axis=(1,)),
    ]
    refusals = out_of_axes(name, lambda x, axis: op(x, axis=axis))
    if empty:
        samples += [S(make(0, 3)), S(make(2, 0, 3), axis=1)]
    else:
        refusals += (
            R(lambda: op(np.ones((2, 0)), axis=1), ShapeError, name, "(2, 0)"),
            R(lambda: op(np.ones(0)), ValueError, name, "(0,)"),
        )
    rest["refusals"] = (*refusals, *rest.pop("refusals", ()))
    return C(name, oracle, *samples, *rest.pop("samples", ()), **rest)


def matmul_pairs(*pairs: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[Sample, ...]:
    return tuple(S(u(*a), u(*b)) for a, b in pairs)


def mismatch(name: str) -> Refusal:
    return R(lambda: public(name)(np.ones((4, 5)), np.ones((3, 2))), ShapeError, name, "(4, 5)", "(3, 2)", "5 != 3")


def zero_gradient(name: str, oracle: Any, **rest: Any) -> Case:
    return unary(name, oracle, lambda *shape: u(*shape) + 0.01, method="central", **rest)


MASK = np.array([[True, False, True], [False, True, False]])
ROW = np.array([0, 2, 0])

CASES: tuple[Case, ...] = (
    # --- arithmetic
    binary("add", np.add),
    binary("subtract", np.subtract),
    binary("multiply", np.multiply),
    binary("divide", np.divide, right=positive),
    binary(
        "power",
        np.power,
        positive,
        kinks=(
            K(S([0.0, 0.0, 0.0], [0.0, 2.0, 0.5]), [0.0, 0.0, INF], [0.0, 0.0, 0.0]),
            K(S([-1.0], [0.5]), [np.nan], [np.nan]),
            K(S([-2.0, 4.0], [2.0, 0.0]), [-4.0, 0.0], [np.nan, np.log(4.0)]),
            K(S([0.0], [-1.0]), [-INF], [-INF]),
            K(S([3.0, 3.0], more=(np.array([True, False]),)), [1.0, 0.0]),
        ),
    ),
    unary("negative", np.negative),
    unary("positive", np.positive),
    unary("abs", np.abs, method="central", kinks=(K(S([0.0, -0.0, -2.0, 3.0]), [0.0, 0.0, -1.0, 1.0]),)),
    unary("square", np.square),
    unary("sqrt", np.sqrt, positive, kinks=(K(S([0.0, -1.0]), [INF, np.nan]),)),
    unary("reciprocal", np.reciprocal, positive, kinks=(K(S([0.0]), [-INF]),)),
    # --- exponential and logarithm
    unary("exp", np.exp),
    unary("expm1", np.expm1, kinks=(K(S([-50.0, 0.0]), [np.exp(-50.0), 1.0]),)),
    unary("log", np.log, positive, kinks=(K(S([0.0]), [INF]),)),
    unary("log1p", np.log1p, positive, kinks=(K(S([-1.0]), [INF]),)),
    binary("logaddexp", np.logaddexp, method="central"),
    # --- trigonometric and hyperbolic
    unary("sin", np.sin),
    unary("cos", np.cos),
    unary("tan", np.tan, lambda *shape: u(*shape, low=-1.2, high=1.2)),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh, kinks=(K(S([1e4, -1e4]), [0.0, 0.0]),)),
    unary("arcsin", np.arcsin, lambda *shape: u(*shape, low=-0.9, high=0.9), kinks=(K(S([1.0]), [INF]),)),
    unary("arccos", np.arccos, lambda *shape: u(*shape, low=-0.9, high=0.9), kinks=(K(S([-1.0]), [-INF]),)),
    unary("arctan", np.arctan),
    # --- rounding and sign
    zero_gradient("sign", np.sign, kinks=(K(S([0.0, 2.0]), [0.0, 0.0]),)),
    zero_gradient("floor", np.floor, kinks=(K(S([1.0, 1.5]), [0.0, 0.0]),)),
    zero_gradient("ceil", np.ceil, kinks=(K(S([1.0, 1.5]), [0.0, 0.0]),)),
    C("round", np.round, S(u(2, 3)), S(u(3), more=(1,)), S(u()), kinks=(K(S([0.5]), [0.0]),)),
    unary("zeros_like", np.zeros_like),
    # --- select
    binary("maximum", np.maximum, method="central", kinks=(K(S([1.0, 2.0], [1.0, 3.0]), [0.5, 0], [0.5, 1]),)),
    binary("minimum", np.minimum, method="central", kinks=(K(S([1.0, 2.0], [1.0, 3.0]), [0.5, 1], [0.5, 0]),)),
    C(
        "where",
        lambda x, y, mask: np.where(mask, x, y),
        S(u(2, 3), u(2, 3), more=(MASK,)),
        S(u(), u(3), more=(MASK,)),
        S(u(2, 1), u(3), more=(True,)),
        S(u(2, 0), u(2, 1), more=(np.ones((2, 1), dtype=bool),)),
        op=lambda x, y, mask: tg.where(mask, x, y),
        method="complex",
        refusals=(R(lambda: tg.where(MASK, np.ones(2), 0.0), ShapeError, "where", "(2, 3)", "(2,)"),),
    ),
    C(
        "clip",
        np.clip,
        S(u(2, 3), more=(-1.0, 1.0)),
        S(u(2, 3), more=(None, 0.5)),
        S(u(), more=(0.5, None)),
        S(u(2, 3), u(3, low=-2.0, high=-1.0), u(2, 1, low=1.0, high=2.0)),
        method="central",
        kinks=(K(S([-1.0, 1.0, -2.0, 2.0, 0.0], more=(-1.0, 1.0)), [1, 1, 0, 0, 1]),),
        refusals=(R(lambda: tg.clip(np.ones(2), np.ones(3), 2.0), ShapeError, "clip", "(2,)", "(3,)"),),
    ),
    # --- comparisons
    *map(compared, ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")),
    C("isfinite", np.isfinite, S([1.0, INF, np.nan]), S(2.0), orders=0),
    # --- reductions
    reduced("sum", np.sum, empty=True, method="complex"),
    reduced("mean", np.mean, method="complex"),
    reduced(
        "prod",
        np.prod,
        empty=True,
        method="complex",
        samples=(S([2.0, 0.0, 3.0, 5.0, 7.0]), S([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0]], axis=1)),
        kinks=(K(S([2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]), K(S([0.0, 0.0, 4.0]), [0.0, 0.0, 0.0])),
    ),
    reduced(
        "max",
        np.max,
        method="central",
        kinks=(K(S([1.0, 3.0, 3.0]), [0.0, 0.5, 0.5]), K(S([1, np.nan]), [0, 1])),
    ),
    reduced("min", np.min, method="central", kinks=(K(S([[1.0, 1.0], [2.0, 0.0]], axis=1), [[0.5, 0.5], [0, 1]]),)),
    reduced(
        "var",
        np.var,
        method="complex",
        samples=(S(u(4), ddof=1), S(u(2, 3), axis=0, ddof=1)),
        kinks=(K(S([0.5] * 4), [0.0] * 4), K(S([3.0]), [0.0])),
        refusals=(R(lambda: tg.var([1.0], ddof=1), ShapeError, "var", "ddof=1", "(1,)"),),
    ),
    reduced(
        "std",
        np.std,
        method="central",
        samples=(S(u(4), ddof=1), S(u(2, 3), axis=1, ddof=1)),
        kinks=(
            K(S([0.5] * 4), [0.0] * 4),
            K(S([0.1] * 3), [0.0] * 3),
            K(S([[0.7] * 3] * 2, axis=1), [[0.0] * 3] * 2),
        ),
        refusals=(R(lambda: tg.std([1.0], ddof=1), ShapeError, "std", "ddof=1", "(1,)"),),
    ),
    reduced(
        "logsumexp",
        scipy.special.logsumexp,
        method="central",
        kinks=(
            K(S([1e4, 1e4, -1e4]), [0.5, 0.5, 0.0]),
            K(S([-INF, 0.0]), [0.0, 1.0]),
            K(S([[-INF, -INF], [0.0, 0.0]], axis=1), [[0.0, 0.0], [0.5, 0.5]]),
        ),
    ),
    # --- running sums and differences
    C(
        "cumsum",
        np.cumsum,
        S(u(4)),
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3), axis=-1),
        S(u(0, 3), axis=1),
        S(u()),
        method="complex",
        refusals=(R(lambda: tg.cumsum(np.ones(3), 1), ShapeError, "cumsum", "axis 1"),),
    ),
    C(
        "cumulative_sum",
        cumulative,
        S(u(4)),
        S(u(4), include_initial=True),
        S(u(2, 3), axis=0, include_initial=True),
        S(u(2, 3), axis=-1),
        S(u(0), include_initial=True),
        method="complex",
        refusals=(R(lambda: tg.cumulative_sum(np.ones((2, 2))), ShapeError, "cumulative_sum", "(2, 2)", "axis="),),
    ),
    C(
        "diff",
        np.diff,
        S(u(4)),
        S(u(4), n=2),
        S(u(4), n=0),
        S(u(2, 3), axis=0),
        S(u(2, 3), n=3),
        S(u(3, 4), n=3, axis=-1),
        S(u(1, 3), axis=0),
        method="complex",
        refusals=(
            R(lambda: tg.diff(np.ones(3), n=-1), ValueError, "diff", "-1"),
            R(lambda: tg.diff(np.ones(3), axis=1), ShapeError, "diff", "axis 1"),
        ),
    ),
    # --- shapes
    C(
        "reshape",
        np.reshape,
        S(u(2, 3), more=((3, 2),)),
        S(u(2, 3).T, more=((-1, 2),)),
        S(u(), more=((1, 1),)),
        S(u(6), more=(6,)),
        S(u(0, 3), more=((3, 0),)),
        method="complex",
        refusals=(
            R(lambda: tg.reshape(np.ones((2, 3)), (4,)), ShapeError, "reshape", "(2, 3)", "6", "(4,)", "4"),
            R(lambda: tg.reshape(np.ones((2, 3)), (-1, 4)), ShapeError, "reshape", "(2, 3)", "(-1, 4)"),
            R(lambda: tg.reshape(np.ones((2, 3)), (-1, -1)), ShapeError, "reshape", "(-1, -1)"),
            R(lambda: tg.reshape(np.ones((0, 3)), (-1, 0)), ShapeError, "reshape", "(-1, 0)"),
            R(lambda: tg.reshape(np.ones(2), (2.0,)), TypeError, "reshape", "integers"),
        ),
    ),
    C("ravel", np.ravel, S(u(2, 3)), S(u(2, 3).T), S(u()), S(u(0, 2)), method="complex"),
    C(
        "squeeze",
        np.squeeze,
        S(u(1, 3, 1)),
        S(u(1, 3, 1), axis=0),
        S(u(1, 3, 1), axis=(0, -1)),
        S(u(2)),
        method="complex",
        refusals=(
            R(lambda: tg.squeeze(np.ones((1, 3)), 1), ShapeError, "squeeze", "axis 1", "(1, 3)", "length 3"),
            R(lambda: tg.squeeze(np.ones((1, 3)), 2), ShapeError, "squeeze", "axis 2"),
        ),
    ),
    C(
        "expand_dims",
        np.expand_dims,
        S(u(2), axis=0),
        S(u(2, 3), axis=(1, -1)),
        S(u(), axis=0),
        method="complex",
        refusals=(R(lambda: tg.expand_dims(np.ones(2), 3), ShapeError, "expand_dims", "axis 3"),),
    ),
    C(
        "transpose",
        np.transpose,
        S(u(2, 3)),
        S(u(2, 3, 4), more=((1, 2, 0),)),
        S(u(2, 3, 4), more=((-1, 0, 1),)),
        S(u(3)),
        S(u()),
        method="complex",
        refusals=(
            R(lambda: tg.transpose(np.ones((2, 3)), (0,)), ShapeError, "transpose", "(0,)", "(2, 3)"),
            R(lambda: tg.transpose(np.ones((2, 3)), (0, 0)), ShapeError, "transpose", "twice"),
        ),
    ),
    C(
        "permute_dims",
        np.transpose,
        S(u(2, 3, 4), more=((2, 0, 1),)),
        method="complex",
        refusals=(R(lambda: tg.permute_dims(np.ones((2, 3)), (0, 2)), ShapeError, "permute_dims", "axis 2"),),
    ),
    C(
        "matrix_transpose",
        lambda x: np.swapaxes(x, -1, -2),
        S(u(2, 3)),
        S(u(2, 3, 4)),
        method="complex",
        refusals=(R(lambda: tg.matrix_transpose(np.ones(3)), ShapeError, "matrix_transpose", "(3,)"),),
    ),
    C(
        "swapaxes",
        np.swapaxes,
        S(u(2, 3, 4), more=(0, -1)),
        S(u(2, 3), more=(1, 1)),
        method="complex",
        refusals=(R(lambda: tg.swapaxes(np.ones((2, 3)), 0, 2), ShapeError, "swapaxes", "axis 2"),),
    ),
    C(
        "moveaxis",
        np.moveaxis,
        S(u(2, 3, 4), more=(0, -1)),
        S(u(2, 3, 4), more=((0, 1), (-1, 0))),
        method="complex",
        refusals=(R(lambda: tg.moveaxis(np.ones((2, 3)), (0, 1), 0), ShapeError, "moveaxis", "(0, 1)"),),
    ),
    C(
        "broadcast_to",
        np.broadcast_to,
        S(u(3), more=((2, 3),)),
        S(u(2, 1), more=((4, 2, 3),)),
        S(u(), more=(3,)),
        S(u(1), more=((0,),)),
        method="complex",
        refusals=(
            R(
                lambda: tg.broadcast_to(np.ones(3), (2, 4)),
                ShapeError,
                "broadcast_to",
                "(3,)",
                "(2, 4)",
                "axis -1",
            ),
            R(lambda: tg.broadcast_to(np.ones((2, 3)), (3,)), ShapeError, "broadcast_to", "(2, 3)", "(3,)"),
            R(lambda: tg.broadcast_to(np.ones(3), (2, 1)), ShapeError, "broadcast_to", "(3,)", "(2, 1)"),
        ),
    ),
    C(
        "flip",
        np.flip,
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3, 2), axis=(0, -1)),
        method="complex",
        refusals=(R(lambda: tg.flip(np.ones(3), axis=1), ShapeError, "flip", "axis 1"),),
    ),
    C(
        "astype",
        lambda x, dtype: x.astype(dtype),
        S(u(2, 3), more=(np.float64,)),
        method="central",
        float32=False,
    ),
    # --- joining
    *(
        C(
            name,
            joined(np.concatenate),
            S(u(2, 3), u(1, 3)),
            S(u(2, 3), u(2, 1), u(2, 0), axis=-1),
            S(u(2, 3), u(2), axis=None),
            S(u(3)),
            op=joined(public(name)),
            method="complex",
            refusals=(
                R(
                    lambda name=name: public(name)([np.ones((2, 3)), np.ones((3, 2))]),
                    ShapeError,
                    name,
                    "(2, 3)",
                    "(3, 2)",
                    "axis 0",
                    "axis 1 has 2 and 3",
                ),
                R(
                    lambda name=name: public(name)([np.ones(2), np.ones((2, 1))]),
                    ShapeError,
                    name,
                    "(2,)",
                    "(2, 1)",
                ),
                R(lambda name=name: public(name)([]), ShapeError, name, "at least one"),
                R(lambda name=name: public(name)([1.0, 2.0]), ShapeError, name, "stack"),
                R(lambda name=name: public(name)([np.ones(2)], axis=1), ShapeError, name, "axis 1"),
            ),
        )
        for name in ("concatenate", "concat")
    ),
    C(
        "stack",
        joined(np.stack),
        S(u(2, 3), u(2, 3)),
        S(u(2, 3), u(2, 3), axis=-1),
        S(u(), u(), u()),
        op=joined(tg.stack),
        method="complex",
        refusals=(
            R(lambda: tg.stack([np.ones(2), np.ones(3)]), ShapeError, "stack", "(2,)", "(3,)"),
            R(lambda: tg.stack([]), ShapeError, "stack"),
            R(lambda: tg.stack([np.ones(2)], axis=2), ShapeError, "stack", "axis 2"),
        ),
    ),
    C(
        "split",
        np.split,
        S(u(6), more=(3,)),
        S(u(2, 5), more=([1, 3],), axis=1),
        S(u(2, 4), more=(2,), axis=-1),
        S(u(3), more=([1, 1],)),
        S(u(0), more=(2,)),
        method="complex",
        refusals=(
            R(
                lambda: tg.split(np.ones((2, 5)), 2, axis=1),
                ShapeError,
                "split",
                "axis 1",
                "(2, 5)",
                "5",
                "2",
            ),
            R(lambda: tg.split(np.ones(4), 0), ShapeError, "split", "0"),
            R(lambda: tg.split(np.ones(4), 2, axis=1), ShapeError, "split", "axis 1"),
        ),
    ),
    # --- indexing
    C(
        "getitem",
        lambda x, key: x[key],
        S(u(2, 3), more=(1,)),
        S(u(2, 3), more=((slice(None), -1),)),
        S(u(5), more=(slice(4, 0, -2),)),
        S(u(2, 3), more=((None, Ellipsis, 0),)),
        S(u(2, 3), more=((1, 2),)),
        S(u(), more=((),)),
        S(u(3), more=([0, 0, -1],)),
        S(u(2, 3), more=((slice(None), ROW),)),
        S(u(2, 3), more=(([1, 0, 1], ROW),)),
        S(u(2, 3, 2), more=(([1, 1], slice(None), [0, 0]),)),
        S(u(2, 3, 2), more=(([[1], [1]], [0, 2], [0, 1]),)),
        S(u(2, 3), more=(MASK,)),
        S(u(2, 3), more=((slice(None), np.array([True, False, True])),)),
        S(u(3), more=(np.zeros(3, dtype=bool),)),
        S(u(3), more=([],)),
        S(u(3), more=(slice(2, 2),)),
        S(u(2, 3), more=(True,)),
        op=tg.ops.getitem,
        method="complex",
        refusals=(
            R(lambda: tg.Tensor([1.0, 2.0])[2], IndexError, "getitem", "2", "(2,)"),
            R(lambda: tg.Tensor([1.0, 2.0])[[0, 5]], IndexError, "getitem", "5", "(2,)"),
            R(lambda: tg.Tensor([1.0, 2.0])[0, 0], IndexError, "getitem", "(2,)"),
            R(lambda: tg.Tensor([1.0, 2.0])[1.0], DTypeError, "getitem", "float"),
            R(lambda: tg.Tensor([1.0, 2.0])[np.array([0.0])], DTypeError, "getitem", "float64"),
            R(lambda: tg.Tensor([1.0, 2.0])["a"], DTypeError, "getitem", "<U1"),
        ),
    ),
    C(
        "scatter",
        numpy_scatter,
        S(u(2), more=(slice(1, 3), (4,))),
        S(u(3), more=((ROW,), (4,))),
        S(u(2, 3), more=((slice(None), ROW), (2, 3))),
        S(u(3), more=(MASK, (2, 3))),
        S(u(), more=(1, (3,))),
        op=tg.ops.scatter,
        method="complex",
        refusals=(R(lambda: tg.ops.scatter(np.ones(1), [3], (2,)), IndexError, "scatter", "(2,)"),),
    ),
    C(
        "setitem",
        written(np.copy),
        S(u(3), u(), more=(1,)),
        S(u(2, 3), u(3), more=(slice(None),)),
        S(u(2, 3), u(2, 1), more=((slice(None), slice(0, 2)),)),
        S(u(4), u(3), more=([3, 0, 1],)),
        S(u(3), u(4), more=([0, 2, 0, 0],)),
        S(u(2, 3), u(), more=(MASK,)),
        S(u(2, 3), u(3), more=(([1, 0, 1], ROW),)),
        S(u(2, 3, 2), u(2), more=(([1, 0], [1, 1], [0, 0]),)),
        S(u(), u(), more=((),)),
        op=written(tg.positive),
        method="complex",
        refusals=(
            R(lambda: written(tg.Tensor)(np.ones(3), 1.0, 3), IndexError, "setitem", "3", "(3,)"),
            R(
                lambda: written(tg.Tensor)(np.ones(3), np.ones(2), slice(None)),
                ShapeError,
                "setitem",
                "(3,)",
                "(2,)",
            ),
            R(lambda: written(tg.Tensor)([1, 2], 0.5, 0), DTypeError, "setitem", "float64", "int64"),
            R(lambda: written(tg.Tensor)([1.0], 1j, 0), DTypeError, "setitem", "complex128"),
        ),
    ),
    C(
        "take",
        np.take,
        S(u(3), more=([0, 2, 0],)),
        S(u(2, 3), more=([[0, -1], [1, 1]],)),
        S(u(2, 3), more=([2, 0],), axis=1),
        S(u(2, 3), more=(1,), axis=-1),
        method="complex",
        refusals=(
            R(lambda: tg.take(np.ones((2, 3)), [3], axis=1), IndexError, "take", "3", "(2, 3)"),
            R(lambda: tg.take(np.ones(3), [0.5]), DTypeError, "take", "float64"),
            R(lambda: tg.take(np.ones(3), [True]), DTypeError, "take", "mask"),
            R(lambda: tg.take(np.ones(3), [0], axis=1), ShapeError, "take", "axis 1"),
        ),
    ),
    C(
        "take_along_axis",
        np.take_along_axis,
        S(u(2, 3), more=(np.array([[2], [-1]]),), axis=1),
        S(u(2, 3), more=(np.array([[2, 2], [0, 1]]),), axis=-1),
        S(u(2, 3), more=(np.array([[1, 0, 1]]),), axis=0),
        S(u(2, 3, 2), more=(np.array([[[1], [0], [1]]]),), axis=2),
        S(u(1, 3), more=(np.array([[2, 0], [1, 1]]),), axis=1),
        method="complex",
        refusals=(
            R(
                lambda: tg.take_along_axis(np.ones((2, 3)), [[3], [0]], axis=1),
                IndexError,
                "take_along_axis",
                "3",
            ),
            R(
                lambda: tg.take_along_axis(np.ones((2, 3)), [0, 1], axis=1),
                ShapeError,
                "(2,)",
                "(2, 3)",
                "axis 1",
            ),
            R(
                lambda: tg.take_along_axis(np.ones((2, 3)), [[0.0]], axis=1),
                DTypeError,
                "take_along_axis",
                "float64",
            ),
        ),
    ),
    # --- products
    C(
        "matmul",
        np.matmul,
        *matmul_pairs(
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((3,), (2, 3, 2)),
            ((2, 2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 2)),
            ((2, 1, 2, 3), (3, 3, 2)),
            ((0, 3), (3, 2)),
            ((2, 0), (0, 2)),
            ((2, 3, 0), (0, 4)),
            ((2, 0, 3), (3, 4)),
            ((0, 2, 3), (3, 4)),
        ),
        method="complex",
        refusals=(
            mismatch("matmul"),
            R(
                lambda: tg.matmul(np.ones((4, 5)), np.ones(3)),
                ShapeError,
                "matmul",
                "(4, 5)",
                "(3,)",
                "5 != 3",
            ),
            R(
                lambda: tg.matmul(np.ones((2, 4, 5)), np.ones((3, 5, 1))),
                ShapeError,
                "matmul",
                "(2, 4, 5)",
                "2 and 3",
            ),
            R(lambda: tg.matmul(2.0, np.ones(3)), ShapeError, "matmul", "()", "x * y"),
        ),
    ),
    C(
        "dot",
        np.dot,
        *matmul_pairs(
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 2)),
            ((3,), (2, 3, 2)),
            ((), (3,)),
            ((2,), ()),
        ),
        method="complex",
        refusals=(
            mismatch("dot"),
            R(lambda: tg.dot(np.ones(4), np.ones((2, 3, 2))), ShapeError, "dot", "4 != 3"),
        ),
    ),
    C("outer", np.outer, *matmul_pairs(((2,), (3,)), ((2, 2), (3,)), ((), (2,))), method="complex"),
    C(
        "einsum",
        einsum(np.einsum),
        S(u(2, 3), u(3, 2), more=("ij,jk->ik",)),
        S(u(2, 3), u(3), more=("ij,j",)),
        S(u(3), u(3), more=("i,i->",)),
        S(u(3, 3), more=("ii->i",)),
        S(u(3, 3), more=("ii",)),
        S(u(2, 3), more=("ij->ji",)),
        S(u(2, 3), more=("ij->j",)),
        S(u(2, 3), more=("ba",)),
        S(u(2, 2, 3), u(2, 3, 2), more=("...ij,...jk->...ik",)),
        S(u(2, 2, 3), u(3, 2), more=("...ij,jk",)),
        S(u(2, 3), u(2, 3), more=("i...,i...->...",)),
        S(u(2, 3), u(3, 2), u(2, 2), more=("ij,jk,kl->il",)),
        S(u(2), u(3), u(2), u(3), more=("i,j,i,j->ij",)),
        S(u(2, 3), u(2), more=("ij,i->i",)),
        S(u(2, 2), u(2, 2), more=("ii,ij->j",)),
        S(u(2, 2, 2), more=("iii->i",)),
        S(u(1, 3), u(2, 3), more=("ij,ij->ij",)),
        S(u(), u(2), more=(",i->i",)),
        op=einsum(tg.einsum),
        method="complex",
        refusals=(
            R(
                lambda: tg.einsum("ij,jk", np.ones((2, 3)), np.ones((2, 3))),
                ShapeError,
                "einsum",
                "'j'",
                "3 and 2",
            ),
            R(lambda: tg.einsum("ij", np.ones(3)), ShapeError, "einsum", "'ij'", "(3,)"),
            R(lambda: tg.einsum("i,j", np.ones(3)), ShapeError, "einsum", "2 terms", "1"),
            R(lambda: tg.einsum("i->j", np.ones(3)), ValueError, "einsum", "i->j"),
            R(lambda: tg.einsum("i1", np.ones((3, 3))), ValueError, "einsum", "'1'"),
            R(lambda: tg.einsum(np.ones(3), [0]), TypeError, "einsum", "ij,jk->ik"),
        ),
    ),
    # --- activations
    unary(
        "sigmoid",
        scipy.special.expit,
        kinks=(K(S([1e4, -1e4]), [0.0, 0.0]), K(S([0.0]), [0.25])),
    ),
    unary(
        "relu",
        lambda x: np.maximum(x, 0),
        method="central",
        kinks=(K(S([0.0, -0.0, -1.0, 2.0]), [0, 0, 0, 1]),),
    ),
    unary(
        "leaky_relu",
        lambda x: np.where(x > 0, x, 0.01 * x),
        method="central",
        kinks=(
            K(S([0.0, -1.0, 2.0]), [0.01, 0.01, 1.0]),
            K(S([0.0, -1.0, 2.0], alpha=0.2), [0.2, 0.2, 1.0]),
        ),
    ),
    unary("softplus", loop_softplus, method="central", kinks=(K(S([1e4, -1e4]), [1.0, 0.0]),)),
    unary("log_sigmoid", scipy.special.log_expit, method="central", kinks=(K(S([1e4, -1e4]), [0.0, 1.0]),)),
    *(
        C(
            name,
            oracle,
            S(u(2, 3)),
            S(u(2, 3), axis=0),
            S(u(2, 3, 2), axis=1),
            S(u(0, 3)),
            S(u(2, 0)),
            method="central",
            kinks=kinks,
            refusals=(R(lambda name=name: public(name)(np.ones(3), axis=1), ShapeError, name, "axis 1"),),
        )
        for name, oracle, kinks in (
            ("softmax", along_last(scipy.special.softmax), (K(S([1e4, -1e4, -INF]), [0.0, 0.0, 0.0]),)),
            ("log_softmax", along_last(scipy.special.log_softmax), (K(S([1e4, 0.0]), [-1.0, 1.0]),)),
        )
    ),
    # --- norms, special functions, random numbers
    C(
        "linalg.norm",
        np.linalg.norm,
        S(u(4)),
        S(u(2, 3)),
        S(u(2, 3), more=("fro",)),
        S(u(2, 3), axis=0),
        S(u(2, 3), more=(2,), axis=-1, keepdims=True),
        S(u(4), more=(1,)),
        S(u(4), more=(3,)),
        S(u(2, 3), more=(INF,), axis=1),
        S(u(2, 3), more=(-INF,), axis=0),
        S(u(2, 3, 2), axis=(0, 2)),
        S(u(2, 3, 2), more=("fro",), axis=(-1, 0), keepdims=True),
        S(u(2, 3, 2), keepdims=True),
        S(u(0)),
        method="central",
        kinks=(
            K(S([0.0, 0.0]), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(1,)), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(3,)), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(INF,)), [0.0, 0.0]),
            K(S([[0.0, 0.0], [3.0, 4.0]], axis=1), [[0.0, 0.0], [0.6, 0.8]]),
        ),
        refusals=(
            R(lambda: tg.linalg.norm(np.ones((2, 2)), 2), ShapeError, "norm", "ord=2", "vector_norm"),
            R(lambda: tg.linalg.norm(np.ones(2), "fro"), ShapeError, "norm", "'fro'"),
            R(lambda: tg.linalg.norm(np.ones(2), 0), ValueError, "norm", "0"),
            R(lambda: tg.linalg.norm(np.ones(2), axis=1), ShapeError, "norm", "axis 1"),
        ),
    ),
    C(
        "linalg.vector_norm",
        np.linalg.vector_norm,
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3), axis=(0, 1), ord=1, keepdims=True),
        S(u(2, 3), ord=INF),
        S(u(2, 3), ord=2.5, axis=-1),
        method="central",
        kinks=(K(S([[0.0, 0.0]]), [[0.0, 0.0]]),),
        refusals=(R(lambda: tg.linalg.vector_norm(np.ones(2), ord=-1), ValueError, "vector_norm", "-1"),),
    ),
    unary("special.erf", scipy.special.erf),
    C(
        "random.normal",
        lambda loc, scale: loc + scale * np.random.default_rng(7).standard_normal(np.broadcast(loc, scale).shape),
        S(u(2, 3), positive(3)),
        S(u(), positive(2)),
        op=lambda loc, scale: tg.random.normal(loc, scale, rng=7),
        method="complex",
        refusals=(
            R(lambda: tg.random.normal(rng=None), TypeError, "normal", "rng", "NoneType"),  # type: ignore[arg-type]
            R(lambda: tg.random.normal(np.ones(2), np.ones(3), rng=0), ShapeError, "normal", "(2,)", "(3,)"),
        ),
    ),
    C(
        "random.uniform",
        lambda low, high: low + (high - low) * np.random.default_rng(7).random(np.broadcast(low, high).shape),
        S(u(2, 3), positive(3)),
        S(u(), positive(2)),
        op=lambda low, high: tg.random.uniform(low, high, rng=7),
        method="complex",
        refusals=(R(lambda: tg.random.uniform(rng="a"), TypeError, "uniform", "rng", "str"),),  # type: ignore[arg-type]
    ),
)
