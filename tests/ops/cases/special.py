"""Special functions, from SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from tensorgrad import DTypeError, GraphError, ShapeError

from .rows import INF, C, Case, G, K, R, Refusal, S, positive, public, seed, u, unary, z

seed("special")

PI = np.pi


def inside(*shape: int) -> Any:
    return u(*shape, low=0.1, high=0.9)


def real_one(name: str, make: Any = u, *kinks: Any, **rest: Any) -> Case:
    """A function of one real number, which refuses complex ones."""
    rest.setdefault("refusals", (R(lambda: public(f"special.{name}")(z(2)), DTypeError, name, "complex128"),))
    return unary(f"special.{name}", getattr(scipy.special, name), make, method="central", kinks=kinks, **rest)


def analytic(name: str, make: Any = u, *kinks: Any) -> Case:
    return unary(f"special.{name}", getattr(scipy.special, name), make, kinks=kinks)


def two(name: str, left: Any, right: Any, *kinks: Any, **rest: Any) -> Case:
    full = f"special.{name}"
    samples = (S(left(2, 3), right(2, 3)), S(left(), right(3)), S(left(2, 1), right(3)), S(left(0, 3), right(3)))
    refusals = (
        R(lambda: public(full)(np.ones(2), np.ones(3)), ShapeError, name, "(2,)", "(3,)"),
        R(lambda: public(full)(z(2), 1.0), DTypeError, name, "complex128"),
    )
    return C(full, getattr(scipy.special, name), *samples, method="central", kinks=kinks, refusals=refusals, **rest)


def needed(name: str, parameter: str, *arguments: Any) -> Refusal:
    """A gradient with respect to a parameter, given as None, that has no closed form."""

    def call() -> None:
        values = [tg.Tensor(1.7, requires_grad=True) if a is None else a for a in arguments]
        public(f"special.{name}")(*values).sum().backward()

    return R(call, GraphError, name, f"closed-form derivative with respect to {parameter},", f"{parameter}.detach()")


def by_last(name: str, parameters: tuple[Any, ...], *makes: Any, refusals: tuple[Refusal, ...], **rest: Any) -> Case:
    """A function that is differentiated only with respect to its last argument."""
    full = f"special.{name}"
    oracle, op = getattr(scipy.special, name), public(full)
    (make,) = makes
    return C(
        full,
        lambda x, *given: oracle(*given, x),
        S(make(2, 3), more=parameters),
        S(make(), more=parameters),
        S(make(0, 3), more=parameters),
        S(make(2, 1), more=(np.array([1.2, 2.0, 2.5]), *parameters[1:])),
        op=lambda x, *given: op(*given, x),
        method="central",
        refusals=refusals,
        **rest,
    )


CASES: tuple[Case, ...] = (
    # --- error functions and the normal distribution
    analytic("erf"),
    analytic("erfc", u, K(S([10.0]), [-2 / np.sqrt(PI) * np.exp(-100.0)])),
    analytic("erfcx"),
    real_one("erfinv", lambda *shape: u(*shape, low=-0.9, high=0.9), K(S([1.0, -1.0]), [INF, INF])),
    analytic("ndtr"),
    analytic("log_ndtr", u, K(S([40.0, -INF]), [0.0, INF])),
    real_one("ndtri", inside, K(S([0.5, 1.0]), [np.sqrt(2 * PI), INF])),
    # --- gamma and beta
    real_one("gamma", positive),
    real_one("gammaln", positive),
    real_one("digamma", positive),
    C(
        "special.polygamma",
        lambda x, n: scipy.special.polygamma(n, x),
        S(positive(2, 3), more=(1,)),
        S(positive(), more=(2,)),
        S(positive(3), more=(0,)),
        S(positive(0, 3), more=(3,)),
        S(-inside(3), more=(1,)),
        op=lambda x, n: tg.special.polygamma(n, x),
        method="central",
        refusals=(
            R(lambda: tg.special.polygamma(-1, 1.0), ValueError, "polygamma", "-1"),
            R(lambda: tg.special.polygamma(0.5, 1.0), TypeError, "polygamma", "integer", "float"),
        ),
    ),
    C(
        "special.multigammaln",
        scipy.special.multigammaln,
        S(positive(2, 3) + 1, more=(2,)),
        S(positive() + 2, more=(4,)),
        S(positive(3), more=(1,)),
        S(positive(0, 3), more=(3,)),
        method="central",
        refusals=(
            R(
                lambda: tg.special.multigammaln([1.5, 1.0], 3),
                ValueError,
                "multigammaln",
                "3 dimensions x",
                "above 1.0",
            ),
            R(lambda: tg.special.multigammaln(1.5, 0), ValueError, "multigammaln", "0"),
        ),
    ),
    two("beta", positive, positive),
    two("betaln", positive, positive),
    by_last(
        "betainc",
        (0.8, 1.7),
        inside,
        refusals=(needed("betainc", "a", None, 2.0, 0.5), needed("betainc", "b", 2.0, None, 0.5)),
        kinks=(K(S([0.0, 1.0], more=(1.0, 2.0)), [2.0, 0.0]), K(S([0.0, 1.0], more=(3.0, 1.0)), [0.0, 3.0])),
        guards=(
            G(0.0, more=(2.0, 2.0), x=0, xx=6, xxx=-12),
            G(1.0, more=(2.0, 2.0), x=0, xx=-6, xxx=-12),
            G(0.0, more=(2.0, 3.0), x=0, xx=12, xxx=-48),
            G(1.0, more=(3.0, 2.0), x=0, xx=-12, xxx=-48),
            G(1.0, more=(2.0, 1.0), x=2, xx=2, xxx=0),
            G(0.0, more=(1.0, 1.0), x=1, xx=0, xxx=0),
        ),
    ),
    by_last(
        "gammainc",
        (1.7,),
        positive,
        refusals=(needed("gammainc", "a", None, 0.5),),
        kinks=(K(S([0.0], more=(1.0,)), [1.0]),),
        guards=(
            G(0.0, more=(1.0,), x=1, xx=-1, xxx=1),
            G(0.0, more=(2.0,), x=0, xx=1, xxx=-2),
            G(1e-30, more=(2.0,), x=1e-30, xx=1, xxx=-2),
            G(0.0, more=(3.0,), x=0, xx=0, xxx=1),
            G(0.0, more=(0.5,), x=INF, xx=-INF),
        ),
    ),
    by_last(
        "gammaincc",
        (1.7,),
        positive,
        refusals=(needed("gammaincc", "a", None, 0.5),),
        guards=(G(0.0, more=(2.0,), x=0, xx=-1, xxx=2),),
    ),
    by_last(
        "zeta",
        (1.7,),
        positive,
        refusals=(needed("zeta", "x", None, 0.5), needed("zeta", "x", None)),
    ),
    # --- Bessel functions
    *(real_one(name) for name in ("j0", "j1", "i0", "i1")),
    real_one("i0e", u, K(S([0.0]), [0.0])),
    real_one("i1e", u, K(S([0.0]), [0.5])),
    by_last("jv", (1.5,), positive, refusals=(needed("jv", "v", None, 0.5),)),
    by_last("iv", (1.5,), positive, refusals=(needed("iv", "v", None, 0.5),)),
    by_last("ive", (1.5,), positive, refusals=(needed("ive", "v", None, 0.5),)),
    # --- logarithms
    real_one("expit", u, K(S([1e4, -1e4]), [0.0, 0.0]), K(S([40.0]), [np.exp(-40.0)])),
    real_one("logit", inside, K(S([0.0]), [INF])),
    real_one("entr", positive, K(S([0.0]), [INF])),
    two(
        "rel_entr",
        positive,
        positive,
        K(S([0.0, 0.0], [0.0, 2.0]), [np.nan, -INF], [0.0, 0.0]),
        guards=(G(0.0, 2.0, x=-INF, y=0, xx=INF, xy=-0.5, yy=0, xyy=0.25), G(1.0, 2.0, xx=1, xy=-0.5, yy=0.25)),
    ),
    analytic("exp1", positive),
    real_one(
        "spence",
        positive,
        K(S([1.0, 0.0]), [-1.0, -INF]),
        guards=(G(1.0, x=-1, xx=1 / 2, xxx=-2 / 3, xxxx=3 / 2), G(2.0, x=-np.log(2), xx=np.log(2) - 1 / 2)),
    ),
)
