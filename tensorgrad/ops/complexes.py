"""Complex numbers: their parts, conjugates and angles, and the convention of complex gradients.

The gradient of a real result L for ``z = x + iy`` is

    ``dL/dx - i dL/dy``

as in JAX and HIPS autograd. A small change of z then changes L by the real part of ``gradient * dz``, and:

- The rule of an analytic operation is the same for real and complex numbers, without a conjugate.
- Descent goes along ``-conj(gradient)``. PyTorch's gradient, ``dL/dx + i dL/dy``, is the conjugate of this one.
- A real input of a complex result moves along the real axis alone: its gradient is the real part.
- Only a real result has a gradient: of a complex one write ``.real``, ``.imag`` or ``abs()``, or give ``backward`` the
  gradient of a real loss for it.

``abs``, ``sign``, ``var``, ``std``, the norms, ``angle``, ``real``, ``imag`` and ``conj`` are not analytic; their rules
have the conjugates they need. What orders numbers (``maximum``, ``sort``, ``relu``, ``<`` ...) refuses complex ones,
also where NumPy compares them by real part, then imaginary part.
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
    tensorgrad.errors.DTypeError: floor takes real numbers, got complex128; write floor(...) of tg.real(x), ...
    """
    for operand in operands:
        dtype = getattr(operand, "dtype", None)
        if isinstance(operand, complex) or (dtype is not None and dtype.kind == "c"):
            raise DTypeError(
                f"{op} takes real numbers, got {dtype or 'complex'}; write {op}(...) of tg.real(x), of tg.imag(x), or "
                f"of the magnitude, tg.abs(x)"
            )


def real_only(op: str, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward function of real numbers, which refuses complex ones: they have no order, or SciPy no function.

    Looks at the result, because that is cheap: of complex numbers it is complex, where NumPy gives one at all.
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
    # The angle is the imaginary part of log z. (At 0, where it has none, the gradient is 0.)
    if x.dtype.kind != "c":
        return xp.zeros_like(g)
    zero = x == 0
    return xp.where(zero, 0, g * -1j) / xp.where(zero, 1, x)


@unary(np.angle, _d_angle)
def angle(x: TensorLike, /) -> Tensor:
    """Angle of a complex number in radians, in (-pi, pi]; of a real one 0 or pi, with gradient 0, as at 0.

    >>> import tensorgrad as tg
    >>> tg.angle([1 + 1j])
    Tensor([0.78539816], dtype=float64)
    """
