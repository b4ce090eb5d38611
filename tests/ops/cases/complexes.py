"""Complex numbers: their parts, and what other operations do with them.

An operation of another family may have a second row here, for complex inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.special

import tensorgrad as tg
from tensorgrad import DTypeError

from .linalg import definite, qr_parts, regular, tall, triangle
from .rows import C, Case, K, R, Refusal, S, joined, public, seed, u, unary, z

seed("complexes")

SAMPLES = S(z(2, 3)), S(z()), S(z(0, 3))
LEAST_SQUARES = S(z(4, 2), z(4)), S(z(4, 2), u(4, 3)), S(u(4, 2), z(4)), S(z(2, 3), z(2)), S(z(3, 3), z(3, 2))
PAIRS = S(z(2, 3), z(3)), S(u(2, 3), z(3)), S(z(2, 3), u(3)), S(z(), u())


def part(name: str, oracle: Any, **rest: Any) -> Case:
    return C(name, oracle, S(u(2, 3)), S(u()), *SAMPLES, method="central", **rest)


def of_one(name: str, oracle: Any = None, *samples: Any, **rest: Any) -> Case:
    return C(name, oracle or getattr(np, name), *(samples or SAMPLES), method="central", float32=False, **rest)


def of_two(name: str) -> Case:
    return of_one(name, None, *PAIRS)


def of_matrices(name: str, made: Any, *samples: Any) -> Case:
    """A function of ``np.linalg``, of matrices that ``made(function)`` makes of a sample."""
    return of_one(f"linalg.{name}", made(getattr(np.linalg, name)), *samples, op=made(public(f"linalg.{name}")))


def refused(name: str, *others: Any) -> Refusal:
    return R(lambda: public(name)(z(3), *others), DTypeError, name, "complex128", "tg.real", "tg.abs")


def selected(function: Any) -> Any:
    return lambda x, y: function(np.array([True, False, True]), x, y)


CASES: tuple[Case, ...] = (
    part("real", np.real),
    part("imag", np.imag),
    unary("conj", np.conj, method="central"),
    part("angle", np.angle, kinks=(K(S([-1.0, 0.0, 2.0]), [0.0, 0.0, 0.0]), K(S([0j, 2j]), [0, -0.5]))),
    of_one("conj"),
    # --- not analytic
    of_one("abs", kinks=(K(S([0j, 2j, 3 - 4j]), [0, -1j, 0.6 + 0.8j]),)),
    of_one("sign", kinks=(K(S([0j, 2j]), [0, 0.5]),)),
    of_one("var", np.var, *SAMPLES[:2], S(z(2, 3), axis=0, ddof=1), kinks=(K(S([2j, 2j]), [0, 0]),)),
    of_one("std", np.std, S(z(2, 3)), S(z(2, 3), axis=1), kinks=(K(S([2j, 2j]), [0, 0]), K(S([0.1j] * 3), [0] * 3))),
    of_one(
        "linalg.norm",
        np.linalg.norm,
        S(z(2, 3)),
        S(z(4), more=(1,)),
        S(z(2, 3), more=(3,), axis=-1, keepdims=True),
        S(z(2, 3), more=(np.inf,), axis=0),
        kinks=(K(S([0j, 0j]), [0, 0]),),
    ),
    of_matrices("cholesky", definite, S(z(3, 3)), S(z(2, 1, 2, 2)), S(z(3, 3), upper=True), S(z(0, 0))),
    of_matrices("qr", qr_parts, S(z(3, 2)), S(z(3, 3)), S(z(2, 3)), S(z(2, 4, 2)), S(z(2, 3), mode="r")),
    of_matrices("slogdet", lambda f: regular(lambda a: list(f(a))), S(z(3, 3)), S(z(2, 1, 2, 2)), S(z(0, 0))),
    of_matrices("lstsq", lambda f: lambda a, b: tall(lambda a: f(a, b)[:2])(a), *LEAST_SQUARES),
    of_matrices("pinv", tall, S(z(3, 2)), S(z(2, 2, 3)), S(z(3, 3), hermitian=True)),
    of_matrices("svdvals", tall, S(z(3, 2)), S(z(2, 2, 3))),
    of_matrices("eigvalsh", definite, S(z(3, 3)), S(z(2, 2, 2), UPLO="U")),
    of_one(  # NumPy 2.0 gives a complex number for the orders that need an inverse
        "linalg.cond",
        tall(lambda *args: np.real(np.linalg.cond(*args))),
        S(z(3, 3)),
        S(z(3, 3), more=(1,)),
        op=tall(tg.linalg.cond),
    ),
    of_matrices("matrix_norm", tall, *(S(z(3, 2), ord=order) for order in ("fro", "nuc", 1, 2, -np.inf))),
    # --- analytic: with the rule for real numbers
    *map(of_one, ("square", "sqrt", "reciprocal", "exp", "expm1", "log", "log1p", "negative", "positive")),
    *map(of_one, ("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan")),
    *map(of_one, ("sum", "prod", "zeros_like", "transpose", "ravel")),
    *map(of_two, ("add", "subtract", "multiply", "divide", "power")),
    of_one("mean", np.mean, S(z(2, 3)), S(z(2, 3), axis=0)),
    of_one("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    of_one("softmax", scipy.special.softmax, S(z(4))),
    *(of_one(f"special.{n}", getattr(scipy.special, n)) for n in ("erf", "erfc", "erfcx", "ndtr", "log_ndtr", "exp1")),
    of_one("round", np.round),
    of_one("cumsum", np.cumsum, S(z(2, 3), axis=1), S(z(3))),
    of_one("diff", np.diff, S(z(2, 4)), S(z(3), n=2)),
    of_one("matmul", np.matmul, S(z(2, 3), z(3, 2)), S(u(2, 3), z(3)), S(z(3), u(2, 3, 2))),
    of_matrices("det", tall, S(z(3, 3)), S(z(2, 2, 2)), S(z(0, 0))),
    of_matrices("inv", regular, S(z(3, 3)), S(z(2, 2, 2))),
    of_matrices("solve", regular, S(z(3, 3), z(3)), S(u(3, 3), z(3, 2)), S(z(2, 3, 3), u(3, 1))),
    of_matrices("matrix_power", regular, S(z(2, 2), more=(3,)), S(z(2, 2, 2), more=(-2,))),
    of_matrices("tensorinv", regular, S(z(3, 3), ind=1)),
    of_matrices("multi_dot", joined, S(z(2, 3), u(3, 2), z(2))),
    of_one(
        "linalg.solve_triangular",
        regular(lambda a, b, lower, unit: np.linalg.solve(triangle(a, lower, unit), b)),
        S(z(3, 3), z(3), more=(True, False)),
        S(u(3, 3), z(3, 2), more=(False, True)),
        S(z(2, 3, 3), u(3, 1), more=(False, False)),
        op=regular(lambda a, b, lower, unit: tg.linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit)),
    ),
    of_one("linalg.expm", lambda a: scipy.linalg.expm(a * 0.5), S(z(3, 3)), op=lambda a: tg.linalg.expm(a * 0.5)),
    of_one(  # SciPy 1.13 gives an extended precision
        "linalg.sqrtm",
        regular(lambda a: scipy.linalg.sqrtm(a).astype(complex)),
        S(z(3, 3)),
        op=regular(tg.linalg.sqrtm),
    ),
    of_one("outer", np.outer, S(z(2), z(3)), S(u(2), z(3))),
    of_one("where", selected(np.where), S(z(2, 3), z(3)), S(u(2, 3), z(3)), op=selected(tg.where)),
    of_one("take", np.take, S(z(2, 3), more=([2, 0, 0],), axis=1)),
    of_one("concatenate", joined(np.concatenate), S(z(2), u(3)), op=joined(tg.concatenate)),
    of_one(
        "astype",
        lambda x: x.astype(complex),
        S(u(3)),
        S(z(3)),
        op=lambda x: tg.astype(x, complex),
        refusals=(
            R(lambda: tg.astype(z(3), float), DTypeError, "astype", "complex128", "float64", "tg.real"),
            *map(refused, ("relu", "leaky_relu", "softplus", "log_sigmoid", "log_softmax", "logsumexp")),
            *map(refused, ("max", "min", "floor", "ceil")),
            *(refused(name, 1.0) for name in ("maximum", "minimum", "logaddexp", "clip")),
            *(refused(name, 1.0) for name in ("less", "less_equal", "greater", "greater_equal")),
            *(refused(name, z(3)) for name in ("maximum", "less")),
        ),
    ),
)
