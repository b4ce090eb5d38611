"""Linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

import tensorgrad as tg
from tensorgrad import GraphError, ShapeError
from tests.standin import StandIn

from .rows import (
    INF,
    C,
    Case,
    K,
    R,
    Refusal,
    S,
    joined,
    public,
    seed,
    u,
)

seed("linalg")

LinAlgError = np.linalg.LinAlgError


def flipped(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


def like(a: Any, values: Any) -> Any:
    """Values with the dtype and the array class of an operand."""
    values = values.astype(a.dtype)
    return StandIn(values) if isinstance(a.data, StandIn) else values


def ramp(a: Any) -> Any:
    return like(a, np.diag(np.arange(a.shape[-1]) * 1.5 + 2.0))


def raised(a: Any) -> Any:
    """An array of 36 elements in any shape, far from singular as a 6 by 6 matrix."""
    return a + like(a, 4 * np.eye(6).reshape(a.shape))


def regular(function: Any) -> Any:
    """A function whose matrices are far from singular for every sample."""
    return lambda a, *more, **keywords: function(0.25 * a + ramp(a), *more, **keywords)


def definite(function: Any) -> Any:
    """A function whose matrices are positive definite for every sample."""
    return lambda a, *more, **keywords: function(0.25 * (a @ np.conj(flipped(a))) + ramp(a), *more, **keywords)


def tall(function: Any) -> Any:
    """A function whose matrices, square or not, have full rank and distinct singular values."""

    def f(a: Any, *more: Any, **keywords: Any) -> Any:
        m, n = a.shape[-2:]
        return function(0.25 * a + like(a, np.eye(m, n) * (np.arange(n) * 1.5 + 2.0)), *more, **keywords)

    return f


def qr_parts(qr: Any) -> Any:
    def f(a: Any, **keywords: Any) -> Any:
        result = qr(a, **keywords)
        return list(result) if isinstance(result, tuple) else result

    return tall(f)


def phased(vectors: Any, *rest: Any) -> list[Any]:
    """Complex vectors in columns, and what is multiplied by them in rows, with phases that do not depend on LAPACK."""
    if vectors.dtype.kind != "c":
        return [vectors, *rest]
    phases = np.sign(vectors[..., :1, :])
    return [vectors * np.conj(phases), *(flipped(phases) * rows for rows in rest)]


def svd_parts(svd: Any) -> Any:
    def f(a: Any, full: bool = False, **keywords: Any) -> Any:
        result = svd(a, full_matrices=full, **keywords)
        if not isinstance(result, tuple):
            return [result]
        u, s, vh = result
        return [s, *phased(u, vh)]

    return tall(f)


def eig_parts(eig: Any) -> Any:
    def f(a: Any, **keywords: Any) -> Any:
        values, vectors = eig(a, **keywords)
        return [values, *phased(vectors)]

    return f


def complexly(function: Any) -> Any:
    """A function of NumPy whose results are complex, if only by dtype."""

    def f(a: Any) -> Any:
        results = function(a)
        wider = np.result_type(a.dtype, np.complex64)
        return tuple(r.astype(wider) for r in results) if isinstance(results, tuple) else results.astype(wider)

    return f


def square_only(name: str) -> tuple[Refusal, ...]:
    op = public(f"linalg.{name}")
    return (
        R(lambda: op(np.ones((2, 3))), ShapeError, name, "(2, 3)", "2 by 3", "square"),
        R(lambda: op(np.ones(3)), ShapeError, name, "(3,)", "at least two"),
    )


RANK_ONE = [[1.0, 2.0], [2.0, 4.0]]
SINGULAR = np.stack([np.eye(3), np.ones((3, 3))])
WIDE = np.array([[3.0, -1.0, 0.5], [4.0, 2.0, 1.5]])
LOWER = np.array([[1.0, 9.0, 8.0], [0.5, -2.0, 7.0], [-1.5, 1.0, 0.7]])  # the upper triangle is not to be read
DEEP = np.diag([1.0, 2.0, 0.0])

CASES: tuple[Case, ...] = (
    # --- norms
    C(
        "linalg.norm",
        np.linalg.norm,
        S(u(4)),
        S(u(2, 3)),
        S(u(2, 3), more=("fro",)),
        S(u(2, 3), axis=0),
        S(u(2, 3), more=(2,), axis=-1, keepdims=True),
        S(WIDE, more=(None, 0, True)),
        S(u(4), more=(1,)),
        S(u(4), more=(3,)),
        S(u(4), more=(-1.5,)),
        S(u(4), more=(0,)),
        S(u(2, 3), more=(INF,), axis=1),
        S(u(2, 3), more=(-INF,), axis=0),
        S(u(2, 3, 2), axis=(0, 2)),
        S(u(2, 3, 2), more=("fro",), axis=(-1, 0), keepdims=True),
        S(u(2, 3, 2), keepdims=True),
        S(u(0)),
        *(S(u(3, 2), more=(order,)) for order in (1, -1, 2, -2, INF, -INF, "nuc")),
        S(u(2, 3, 2), more=(2,), axis=(2, 0), keepdims=True),
        S(u(2, 3, 2), more=(1,), axis=(-1, 1)),
        method="central",
        kinks=(
            K(S([0.0, 0.0]), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(1,)), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(3,)), [0.0, 0.0]),
            K(S([0.0, 2.0], more=(-1,)), [0.0, 0.0]),
            K(S([0.0, 2.0], more=(0,)), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(INF,)), [0.0, 0.0]),
            K(S([[0.0, 0.0], [3.0, 4.0]], axis=1), [[0.0, 0.0], [0.6, 0.8]]),
            *(K(S(np.zeros((2, 2)), more=(order,)), np.zeros((2, 2))) for order in (1, 2, -2, INF, "nuc", "fro")),
        ),
        refusals=(
            R(lambda: tg.linalg.norm(np.ones((2, 2, 2)), 2), ShapeError, "norm", "ord=2", "vector_norm"),
            R(lambda: tg.linalg.norm(np.ones((2, 2)), 3), ValueError, "norm", "3", "'nuc'"),
            R(lambda: tg.linalg.norm(np.ones(2), "fro"), ShapeError, "norm", "'fro'"),
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
        S(u(2, 3), ord=-1, axis=-1),
        S(u(2, 3), ord=0, axis=-1, keepdims=True),
        method="central",
        kinks=(K(S([[0.0, 0.0]]), [[0.0, 0.0]]),),
        refusals=(R(lambda: tg.linalg.vector_norm(np.ones(2), ord="fro"), ValueError, "vector_norm", "'fro'"),),
    ),
    C(
        "linalg.matrix_norm",
        np.linalg.matrix_norm,
        S(u(2, 3)),
        S(u(2, 2, 3), keepdims=True),
        *(S(u(2, 2, 3), ord=order) for order in (1, -1, 2, -2, INF, -INF, "nuc")),
        S(u(2, 2, 3), ord="nuc", keepdims=True),
        method="central",
        kinks=(K(S(np.zeros((1, 2, 2)), ord="nuc"), np.zeros((1, 2, 2))),),
        refusals=(
            R(lambda: tg.linalg.matrix_norm(np.ones(2)), ShapeError, "matrix_norm", "axis -2"),
            R(lambda: tg.linalg.matrix_norm(np.ones((2, 2)), ord=0), ValueError, "matrix_norm", "0"),
        ),
    ),
    # --- equations
    C(
        "linalg.solve",
        regular(np.linalg.solve),
        S(u(3, 3), u(3)),
        S(u(3, 3), u(3, 2)),
        S(u(2, 3, 3), u(3)),
        S(u(2, 1, 3, 3), u(4, 3, 2)),
        S(u(0, 0), u(0)),
        S(u(0, 3, 3), u(3, 2)),
        op=regular(tg.linalg.solve),
        method="complex",
        refusals=(
            R(lambda: tg.linalg.solve(np.eye(3), np.ones(2)), ShapeError, "solve", "(3, 3)", "(2,)", "3 equations"),
            R(
                lambda: tg.linalg.solve(np.ones((2, 3, 3)), np.ones((4, 3, 1))),
                ShapeError,
                "solve",
                "(2, 3, 3)",
                "2 and 4",
            ),
            R(lambda: tg.linalg.solve(SINGULAR, np.ones((3, 1))), LinAlgError, "solve", "(1,)", "(2, 3, 3)"),
            R(lambda: tg.linalg.solve(np.ones((2, 3)), np.ones(2)), ShapeError, "solve", "2 by 3"),
        ),
    ),
    C(
        "linalg.inv",
        regular(np.linalg.inv),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(1, 1)),
        S(u(0, 0)),
        op=regular(tg.linalg.inv),
        method="complex",
        refusals=(
            *square_only("inv"),
            R(lambda: tg.linalg.inv(SINGULAR), LinAlgError, "inv", "(1,)", "(2, 3, 3)", "singular"),
            R(lambda: tg.linalg.inv(RANK_ONE), LinAlgError, "inv", "(2, 2)", "singular"),
        ),
    ),
    C(
        "linalg.solve_triangular",
        regular(lambda a, b, lower, unit: np.linalg.solve(triangle(a, lower, unit), b)),
        S(u(3, 3), u(3), more=(True, False)),
        S(u(3, 3), u(3, 2), more=(False, False)),
        S(u(2, 3, 3), u(3), more=(False, True)),
        S(u(2, 1, 3, 3), u(4, 3, 2), more=(True, True)),
        S(u(0, 0), u(0), more=(True, False)),
        op=regular(lambda a, b, lower, unit: tg.linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit)),
        method="complex",
        refusals=(
            R(
                lambda: tg.linalg.solve_triangular(np.tril(SINGULAR * DEEP), np.ones(3), lower=True),
                LinAlgError,
                "solve_triangular",
                "zero on its diagonal",
            ),
            R(lambda: tg.linalg.solve_triangular(np.eye(3), 1.0), ShapeError, "solve_triangular", "()"),
        ),
    ),
    C(
        "linalg.pinv",
        tall(np.linalg.pinv),
        S(u(3, 2)),
        S(u(2, 3)),
        S(u(3, 3)),
        S(u(2, 4, 2)),
        S(u(2, 3), more=(1e-3,)),
        S(LOWER, hermitian=True),
        S(np.stack([LOWER, 2 * LOWER]), more=(1e-3, True)),
        op=tall(tg.linalg.pinv),
        method="central",
        refusals=(
            R(lambda: tg.linalg.pinv(np.ones(2)), ShapeError, "pinv", "(2,)"),
            R(lambda: tg.linalg.pinv(np.ones((2, 3)), hermitian=True), ShapeError, "pinv", "2 by 3"),
        ),
    ),
    C(
        "linalg.lstsq",
        lambda a, b: tall(lambda a: np.linalg.lstsq(a, b)[:2])(a),
        S(u(4, 2), u(4)),
        S(u(4, 2), u(4, 3)),
        S(u(2, 3), u(2)),
        S(u(2, 3), u(2, 2)),
        S(u(3, 3), u(3)),
        op=lambda a, b: tall(lambda a: tg.linalg.lstsq(a, b)[:2])(a),
        method="central",
        refusals=(
            R(lambda: tg.linalg.lstsq(np.ones((3, 2)), np.ones(2)), ShapeError, "lstsq", "(3, 2)", "(2,)"),
            R(lambda: tg.linalg.lstsq(np.ones((2, 3, 2)), np.ones(3)), ShapeError, "lstsq", "pinv(a) @ b"),
        ),
    ),
    C(
        "linalg.tensorsolve",
        lambda a, b, axes=None: np.linalg.tensorsolve(raised(a), b, axes),
        S(0.5 * u(6, 2, 3), u(6)),
        S(0.5 * u(2, 3, 6), u(2, 3)),
        S(0.5 * u(2, 6, 3), u(6), more=((0, 2),)),
        op=lambda a, b, axes=None: tg.linalg.tensorsolve(raised(a), b, axes),
        method="complex",
        refusals=(R(lambda: tg.linalg.tensorsolve(np.ones((2, 3)), np.ones(2)), ShapeError, "tensorsolve", "(2, 3)"),),
    ),
    C(
        "linalg.tensorinv",
        lambda a, ind=2: np.linalg.tensorinv(raised(a), ind),
        S(0.5 * u(2, 3, 6)),
        S(0.5 * u(6, 3, 2), more=(1,)),
        op=lambda a, ind=2: tg.linalg.tensorinv(raised(a), ind),
        method="complex",
        refusals=(
            R(lambda: tg.linalg.tensorinv(np.ones((2, 3))), ShapeError, "tensorinv", "ind=2"),
            R(lambda: tg.linalg.tensorinv(np.ones((2, 2)), 0), ShapeError, "tensorinv", "ind=0"),
        ),
    ),
    # --- determinants
    C(
        "linalg.det",
        np.linalg.det,
        S(u(3, 3)),
        S(u(2, 2, 2)),
        S(u(1, 1)),
        S(u(0, 0)),
        S(u(0, 2, 2)),
        method="complex",
        refusals=square_only("det"),
    ),
    C(  # singular ones, of rank n - 1 and lower
        "linalg.det",
        np.linalg.det,
        S(RANK_ONE),
        S(DEEP),
        S(np.ones((3, 3))),
        S(np.zeros((3, 3))),
        S(np.diag([1.0, 0.0, 0.0, 2.0])),
        S(np.zeros((1, 1))),
        S(np.stack([u(3, 3), DEEP, np.ones((3, 3))])),
        method="central",
    ),
    C(
        "linalg.slogdet",
        regular(lambda a: list(np.linalg.slogdet(a))),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(0, 0)),
        op=regular(lambda a: list(tg.linalg.slogdet(a))),
        method="central",
        refusals=square_only("slogdet"),
    ),
    # --- factorisations
    C(
        "linalg.cholesky",
        definite(np.linalg.cholesky),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(3, 3), upper=True),
        S(u(0, 0)),
        op=definite(tg.linalg.cholesky),
        method="central",
        refusals=(
            *square_only("cholesky"),
            R(lambda: tg.linalg.cholesky(SINGULAR - 2), LinAlgError, "cholesky", "(0,)", "not positive definite"),
        ),
    ),
    C(
        "linalg.qr",
        qr_parts(np.linalg.qr),
        S(u(3, 2)),
        S(u(3, 3)),
        S(u(2, 3)),
        S(u(2, 4, 2)),
        *(S(WIDE, mode=mode) for mode in ("complete", "r")),
        S(LOWER, mode="complete"),
        op=qr_parts(tg.linalg.qr),
        method="central",
        refusals=(
            R(lambda: tg.linalg.qr(np.eye(2), "raw"), ValueError, "qr", "'raw'"),  # type: ignore[arg-type]
            R(
                lambda: tg.linalg.qr(tg.Tensor(np.ones((3, 2)), requires_grad=True), "complete"),
                GraphError,
                "qr",
                "(3, 2)",
                "mode='reduced'",
            ),
        ),
    ),
    C(
        "linalg.eigh",
        definite(eig_parts(np.linalg.eigh)),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(3, 3), UPLO="U"),
        S(LOWER.T, UPLO="u"),
        S(u(1, 1)),
        op=definite(eig_parts(tg.linalg.eigh)),
        method="central",
        refusals=(
            *square_only("eigh"),
            R(lambda: tg.linalg.eigh(np.eye(2), "lower"), ValueError, "eigh", "'lower'"),
        ),
    ),
    C(
        "linalg.eigvalsh",
        np.linalg.eigvalsh,
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(3, 3), UPLO="U"),
        S(u(0, 0)),
        method="central",
        kinks=(K(S(np.eye(3)), np.eye(3)), K(S(np.zeros((2, 2))), np.eye(2))),
        refusals=square_only("eigvalsh"),
    ),
    C(
        "linalg.eig",
        regular(eig_parts(complexly(np.linalg.eig))),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(1, 1)),
        S(np.array([[0.0, 1.0], [-1.0, 0.0]])),
        op=regular(eig_parts(tg.linalg.eig)),
        method="central",
        float32=False,  # complex
        refusals=square_only("eig"),
    ),
    C(
        "linalg.eigvals",
        regular(complexly(np.linalg.eigvals)),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(u(0, 0)),
        op=regular(tg.linalg.eigvals),
        method="central",
        float32=False,  # complex
        refusals=square_only("eigvals"),
    ),
    C(
        "linalg.svd",
        svd_parts(np.linalg.svd),
        S(u(3, 2)),
        S(u(2, 3)),
        S(u(2, 3, 3)),
        S(u(3, 3), more=(True,)),
        S(LOWER, hermitian=True),
        S(np.stack([LOWER, 2 * LOWER]), hermitian=True),
        S(WIDE, compute_uv=False),
        S(LOWER, compute_uv=False, hermitian=True),
        op=svd_parts(tg.linalg.svd),
        method="central",
        refusals=(
            R(lambda: tg.linalg.svd(np.ones((2, 3)), hermitian=True), ShapeError, "svd", "2 by 3"),
            R(
                lambda: tg.linalg.svd(tg.Tensor(np.ones((3, 2)), requires_grad=True)),
                GraphError,
                "svd",
                "(3, 2)",
                "full_matrices=False",
            ),
        ),
    ),
    C(
        "linalg.svdvals",
        tall(np.linalg.svdvals),
        S(u(3, 2)),
        S(u(2, 3)),
        S(u(2, 3, 3)),
        op=tall(tg.linalg.svdvals),
        method="central",
    ),
    # --- functions
    C(
        "linalg.matrix_power",
        regular(np.linalg.matrix_power),
        *(S(u(2, 2), more=(n,)) for n in (3, 1, 0, 2, 5, -1, -3)),
        S(u(2, 3, 3), more=(4,)),
        S(u(0, 0), more=(3,)),
        op=regular(tg.linalg.matrix_power),
        method="complex",
        refusals=(
            R(lambda: tg.linalg.matrix_power(np.eye(2), 0.5), TypeError, "matrix_power", "0.5"),  # type: ignore[arg-type]
            R(lambda: tg.linalg.matrix_power(np.ones((2, 3)), 2), ShapeError, "matrix_power", "2 by 3"),
            R(lambda: tg.linalg.matrix_power(RANK_ONE, -1), LinAlgError, "singular"),
        ),
    ),
    C(
        "linalg.multi_dot",
        joined(np.linalg.multi_dot),
        S(u(2, 3), u(3, 4), u(4, 2)),
        S(u(3), u(3, 4), u(4)),
        S(u(3), u(3, 2)),
        S(u(5, 1), u(1, 4), u(4, 2), u(2, 3)),
        op=joined(tg.linalg.multi_dot),
        method="complex",
        refusals=(
            R(lambda: tg.linalg.multi_dot([np.eye(2)]), ShapeError, "multi_dot", "1", "at least two"),
            R(lambda: tg.linalg.multi_dot([np.eye(2), np.ones((3, 2))]), ShapeError, "multi_dot", "2 != 3"),
            R(
                lambda: tg.linalg.multi_dot([np.eye(2), np.ones(2), np.eye(2)]),
                ShapeError,
                "multi_dot",
                "array 1",
                "(2,)",
            ),
        ),
    ),
    C(
        "linalg.expm",
        lambda a: scipy.linalg.expm(a * 0.5),
        S(u(3, 3)),
        S(u(2, 1, 2, 2)),
        S(np.stack([0.01 * u(3, 3), 10 * u(3, 3)])),
        S(np.zeros((2, 2))),
        S(u(0, 0)),
        op=lambda a: tg.linalg.expm(a * 0.5),
        method="complex",
        refusals=square_only("expm"),
    ),
    C(
        "linalg.sqrtm",
        regular(np.vectorize(scipy.linalg.sqrtm, signature="(n,n)->(n,n)")),  # SciPy 1.13 takes no stacks
        S(u(3, 3)),
        S(u(2, 2, 2)),
        S(u(1, 1)),
        op=regular(tg.linalg.sqrtm),
        method="complex",
        refusals=(
            *square_only("sqrtm"),
            R(lambda: tg.linalg.sqrtm(-np.eye(2)), LinAlgError, "sqrtm", "(2, 2)", "negative"),
            R(lambda: tg.linalg.sqrtm(SINGULAR), LinAlgError, "sqrtm", "(1,)", "(2, 3, 3)"),
        ),
    ),
    C(
        "linalg.cond",
        tall(np.linalg.cond),
        S(u(3, 3)),
        S(u(3, 2)),
        S(u(2, 2, 2), more=(-2,)),
        *(S(u(3, 3), more=(order,)) for order in (1, -1, INF, -INF, "fro", "nuc")),
        op=tall(tg.linalg.cond),
        method="central",
        refusals=(
            R(lambda: tg.linalg.cond(np.ones((2, 0))), ShapeError, "cond", "(2, 0)"),
            R(lambda: tg.linalg.cond(np.ones((2, 3)), 1), ShapeError, "cond", "2 by 3"),
        ),
    ),
    C(
        "linalg.matrix_rank",
        np.linalg.matrix_rank,
        S(u(3, 2)),
        S(SINGULAR),
        S(RANK_ONE, more=(10.0,)),
        S([[1.0, 5.0], [1.0, 1.0]], hermitian=True),
        S([0.0, 2.0]),
        S(0.0),
        orders=0,
        float32=False,
    ),
    C("linalg.diagonal", np.linalg.diagonal, S(u(2, 3)), S(u(2, 3, 3), offset=-1), method="complex"),
    C(
        "linalg.trace",
        np.linalg.trace,
        S(u(2, 3)),
        S(u(2, 3, 3), offset=1),
        method="complex",
        refusals=(R(lambda: tg.linalg.trace(np.ones(2)), ShapeError, "trace", "(2,)"),),
    ),
)


def triangle(a: Any, lower: bool, unit: bool) -> Any:
    part = np.tril(a) if lower else np.triu(a)
    return part + np.eye(a.shape[-1]) * (1 - a) if unit else part
