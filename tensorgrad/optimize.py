"""Minimisation with SciPy's methods: ``pip install "tensorgrad-np[special]"``."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from .engine.blocks import restoring
from .engine.mode import no_grad, silenced
from .engine.record import tensor_of
from .engine.staging import writes_to
from .errors import NonFiniteError, ShapeError
from .functional import curvature, floating, in_kind, mapped, matched, parameters, same, value_and_grad
from .tensor import Tensor

__all__ = ["minimize"]

_WITHOUT_GRADIENT = {"nelder-mead", "powell", "cobyla", "cobyqa"}
_WITH_PRODUCT = {"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"}
_WITH_HESSIAN = {"dogleg", "trust-exact"}
_NO_WAY_BACK = {"l-bfgs-b", "tnc"}  # from a loss that is not finite: they stop there, and may report success

_DERIVED = "the derivatives that a method needs are computed, so leave it out"
_NOT_TAKEN = {  # arguments of SciPy's function
    "options": "write SciPy's options as keywords, such as maxiter=100",
    "jac": _DERIVED,
    "hess": _DERIVED,
    "hessp": _DERIVED,
    "args": "write a loss of one argument, such as lambda x: loss(x, data)",
    "constraints": "use bounds=, or write the variables so that every value is allowed, such as tg.exp(x) > 0",
}


def minimize(
    loss: Callable[[Any], Tensor],
    start: Any,
    method: str = "L-BFGS-B",
    *,
    bounds: tuple[Any, Any] | None = None,
    tol: float | None = None,
    callback: Callable[[Any], object] | None = None,
    **options: Any,
) -> Any:
    """Minimise ``loss`` over its argument with ``scipy.optimize.minimize`` and exact derivatives.

    The gradient is passed to every method that takes one; Hessian-vector products to Newton-CG, trust-ncg,
    trust-krylov and trust-constr; the Hessian to dogleg and trust-exact.

    The solution is written to Tensors and module parameters in place, once, at the end: an exception leaves them
    unchanged. Arrays and numbers are not modified. Everything is optimised in float64, which is also what ``loss`` is
    called with, and cast back at the end. No other thread may use a module during the call.

    What is found has no derivative with respect to anything that ``loss`` uses from outside.

    Args:
        loss: a function that takes an argument like ``start`` (a Tensor for an array or a float) and returns a scalar.
        start: a Tensor, an array, a float, a module (which stands for its parameters, except frozen ones), or a dict,
            list or tuple of these.
        method: the name of a SciPy method.
        bounds: a pair (low, high). Each is None (no bound), a number for all elements, or nested like ``start``, with
            numbers, arrays of the leaf's shape, or None; a dict may omit keys. Only for SciPy methods that take
            bounds.
        tol: SciPy's tolerance.
        callback: called after each iteration with the current point: Tensors, nested like ``start`` (for a module, a
            dict by parameter name).
        options: SciPy's options for the method, such as ``maxiter=100``.

    Returns:
        SciPy's ``OptimizeResult``. Its ``x`` is nested like ``start``, with the same Tensors and modules, new arrays
        for arrays, and NumPy scalars for numbers. Everything else in it comes from SciPy and refers to a flat vector.

    Raises:
        ImportError: SciPy is not installed.
        NonFiniteError: the loss is not finite at ``start``, or at a later point with a method that cannot recover
            from that (L-BFGS-B, TNC); nothing was written. Other methods treat the loss there as infinite.
        DTypeError: an argument does not have a floating-point dtype.
        TypeError: an argument of SciPy's function that this one does not have, such as ``options={...}``.

    >>> import numpy as np, tensorgrad as tg
    >>> def rosenbrock(p):
    ...     return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
    >>> found = tg.minimize(rosenbrock, {"x": -1.0, "y": 2.0})
    >>> found.success, found.x["x"], found.x["y"]
    (True, np.float64(1.000), np.float64(1.000))
    """
    try:
        from scipy import optimize
    except ImportError as error:
        raise ImportError('minimize needs SciPy: pip install "tensorgrad-np[special]"') from error
    for name, advice in _NOT_TAKEN.items():
        if name in options:
            raise TypeError(f"minimize has no argument {name}=; {advice}")
    kind = method.lower() if isinstance(method, str) else ""
    problem = _Problem(loss, start, method if kind in _NO_WAY_BACK else None)
    asked: dict[str, Any] = {}
    function: Any = problem.value
    if kind not in _WITHOUT_GRADIENT:
        function, asked["jac"] = problem.value_and_gradient, True
    if kind in _WITH_PRODUCT:
        asked["hessp"] = problem.product
    if kind in _WITH_HESSIAN:
        asked["hess"] = problem.hessian
    if bounds is not None:
        low, high = _pair(bounds)
        asked["bounds"] = optimize.Bounds(problem.bound(low, -math.inf), problem.bound(high, math.inf))
    if callback is not None:
        report = callback

        def each(xk: Any, *_: Any) -> object:
            return report(problem.nested(xk))

        asked["callback"] = each
    if not math.isfinite(problem.value(problem.start)):
        raise NonFiniteError("minimize: the loss is not finite at the start; choose a different start")
    found = optimize.minimize(function, problem.start, method=method, tol=tol, options=options, **asked)
    if not math.isfinite(found.fun):
        raise NonFiniteError(f"minimize: {method} ended where the loss is {found.fun} ({found.message})")
    found.x = problem.written(found.x)
    return found


class _Problem:
    """A loss in the form SciPy expects: a function of a flat float64 vector."""

    def __init__(self, loss: Callable[[Any], Tensor], start: Any, strict: str | None) -> None:
        self.loss = loss
        self.given = start
        self.strict = strict  # the method, if it cannot recover from a loss that is not finite
        self.parameters: dict[int, Tensor] = {}  # of modules, by number
        self.calls = 0
        self._curved: tuple[Any, Callable[..., Any]] | None = None  # the last point, and the Hessian's product there
        found: list[Tensor] = []

        def number(path: str, leaf: Any) -> int:
            x = floating(path, leaf)
            if any(x is other for other in found):
                raise ValueError(f"minimize: {path} is a Tensor that also appears elsewhere; pass it only once")
            found.append(x)
            return len(found) - 1

        def module(path: str, it: Any) -> dict[str, int]:
            own = {}
            for name, parameter in parameters(it) or ():
                own[name] = number(f"{path}.{name}", parameter)
                self.parameters[own[name]] = parameter
            return own

        self.tree = mapped(number, start, "start", module)  # leaf numbers, nested like start
        self.shapes = [x.shape for x in found]
        self.dtypes = [x.dtype for x in found]
        self.ends = np.cumsum([0, *(x.size for x in found)]).tolist()
        self.start = np.concatenate([np.empty(0), *(np.ravel(x.data).astype(np.float64) for x in found)])

    # --- between flat and nested ------------------------------------------------------------------------

    def parts(self, x: Any) -> list[Any]:
        """The arrays of a flat vector, each with its own memory."""
        return [np.reshape(np.array(x[a:b]), shape) for (a, b), shape in zip(pairwise(self.ends), self.shapes)]

    def flat(self, nest: Any) -> Any:
        """A nest of gradients as a flat vector."""
        vector = np.zeros(self.ends[-1])

        def put(path: str, i: int, g: Tensor | None) -> None:
            if g is not None:
                vector[self.ends[i] : self.ends[i + 1]] = np.ravel(g.data)

        matched(put, self.tree, nest, "start", "the gradient")
        return vector

    def nested(self, x: Any) -> Any:
        """A flat vector as Tensors of the original dtypes."""
        parts = self.parts(x)
        return mapped(lambda _, i: tensor_of(parts[i].astype(self.dtypes[i]), None), self.tree, "")

    def bound(self, given: Any, default: float) -> Any:
        """A lower or upper bound as a flat vector."""
        vector = np.full(self.ends[-1], default)
        if given is None:
            return vector
        if isinstance(given, int | float):
            vector[:] = given
            return vector

        def put(path: str, i: int, value: Any) -> None:
            if value is None:
                return
            array = np.asarray(value.data if isinstance(value, Tensor) else value, dtype=np.float64)
            if array.shape not in ((), self.shapes[i]):
                raise ShapeError(f"the bound of {path} has shape {array.shape}, expected {self.shapes[i]} or a number")
            vector[self.ends[i] : self.ends[i + 1]] = np.ravel(np.broadcast_to(array, self.shapes[i]))

        matched(put, self.tree, _completed(self.tree, given), "start", "the bound")
        return vector

    def at(self, x: Any) -> restoring:
        """The argument for the loss at a point; inside the block, module parameters have the values of that point."""
        parts = self.parts(x)
        plain = iter([part for i, part in enumerate(parts) if i not in self.parameters])
        before = [(parameter, parameter._data) for parameter in self.parameters.values()]

        def begin() -> Any:
            for i, parameter in self.parameters.items():
                parameter._data = parts[i]
            return mapped(lambda *_: tensor_of(next(plain), None), self.given, "", same)

        def put_back() -> None:
            for parameter, data in before:
                parameter._data = data

        return restoring(put_back, begin)

    def written(self, x: Any) -> Any:
        """Write the solution to Tensors and parameters, and return it in the form of the start."""
        parts = self.parts(x)
        for i, parameter in self.parameters.items():
            writes_to(parameter, "minimize")[...] = parts[i]
        plain = iter([i for i in range(len(parts)) if i not in self.parameters])

        def put(path: str, leaf: Any) -> Any:
            i = next(plain)
            if not isinstance(leaf, Tensor):
                return in_kind(leaf, tensor_of(parts[i].astype(self.dtypes[i]), None))
            writes_to(leaf, "minimize")[...] = parts[i]
            return leaf

        return mapped(put, self.given, "", same)

    # --- what SciPy calls -------------------------------------------------------------------------------

    def value(self, x: Any) -> float:
        """The loss at a point."""
        with no_grad(), silenced(), self.at(x) as argument:
            out = self.loss(argument)
            return self._checked(out.item() if isinstance(out, Tensor) else float(out))

    def value_and_gradient(self, x: Any) -> tuple[float, Any]:
        """The loss and its gradient at a point."""
        with no_grad(), silenced(), self.at(x) as argument:
            out, gradients = value_and_grad(self.loss, allow_unused=True)(argument)
            value, vector = self._checked(out.item()), self.flat(gradients)
        if not math.isfinite(value):
            return value, np.zeros_like(vector)
        if not np.isfinite(vector).all():
            where = next(
                f"element {i - a} of leaf {k}"
                for i in np.flatnonzero(~np.isfinite(vector)).tolist()
                for k, (a, b) in enumerate(pairwise(self.ends))
                if a <= i < b
            )
            raise NonFiniteError(
                f"minimize: the loss is {value} at call {self.calls}, but its gradient is not finite in {where} of the "
                f"argument; nothing was written"
            )
        return value, vector

    def product(self, x: Any, vector: Any) -> Any:
        """The Hessian at a point times a vector."""
        with no_grad(), silenced(), self.at(x) as argument:
            if self._curved is None or not np.array_equal(self._curved[0], x):
                self._curved = (np.array(x), curvature(self.loss, argument))
            tangents = self.parts(vector)
            product = self.flat(self._curved[1](mapped(lambda _, i: tangents[i], self.tree, ""))[0])
        if not np.isfinite(product).all():
            raise NonFiniteError(
                f"minimize: at call {self.calls} the loss and its gradient are finite, but its curvature is not; "
                f"start closer to the minimum, or write method='BFGS', which needs no curvature; nothing was written"
            )
        return product

    def hessian(self, x: Any) -> Any:
        """The Hessian at a point."""
        return np.stack([self.product(x, row) for row in np.eye(len(x))])

    def _checked(self, value: float) -> float:
        """The value of the loss; infinity if it is not finite. Raises NonFiniteError for strict methods."""
        self.calls += 1
        if math.isfinite(value):
            return value
        if self.strict is not None and self.calls > 1:
            raise NonFiniteError(
                f"minimize: the loss is {value} at call {self.calls}, and {self.strict} cannot recover from that; "
                f"pass bounds, start closer to the minimum, or write method='BFGS', which can; nothing was written"
            )
        return math.inf


def _pair(bounds: Any) -> tuple[Any, Any]:
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        raise TypeError(
            f"minimize: bounds must be a pair (low, high), each a number, None, or nested like the start, "
            f"got {type(bounds).__name__}"
        )
    return bounds


def _completed(tree: Any, given: Any) -> Any:
    """The bounds, with None for omitted keys."""
    if not isinstance(tree, dict) or not isinstance(given, dict):
        return given
    extra = {key: value for key, value in given.items() if key not in tree}
    return {key: _completed(part, given.get(key)) for key, part in tree.items()} | extra
