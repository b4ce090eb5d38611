"""Complex numbers: their parts, conjugates and angles, and the convention for complex gradients.

The gradient of a real result L with respect to ``z = x + iy`` is

    ``dL/dx - i dL/dy``

as in JAX and HIPS autograd. A small change dz then changes L by the real part of ``gradient * dz``, and:

- The rule of an analytic operation is the same for real and complex numbers, without a conjugate.
- Descent goes along ``-conj(gradient)``. PyTorch's gradient, ``dL/dx + i dL/dy``, is the conjugate of this one.
- A real input of a complex result moves only along the real axis: its gradient is the real part.
- Only a real result has a gradient: for a complex one, take ``.real``, ``.imag`` or ``abs()``, or pass ``backward``
  the gradient of a real loss with respect to it.

``abs``, ``sign``, ``var``, ``std``, the norms, ``angle``, ``real``, ``imag`` and ``conj`` are not analytic; their rules
include the conjugates they need. Operations that order numbers (``maximum``, ``sort``, ``relu``, ``<`` ...) refuse
complex ones, even where NumPy compares them by real part, then imaginary part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.record import Tensor, TensorLike, unary
from ..errors import DTypeError

__all__ = ["angle", "conj", "imag", "real"]


def refuse_complex(op: str, *operands: Any) -> None:
    """Raise DTypeError if one of the operands (Tensors, arrays or Python numbers) is complex.

    >>> import tensorgrad as tg
    >>> refuse_complex("floor", tg.Tensor([1 + 2j]))
    Traceback (most recent call last):
    tensorgrad.errors.DTypeError: floor takes real numbers, got complex128; apply it to tg.real(x), ...
    """
    for operand in operands:
        dtype = getattr(operand, "dtype", None)
        if isinstance(operand, complex) or (dtype is not None and dtype.kind == "c"):
            raise DTypeError(
                f"{op} takes real numbers, got {dtype or 'complex'}; apply it to tg.real(x), to tg.imag(x), or to the "
                f"magnitude, tg.abs(x)"
            )


def real_only(op: str, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward function that refuses complex numbers: they have no order, or SciPy has no function for them.

    It checks the result, because that is cheap: for complex numbers the result, if NumPy returns one, is complex.
    """

    def real_forward(*arrays: Any) -> Any:
        try:
            out = forward(*arrays)
        except TypeError:
            refuse_complex(op, *arrays)
            raise
        if out.dtype.kind == "c":
            refuse_complex(op, *arrays)
        return out

    return real_forward


@unary(lambda a: np.positive(np.real(a)), lambda xp, g: g)
def real(x: TensorLike, /) -> Tensor:
    """Real part, a copy.

    >>> import tensorgrad as tg
    >>> tg.real([1 + 2j])
    Tensor([1.], dtype=float64)
    """


@unary(lambda a: np.positive(np.imag(a)), lambda xp, g, x: g * -1j if x.dtype.kind == "c" else xp.zeros_like(g))
def imag(x: TensorLike, /) -> Tensor:
    """Imaginary part, a copy; zero for real numbers.

    >>> import tensorgrad as tg
    >>> tg.imag([1 + 2j])
    Tensor([2.], dtype=float64)
    """


@unary(np.conjugate, lambda xp, g: xp.conj(g))
def conj(x: TensorLike, /) -> Tensor:
    """Complex conjugate.

    >>> import tensorgrad as tg
    >>> tg.conj([1 + 2j])
    Tensor([1.-2.j], dtype=complex128)
    """


def _d_angle(xp: Any, g: Any, x: Any) -> Any:
    # The angle is the imaginary part of log z. (At 0, where it is undefined, the gradient is 0.)
    if x.dtype.kind != "c":
        return xp.zeros_like(g)
    zero = x == 0
    return xp.where(zero, 0, g * -1j) / xp.where(zero, 1, x)


@unary(np.angle, _d_angle)
def angle(x: TensorLike, /) -> Tensor:
    """Angle of a complex number in radians, in (-pi, pi]; 0 or pi for a real one, with gradient 0, as at 0.

    >>> import tensorgrad as tg
    >>> tg.angle([1 + 1j])
    Tensor([0.78539816], dtype=float64)
    """
