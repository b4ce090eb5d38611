"""Random expressions, differentiated by tensorgrad and by PyTorch, which must agree; and at special points by mpmath.

python -m tests.fuzz [--count 500] [--first 0] [--special]
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

import tensorgrad as tg

OPERATIONS = 20
TOLERANCE = 1e-10
ROUNDING = 1e-14  # of a gradient that cancels to zero
SHAPES = [(3,), (2, 3), (2, 1), (1, 3), (), (4, 2, 3)]

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "tanh": (tg.tanh, lambda torch, x: torch.tanh(x)),
    "sin": (tg.sin, lambda torch, x: torch.sin(x)),
    "arctan": (tg.arctan, lambda torch, x: torch.atan(x)),
    "sigmoid": (tg.sigmoid, lambda torch, x: torch.sigmoid(x)),
    "softplus": (tg.softplus, lambda torch, x: torch.nn.functional.softplus(x)),
    "exp of tanh": (lambda x: tg.exp(tg.tanh(x)), lambda torch, x: torch.exp(torch.tanh(x))),
    "sqrt": (lambda x: tg.sqrt(x * x + 1), lambda torch, x: torch.sqrt(x * x + 1)),
    "log": (lambda x: tg.log(x * x + 2), lambda torch, x: torch.log(x * x + 2)),
    "abs": (tg.abs, lambda torch, x: torch.abs(x)),
    "relu": (tg.relu, lambda torch, x: torch.relu(x)),
    "leaky_relu": (tg.leaky_relu, lambda torch, x: torch.nn.functional.leaky_relu(x)),
    "negative": (lambda x: -x, lambda torch, x: -x),
    "clip": (lambda x: tg.clip(x, -0.7, 0.9), lambda torch, x: torch.clamp(x, -0.7, 0.9)),
    "cumsum": (lambda x: tg.cumsum(x, -1) if x.ndim else x, lambda torch, x: torch.cumsum(x, -1) if x.ndim else x),
    "softmax": (lambda x: tg.softmax(x, -1) if x.ndim else x, lambda torch, x: torch.softmax(x, -1) if x.ndim else x),
    "flip": (lambda x: tg.flip(x), lambda torch, x: torch.flip(x, tuple(range(x.ndim)))),
}
BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], Any]]] = {
    "add": (lambda x, y: x + y, lambda torch, x, y: x + y),
    "subtract": (lambda x, y: x - y, lambda torch, x, y: x - y),
    "multiply": (lambda x, y: x * y, lambda torch, x, y: x * y),
    "divide": (lambda x, y: x / (y * y + 1), lambda torch, x, y: x / (y * y + 1)),
    "maximum": (tg.maximum, lambda torch, x, y: torch.maximum(x, y)),
    "arctan2": (lambda x, y: tg.arctan2(x, y * y + 0.5), lambda torch, x, y: torch.atan2(x, y * y + 0.5)),
    "logaddexp": (tg.logaddexp, lambda torch, x, y: torch.logaddexp(x, y)),
    "where": (lambda x, y: tg.where(x.data > 0.1, x, y), lambda torch, x, y: torch.where(x > 0.1, x, y)),
    "power": (lambda x, y: (x * x + 0.5) ** tg.tanh(y), lambda torch, x, y: (x * x + 0.5) ** torch.tanh(y)),
}


class Built:
    """One expression, built in both libraries by the same random choices."""

    def __init__(self, seed: int, torch: Any) -> None:
        self.torch = torch
        self.rng = np.random.default_rng(seed)
        self.text: list[str] = []
        arrays = [self.rng.uniform(-1.5, 1.5, SHAPES[i]) for i in self.rng.integers(0, len(SHAPES), 4)]
        self.ours = [tg.Tensor(a, requires_grad=True) for a in arrays]
        self.theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        self.pool = list(zip(self.ours, self.theirs, strict=True))
        for _ in range(OPERATIONS):
            self.pool.append(self.grown())

    def picked(self) -> tuple[Any, Any]:
        late = self.rng.random() < 0.7  # prefer recent results, so that expressions grow deep
        start = max(0, len(self.pool) - 4) if late else 0
        return self.pool[int(self.rng.integers(start, len(self.pool)))]

    def grown(self) -> tuple[Any, Any]:
        kind = self.rng.random()
        x, u = self.picked()
        if kind < 0.45:
            name = str(self.rng.choice(list(UNARY)))
            self.text.append(f"{name}{x.shape}")
            return UNARY[name][0](x), UNARY[name][1](self.torch, u)
        if kind < 0.8:
            y, v = self.picked()
            try:
                np.broadcast_shapes(x.shape, y.shape)
            except ValueError:
                y, v = y.sum(), v.sum()
            name = str(self.rng.choice(list(BINARY)))
            self.text.append(f"{name}{x.shape}{y.shape}")
            return BINARY[name][0](x, y), BINARY[name][1](self.torch, u, v)
        return self.rearranged(x, u)

    def rearranged(self, x: Any, u: Any) -> tuple[Any, Any]:
        """A reduction, a matrix product, an index or a transpose."""
        if not x.ndim:
            return x * 1.5, u * 1.5
        axis = int(self.rng.integers(0, x.ndim))
        choice = int(self.rng.integers(0, 6))
        self.text.append(f"{('sum', 'mean', 'logsumexp', 'matmul', 'index', 'transpose')[choice]}{x.shape}")
        if choice == 0:
            return x.sum(axis=axis, keepdims=True), u.sum(dim=axis, keepdim=True)
        if choice == 1:
            return x.mean(axis=axis), u.mean(dim=axis)
        if choice == 2:
            return tg.logsumexp(x, axis=axis), self.torch.logsumexp(u, dim=axis)
        if choice == 3:
            m = self.rng.uniform(-1, 1, (x.shape[-1], 3))
            return x @ m, u @ self.torch.tensor(m)
        if choice == 4:
            index = self.rng.integers(0, x.shape[0], 3)
            return x[index], u[self.torch.tensor(index)]
        return x.T, u.permute(*range(u.ndim)[::-1])


def deviation(seed: int, torch: Any) -> float:
    """The largest deviation of the value and the gradients, relative to the largest element of each.

    Raises AssertionError, with the seed and the expression, if it exceeds the tolerance.
    """
    built = Built(seed, torch)
    ours = tg.stack([tg.sum(x * x) for x, _ in built.pool[-3:]]).sum()
    theirs = torch.stack([(u * u).sum() for _, u in built.pool[-3:]]).sum()
    ours.backward()
    theirs.backward()
    worst = 0.0
    pairs = [(ours.data, theirs.detach().numpy())]
    for mine, other in zip(built.ours, built.theirs, strict=True):
        a = np.zeros(mine.shape) if mine.grad is None else mine.grad
        b = np.zeros(mine.shape) if other.grad is None else other.grad.numpy()
        pairs.append((a, b))
    for a, b in pairs:
        apart = float(np.max(np.abs(a - b), initial=0.0))
        if apart > ROUNDING:
            worst = max(worst, apart / float(np.max(np.abs(b))))
    if not worst <= TOLERANCE:
        raise AssertionError(f"seed {seed}: deviation {worst:.3g} in {' '.join(built.text)}")
    return worst


# --- special points -------------------------------------------------------------------------------------
#
# Short expressions of two numbers at 0, 1, -1, equal arguments, and where squares overflow; values, first, second and
# mixed derivatives, against mpmath's of the same expression. Where it has no derivative there, nothing is compared.

POINTS = [0.0, 0.0, 1.0, -1.0, 0.5, 2.0]
FAR: dict[Any, float] = {np.float64: 1e160, np.float32: 1e20}
ORDERS = [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]


def length(x: Any, y: Any) -> Any:
    """Not differentiable at the origin, nor is what is made of it: there the convention of norms holds."""
    if x == y == 0:
        raise ValueError("the origin")
    return mp.sqrt(x * x + y * y)


SPECIAL_UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tanh": (tg.tanh, mp.tanh),
    "sigmoid": (tg.sigmoid, lambda x: 1 / (1 + mp.exp(-x))),
    "softplus": (tg.softplus, lambda x: mp.log1p(mp.exp(x))),
    "arctan": (tg.arctan, mp.atan),
    "arcsinh": (tg.arcsinh, mp.asinh),
    "sqrt of square and 1": (lambda x: tg.hypot(x, 1.0), lambda x: mp.sqrt(x * x + 1)),
    "exp": (tg.exp, mp.exp),
    "log": (tg.log, mp.log),
    "log1p": (tg.log1p, mp.log1p),
    "expm1": (tg.expm1, mp.expm1),
    "sqrt": (tg.sqrt, lambda x: mp.sqrt(x) if x else length(x, 0)),
    "square": (tg.square, lambda x: x * x),
    "cube": (lambda x: x**3, lambda x: x**3),
    "reciprocal": (tg.reciprocal, lambda x: 1 / x),
    "sinc": (tg.sinc, lambda x: mp.sin(mp.pi * x) / (mp.pi * x) if x else mp.mpf(1)),
    "erf": (tg.special.erf, mp.erf),
    "log_ndtr": (tg.special.log_ndtr, lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)),
    "gammainc": (lambda x: tg.special.gammainc(2.0, x), lambda x: 1 - mp.exp(-x) * (1 + x)),
    "silu": (tg.silu, lambda x: x / (1 + mp.exp(-x))),
    "cosh": (tg.cosh, mp.cosh),
    "arcsin": (lambda x: tg.arcsin(0.5 * tg.tanh(x)), lambda x: mp.asin(mp.tanh(x) / 2)),
    "prod": (lambda x: tg.prod(tg.stack([x, x, x - 1.0])), lambda x: x * x * (x - 1)),
    "det": (
        lambda x: tg.linalg.det(tg.reshape(tg.stack([x, x * 2.0, x - 1.0, x]), (2, 2))),
        lambda x: x * x - 2 * x * (x - 1),
    ),
    "logsumexp": (lambda x: tg.logsumexp(tg.stack([x, 2.0 * x])), lambda x: mp.log(mp.exp(x) + mp.exp(2 * x))),
}
SPECIAL_BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y),
    "multiply": (lambda x, y: x * y, lambda x, y: x * y),
    "divide": (lambda x, y: x / y, lambda x, y: x / y),
    "power": (lambda x, y: x**y, lambda x, y: mp.power(x, y) if x or y else length(x, y)),
    "hypot": (tg.hypot, lambda x, y: length(x, y)),
    "arctan2": (tg.arctan2, mp.atan2),
    "logaddexp": (tg.logaddexp, lambda x, y: mp.log(mp.exp(x) + mp.exp(y))),
    "xlogy": (tg.xlogy, lambda x, y: x * mp.log(y)),
    "rel_entr": (tg.special.rel_entr, lambda x, y: x * mp.log(x / y)),
    "norm": (lambda x, y: tg.linalg.norm(tg.stack([x, y])), lambda x, y: length(x, y)),
    "std": (lambda x, y: tg.std(tg.stack([x, y])), lambda x, y: length(x - y, 0) / 2),
    "var": (lambda x, y: tg.var(tg.stack([x, y])), lambda x, y: (x - y) ** 2 / 4),
    "lerp": (lambda x, y: tg.lerp(x, y, 0.25), lambda x, y: x + (y - x) / 4),
    "einsum": (lambda x, y: tg.einsum("i,i->", tg.reshape(x, (1,)), tg.stack([y, y])), lambda x, y: 2 * x * y),
}
GENTLE = ["tanh", "sigmoid", "arctan", "arcsinh", "sqrt of square and 1"]  # nothing in between overflows
GENTLE_BINARY = ["hypot", "arctan2", "norm", "std", "subtract", "lerp"]


def grown_at_a_point(rng: np.random.Generator, far: bool) -> tuple[str, Any, Any]:
    """A short random expression of two numbers: as text, on Tensors, and in mpmath."""
    parts: list[tuple[str, Any, Any]] = [("x", lambda x, y: x, lambda x, y: x), ("y", lambda x, y: y, lambda x, y: y)]
    names = (GENTLE, GENTLE_BINARY) if far else (list(SPECIAL_UNARY), list(SPECIAL_BINARY))

    def picked() -> tuple[str, Any, Any]:
        return parts[int(rng.integers(max(0, len(parts) - 3), len(parts)))]

    def grown(unary: bool) -> tuple[str, Any, Any]:
        text, ours, exact = picked()
        if unary:
            name = str(rng.choice(names[0]))
            f, g = SPECIAL_UNARY[name]
            return f"{name}({text})", lambda x, y: f(ours(x, y)), lambda x, y: g(exact(x, y))
        other, theirs, exactly = picked()
        name = str(rng.choice(names[1]))
        f2, g2 = SPECIAL_BINARY[name]
        return (
            f"{name}({text}, {other})",
            lambda x, y: f2(ours(x, y), theirs(x, y)),
            lambda x, y: g2(exact(x, y), exactly(x, y)),
        )

    for kind in [False, *(rng.random(int(rng.integers(0, 3))) < 0.6)]:
        parts.append(grown(bool(kind)))
    return parts[-1]


def scale_of(point: tuple[float, ...], order: tuple[int, int]) -> Any:
    """What a derivative is measured by: 1 over the sizes of the numbers it is taken by."""
    return 1 / mp.fprod(mp.mpf(abs(a) or 1.0) ** n for a, n in zip(point, order))


def exact_derivative(f: Any, point: tuple[float, float], order: tuple[int, int]) -> Any:
    """mpmath's derivative, where the two sides agree that there is one; else None."""
    found = []
    with mp.workdps(700 if max(map(abs, point)) > 2 or 0 < min(map(abs, point)) < 0.5 else 60):
        for sign in (1, -1):

            def value(*at: Any) -> Any:
                result = f(*at)
                if not mp.isfinite(result) or mp.im(result) != 0:
                    raise ValueError("not in the domain")
                return mp.re(result)

            def by(g: Any, i: int, sign: int = sign) -> Any:
                h = mp.mpf(abs(point[i]) or 1.0) * mp.mpf(10) ** -14 * sign
                return lambda *at: (g(*(a + h if j == i else a for j, a in enumerate(at))) - g(*at)) / h

            derivative = value
            for i, times in enumerate(order):
                for _ in range(times):
                    derivative = by(derivative, i)
            try:
                found.append(derivative(*map(mp.mpf, point)))
            except (ValueError, TypeError, AttributeError, ZeroDivisionError, OverflowError):
                return None
        if abs(found[0] - found[1]) > mp.mpf("1e-9") * (abs(found[0]) + scale_of(point, order)):
            return None
        return (found[0] + found[1]) / 2


def deviation_at_a_point(seed: int) -> float:
    """The largest deviation of first and second derivatives at a special point, relative to the largest of its order.

    Raises AssertionError, with the seed and the expression, where it is above what the dtype allows.
    """
    rng = np.random.default_rng([seed, 7])
    dtype: Any = np.float64 if rng.random() < 0.6 else np.float32
    far = rng.random() < 0.25
    choices = [FAR[dtype], -FAR[dtype], 1 / FAR[dtype], 1.0] if far else POINTS
    point = tuple(float(dtype(v)) for v in rng.choice(choices, 2))
    if rng.random() < 0.3:
        point = point[:1] * 2
    shape: tuple[int, ...] = [(), (1,), (3,)][int(rng.integers(0, 3))]
    text, ours, exact = grown_at_a_point(rng, far)

    def whole(x: Any, y: Any) -> Any:  # of arrays, one element is computed with; the others are zeros in the gradient
        return ours(x[-1], y[-1]) if shape else ours(x, y)

    leaves = [tg.Tensor(np.full(shape, v, dtype), requires_grad=True) for v in point]
    pairs: dict[int, list[tuple[Any, Any, Any]]] = {1: [], 2: []}
    for order in ORDERS:
        want = exact_derivative(exact, point, order)
        if want is None:
            return 0.0  # no smooth function here
        result = whole(*leaves)
        if not np.isfinite(result.data).all():
            return 0.0
        for i, times in enumerate(order):
            for _ in range(times):
                for leaf in leaves:
                    leaf.grad = None
                if result.requires_grad:
                    result.backward(np.ones_like(result.data), create_graph=True)
                grad = leaves[i].grad
                result = tg.zeros(shape, dtype=dtype) if grad is None else grad
        got = mp.mpf(float(np.ravel(result.data)[-1]))
        unit = scale_of(point, order)
        pairs[sum(order)].append((got / unit, want / unit, unit))
    worst, limits = 0.0, np.finfo(dtype)
    value = abs(float(np.ravel(whole(*leaves).data)[-1]))
    if far and not value:
        return 0.0  # the dtype cannot tell two numbers apart: a kink of its own
    for found in pairs.values():
        scale = max(value, 0.0 if far else 1.0, *(abs(want) for _, want, _ in found))
        for got, want, unit in found:
            if not float(limits.tiny) / float(limits.eps) < scale * unit < float(limits.max):
                continue  # the dtype has no digits for such a derivative
            worst = max(worst, float(abs(got - want) / scale)) if mp.isfinite(got) else np.inf
    if not worst <= 2e4 * limits.eps + 1e-8:
        raise AssertionError(f"seed {seed}: deviation {worst:.3g} of {dtype.__name__} at {point}, {shape}: {text}")
    return worst


def main() -> None:
    """Run many expressions, and print the seeds and the largest deviation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--special", action="store_true", help="at special points, against mpmath")
    options = parser.parse_args()
    if options.special:
        seeds = range(options.first, options.first + options.count)
        largest = max(map(deviation_at_a_point, seeds))
        print(f"{options.count} expressions at special points: largest deviation {largest:.2e}")
        return
    torch = importlib.import_module("torch")
    worst = max((deviation(seed, torch), seed) for seed in range(options.first, options.first + options.count))
    print(
        f"{options.count} expressions of {OPERATIONS} operations, seeds {options.first} to "
        f"{options.first + options.count - 1}: largest deviation {worst[0]:.2e} (seed {worst[1]}), allowed {TOLERANCE}"
    )


if __name__ == "__main__":
    main()
