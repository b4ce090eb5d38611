"""Deriving a backward that a person can read, and judging those that were written by hand.

Importing this loads little; the work is in the modules beside it. ``algebra`` has the formulas, ``recording`` and
``lift`` get them from a run, ``search`` shortens them, ``tree``, ``numpy_text`` and ``latex`` print them, and
``derivation`` puts it all together and verifies the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .results import Derivation as Derivation


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
