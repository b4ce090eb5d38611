"""Derivatives as functions of functions: ``grad(f)`` is a function that returns the gradient of ``f``.

They nest to any order, return values, and never touch ``.grad``. Each call differentiates with respect to fresh
nodes that stand for its arguments only, so a variable that ``f`` also uses from outside is not confused with them:
``grad(lambda z: z * x)(x)`` is ``x``.

The derivative is itself recorded if it could be differentiated further: an argument has history, or ``f`` uses
another Tensor that requires a gradient (the parameters of a model, in a gradient penalty). Otherwise, and under
``no_grad()``, the faster backward on plain arrays runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.record import tensor_of
from ..engine.staging import array_of
from ..errors import GraphError
from ..ops import shaping
from ..tensor import Tensor
from .call import Argnums, Call, name_of, named, require_function
from .nests import mapped
from .rows import jacobian_rows

__all__ = ["grad", "hessian", "jacobian", "value_and_grad"]


def grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, allow_unused: bool = False, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that returns the gradient of ``f``, a function with a scalar result.

    An argument is a Tensor, an array, a Python float, a module, or a dict, list or tuple of these, nested in any way.
    Its gradient has the same shape and dtype and is returned in kind: an array for an array, a NumPy scalar for a
    number, a Tensor for a Tensor, nested like the argument. A gradient with a history (``f`` uses a Tensor from outside
    that requires a gradient, or the call is inside another transform) stays a Tensor. A module (anything with
    ``named_parameters()``, such as an ``nn.Module``) stands for its parameters: ``f`` gets the module itself, and its
    gradient is a dict by parameter name, without frozen parameters. As parameters require a gradient, that gradient is
    recorded; write ``with tg.no_grad():`` around the call for the faster backward on plain arrays. No other thread may
    use the module during the call.

    Args:
        f: returns a Tensor of shape ().
        argnums: the position of the argument to differentiate with respect to, or a tuple of positions for a tuple
            of gradients.
        allow_unused: return None for an argument that ``f`` does not depend on, instead of raising an error.
        has_aux: ``f`` returns a pair of the result and anything else; the new function returns the gradient and the
            latter.

    Raises:
        DTypeError: an argument to differentiate with respect to, or the result, does not have a floating-point dtype.
        ShapeError: the result is not a scalar.
        GraphError: the result does not depend on an argument. The derivative of a function that depends on it does: it
            has gradient 0 where the argument drops out.

    >>> import tensorgrad as tg
    >>> tg.grad(tg.tanh)(0.0)
    np.float64(1.0)
    >>> tg.grad(tg.grad(tg.grad(tg.tanh)))(0.0)
    np.float64(-2.0)
    >>> tg.grad(lambda p: (p["w"] * p["b"]).sum())({"w": tg.Tensor([2.0, 3.0]), "b": 4.0})["b"]
    np.float64(5.0)
    """
    require_function(f, "grad")
    both = value_and_grad(f, argnums, allow_unused=allow_unused, has_aux=has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return named(gradient, f, "grad")


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, allow_unused: bool = False, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """The function that returns both the value of ``f`` and its gradient, at the cost of the gradient.

    Arguments and errors are those of :func:`grad`. With ``has_aux=True`` the value is the pair that ``f`` returns.
    If no argument is a Tensor, the value is returned as arrays and NumPy scalars as well, unless it has a history.

    >>> import tensorgrad as tg
    >>> tg.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(3.0, 5.0)
    (np.float64(15.0), (np.float64(5.0), np.float64(3.0)))
    """
    require_function(f, "value_and_grad")

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = Call(f, argnums, args, kwargs, has_aux)
        out = call.scalar("grad")
        gradients = call.pull(out, np.ones_like(array_of(out)))

        def gradient_of(path: str, x: Tensor) -> Tensor | None:
            assert x.node is not None
            g = gradients.get(x.node)
            if g is None and x.node in call.differentiated:
                return tensor_of(np.zeros_like(array_of(x)), None)
            if g is None and not allow_unused:
                raise GraphError(
                    f"the result of {name_of(f)} does not depend on {path}; write allow_unused=True to get None for it"
                )
            return g

        value = call.given((out, call.aux) if has_aux else out)
        return value, call.rebuilt(gradient_of)

    return named(value_and_gradient, f, "value_and_grad")


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns all first derivatives of ``f``, in an array of shape ``out.shape + in.shape``.

    One backward handles many elements of the result at once, as many as fit into the processor's caches. Arguments
    are those of :func:`grad`. If ``f`` returns a dict, list, tuple or module, the outermost level of the Jacobian is
    nested like that (a dict for a module). It is zero for an argument that ``f`` does not depend on.

    Raises:
        DTypeError: an argument to differentiate with respect to, or the result, does not have a floating-point dtype.

    >>> import tensorgrad as tg
    >>> tg.jacobian(lambda x: x * x)(tg.Tensor([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]], dtype=float64)
    """
    require_function(f, "jacobian")

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        call = Call(f, argnums, args, kwargs)

        def derivatives(path: str, returned: Any) -> Any:
            out = call.result("jacobian", returned)
            rows = jacobian_rows(call, out)

            def shaped(path: str, x: Tensor) -> Tensor:
                assert x.node is not None
                shape = out.shape + x.shape
                found = rows.get(x.node)
                return (
                    tensor_of(np.zeros(shape, dtype=x.dtype), None) if found is None else shaping.reshape(found, shape)
                )

            return call.rebuilt(shaped)

        return mapped(derivatives, call.returned, "the result")

    return named(jacobian_of, f, "jacobian")


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns all second derivatives of ``f``, a function with a scalar result.

    For one argument they have shape ``in.shape + in.shape``; for a tuple of positions or a nested argument, the block
    ``[i][j]`` is the derivative of gradient ``i`` with respect to argument ``j``. Errors are those of :func:`grad`.

    >>> import tensorgrad as tg
    >>> tg.hessian(lambda x: (x * x * x).sum())(tg.Tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float64)
    """
    require_function(f, "hessian")
    return named(jacobian(grad(f, argnums), argnums), f, "hessian")
