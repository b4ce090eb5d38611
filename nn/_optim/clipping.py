"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, Literal

import numpy as np

import tensorgrad as tg

from .._module import Module

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(
    parameters: Iterable[tg.Tensor] | tg.Tensor,
    max_norm: float,
    norm_type: float | Literal["inf"] = 2.0,
    *,
    error_if_nonfinite: bool = True,
) -> float:
    """Scale all gradients in place so that the norm of all of them together is at most ``max_norm``.

    Args:
        parameters: those without a gradient are left alone.
        max_norm: the bound.
        norm_type: p of the p-norm; infinity, also as "inf", for the largest absolute value.
        error_if_nonfinite: raise an error if the norm is NaN or infinite; otherwise the gradients become NaN or 0, as
            in PyTorch.

    Returns:
        The norm before scaling.

    Raises:
        NonFiniteError: the norm is NaN or infinite. No gradient was changed.
        ValueError: ``max_norm`` is not a number of at least 0, or ``norm_type`` is not a number above 0.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([0.0, 0.0])
    >>> w.grad = [3.0, 4.0]
    >>> nn.clip_grad_norm_([w], 1.0)
    5.0
    >>> w.grad.round(3)
    array([0.6, 0.8])
    """
    _require_bound("clip_grad_norm_", "max_norm", max_norm)
    order = math.inf if norm_type == "inf" else norm_type
    if not _is_number(order) or not order > 0:
        raise ValueError(f"clip_grad_norm_: norm_type must be a number above 0, or 'inf', got {norm_type!r}")
    owners = _with_gradient("clip_grad_norm_", parameters)
    gradients = [tg.writes_to(p.grad, by="clip_grad_norm_") for p in owners]
    if not gradients:
        return 0.0
    names = tuple(p.name or f"parameter {i}" for i, p in enumerate(owners))
    known = names if error_if_nonfinite else None
    norm, scale = _norm_and_scale(*gradients, order=float(order), max_norm=float(max_norm), names=known)
    with tg.silenced():
        for gradient in gradients:
            np.multiply(gradient, scale, out=gradient)
    return norm


def clip_grad_value_(parameters: Iterable[tg.Tensor] | tg.Tensor, clip_value: float) -> None:
    """Clip every element of all gradients to ``[-clip_value, clip_value]``, in place. NaN stays NaN.

    Raises ValueError if ``clip_value`` is not a number of at least 0, TypeError if something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([0.0, 0.0])
    >>> w.grad = [-3.0, 0.5]
    >>> nn.clip_grad_value_([w], 1.0)
    >>> w.grad
    array([-1. ,  0.5])
    """
    _require_bound("clip_grad_value_", "clip_value", clip_value)
    for p in _with_gradient("clip_grad_value_", parameters):
        gradient = tg.writes_to(p.grad, by="clip_grad_value_")
        np.maximum(gradient, -clip_value, out=gradient)
        np.minimum(gradient, clip_value, out=gradient)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _require_bound(op: str, name: str, value: Any) -> None:
    if not _is_number(value) or not value >= 0:  # infinity is a bound, too
        raise ValueError(f"{op}: {name} must be a number of at least 0, got {value!r}")


def _with_gradient(op: str, parameters: Iterable[tg.Tensor] | tg.Tensor) -> list[tg.Tensor]:
    if isinstance(parameters, Module):
        raise TypeError(f"{op}: expected parameters, got {parameters.brief()}; write model.parameters()")
    given = [parameters] if isinstance(parameters, tg.Tensor) else list(parameters)
    for i, p in enumerate(given):
        if not isinstance(p, tg.Tensor):
            raise TypeError(f"{op}: parameters[{i}] must be a Parameter, got {type(p).__name__}")
    return [p for p in given if p.grad is not None]


@tg.indivisible
def _norm_and_scale(
    *gradients: Any, order: float, max_norm: float, names: tuple[str, ...] | None
) -> tuple[float, float]:
    with tg.silenced():
        norm = _norm(gradients, order)
    if math.isfinite(norm):
        return norm, min(1.0, max_norm / (norm + 1e-6))
    if names is not None:
        bad = [name for name, g in zip(names, gradients, strict=True) if not np.isfinite(g).all()]
        raise tg.NonFiniteError(
            f"clip_grad_norm_: the norm of the gradients is {norm}, because of {', '.join(bad)}; no gradient was "
            "changed (write error_if_nonfinite=False to allow this)"
        )
    return norm, max_norm / norm


def _norm(gradients: tuple[Any, ...], order: float) -> float:
    if order == 2:
        square = math.fsum(float(np.vdot(g, g)) for g in gradients)
        if 1e-20 < square < math.inf:
            return math.sqrt(square)
    peaks = [float(np.max(np.abs(g))) for g in gradients if g.size]
    if any(map(math.isnan, peaks)):
        return math.nan
    peak = max(peaks, default=0.0)
    if order == math.inf or peak == 0 or peak == math.inf:
        return peak
    # Scaled by the largest element, so that powers neither overflow nor underflow.
    total = math.fsum(float(np.sum((np.abs(g) / peak) ** order, dtype=np.float64)) for g in gradients)
    return peak * total ** (1 / order)
