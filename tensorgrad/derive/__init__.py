"""Deriving a backward that a person can read, and judging those that were written by hand.

Importing this loads little; the work is in the modules beside it. ``atoms``, ``algebra`` and ``sums`` have the
formulas, ``recording`` and ``lift`` get them from a run, ``search`` shortens them, ``tree``, ``numpy_text`` and
``latex`` print them, and ``derivation`` puts it all together and verifies the result. ``rules`` and ``parts`` do so for
nodes of a graph that was recorded before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..tensor import Tensor, set_explainer
from .results import Derivation as Derivation
from .results import Report as Report


def derive(
    f: Callable[..., Any], *args: Any, argnums: int | Sequence[int] | None = None, assume: str | Sequence[str] = ()
) -> Derivation:
    """Derive the backward of a function, and print it as a person would write it.

    The function is run once on the arguments, its backward is taken from the engine's rules, simplified, and printed as
    NumPy and as LaTeX. Names are those in the function's source. Before anything is returned, the printed function is
    executed on the arguments and on random ones of the same shapes, in float64, and compared with the engine's
    gradient.

    Args:
        f: a function of arrays that returns one Tensor. For a result that is not a scalar, the printed function takes
            the upstream gradient as its last argument.
        args: the arguments: arrays, Tensors and numbers. The printed function holds for arrays of these shapes, and for
            these numbers.
        argnums: the arguments to differentiate with respect to; all Tensors that require a gradient if there are any,
            else all arrays of floating-point numbers.
        assume: what is known of an argument, such as ``"y.sum(1) == 1"``; it is printed with the result.

    Raises:
        GraphError: an operation has no formula, and is named; the function looks at values; or the printed function
            deviates by more than 1e-12 from the engine's gradient.
        DTypeError: an argument is complex, or none has a gradient.
        NonFiniteError: the gradient is not finite.

    >>> import numpy as np, tensorgrad as tg
    >>> def loss(z, y):
    ...     p = tg.softmax(z, axis=1)
    ...     return -(y * tg.log(p)).sum() / len(z)
    >>> z, y = np.zeros((6, 3)), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    >>> print(tg.derive(loss, z, y, argnums=0, assume="y.sum(1) == 1"))
    # assumed: y.sum(1) == 1
    def backward(z, y):
        e = np.exp(z - z.max(1, keepdims=True))  # (6, 3)
        p = e / e.sum(1, keepdims=True)          # (6, 3)
        # backward
        dz = (p - y) / 6                         # (6, 3)
        return dz
    """
    from .derivation import derived

    return derived(f, args, argnums, assume)


def referee(
    f: Callable[..., Any], by_hand: Callable[..., Any], *args: Any, argnums: int | Sequence[int] | None = None
) -> Report:
    """Judge a backward that was written by hand, and say what is wrong with it.

    The gradients are compared with the engine's and with central differences, on the arguments and on random ones in
    place of those that a gradient is wanted for. For each that is wrong, the referee looks for a slip that explains it
    in every draw: a shape, a sign, a factor, a term through an intermediate, an axis, or an edit of the derived
    formula.

    Args:
        f: the forward, a function of arrays that returns one Tensor.
        by_hand: a function of the same arguments, as arrays, and of the upstream gradient if it takes one argument more
            (it has to if the result is not a scalar). It returns the gradients in the order of the arguments, or a dict
            by name. Its local variables named ``dz`` are compared with the gradient of the forward's ``z``.
        args: the arguments: arrays, Tensors and numbers. Axes of different lengths tell more.
        argnums: the arguments that by_hand has gradients of, as for :func:`derive`.

    Returns:
        A :class:`~tensorgrad.derive.results.Report`: true if all is right; ``print`` and notebooks show a table.

    Raises:
        TypeError, ValueError: by_hand does not take these arguments, or returns another number of gradients.
        GraphError, DTypeError: as for :func:`derive`.

    >>> import numpy as np, tensorgrad as tg
    >>> def f(x, w):
    ...     return (x @ w).sum()
    >>> report = tg.referee(
    ...     f, lambda x, w: (np.ones((4, 3)) @ w.T, x.T @ np.ones((4, 3)) / 4), np.eye(4, 2), np.eye(2, 3)
    ... )
    >>> report.findings[1].verdict
    'too small by the factor 4 = x.shape[0]: it is divided by it once too often'
    """
    from .refereeing import refereed

    return refereed(f, by_hand, args, argnums)


def _explain(t: Tensor, result: Tensor | None) -> str:
    from .explaining import explained

    return explained(t, result)


set_explainer(_explain)
