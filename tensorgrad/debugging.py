"""Debug mode: every number is looked at, and every saved array has a fingerprint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

from .engine.arrays import finite
from .engine.frames import place, user_frame
from .engine.graph import Freed, Node, elementwise, extra, saved_for_backward, sources
from .engine.mode import Mode, Switch
from .errors import InplaceError, NonFiniteError

__all__ = ["debug"]


class debug(Switch):
    """Raise an error where the first NaN or infinity arises, forward or backward, and where a saved array was changed.

    In the block:

    - an operation whose result holds a NaN, or an infinity that none of its inputs held, raises NonFiniteError with
      its line, how many elements are meant and where, the range of its inputs and what it was computed from;
    - so does a rule in ``backward()``, with the line of the forward call;
    - ``backward()`` raises InplaceError if an array that was saved in the block has other bytes than it had then:
      also through a NumPy alias or ``t.data``, which the engine does not see by itself.

    The block concerns the running thread or task alone. Costs about as much again as the computation.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 0.0], requires_grad=True)
    >>> with tg.debug():
    ...     y = tg.log(x)
    Traceback (most recent call last):
    tensorgrad.errors.NonFiniteError: log gave 1 infinity in shape (2,), first at index (1,): log(0.0) = -inf ...
    """

    def _changed(self, old: Mode) -> Mode:
        return old.but(debug=_DEBUGGER)


class _Debugger:
    """What the engine calls while debug mode is on (:class:`tensorgrad.engine.mode.Debugger`)."""

    def computed(self, op: str, arrays: Sequence[Any], out: Any) -> None:
        """Raise NonFiniteError for the first NaN, and for an infinity that came from finite numbers."""
        if not _floating(out) or finite(out):
            return
        frame = user_frame(sys._getframe(2))
        _report(f"{op} gave", op, arrays, out, place(frame.f_code, frame.f_lasti))

    def recorded(self, node: Node) -> None:
        """Take the fingerprints of what a node saved."""
        assert not isinstance(node.saved, Freed)
        extra(node).prints = tuple(tuple(map(_fingerprint, args)) for args in node.saved)

    def going_back(self, node: Node, position: int) -> None:
        """Raise InplaceError if what a rule needs is no longer what was saved."""
        prints = node.extra.prints if node.extra is not None else None
        rule = node.rules[position]
        if prints is None or rule is None or isinstance(node.saved, Freed):
            return
        given = zip(node.saved[position], prints[position], sources(rule, node), strict=True)
        for array, before, source in given:
            if _fingerprint(array) != before:
                raise InplaceError(
                    f"{saved_for_backward(node, source, array)}, and its bytes have changed since, not through "
                    f"tensorgrad: a NumPy array on the same memory, or t.data, was written to. Run "
                    f"backward() before, or write to a copy"
                )

    def gone_back(self, node: Node, position: int, g: Any, gradient: Any) -> None:
        """Raise NonFiniteError for a gradient that is not finite where what it was computed from was."""
        gradient, g = _array(gradient), _array(g)
        if not _floating(gradient) or finite(gradient):
            return
        assert not isinstance(node.saved, Freed)
        _report(
            f"backward of {node.op} gave input {position} a gradient with",
            f"backward of {node.op}",
            (g, *map(_array, node.saved[position])),
            gradient,
            place(node.code, node.lasti),
            names="the gradient of the result, and what was saved",
        )


_DEBUGGER = _Debugger()


def _array(value: Any) -> Any:
    return value.data if hasattr(value, "node") else value


def _floating(array: Any) -> bool:
    return hasattr(array, "dtype") and array.dtype.kind in "fc"


def _fingerprint(array: Any) -> int | None:
    if not isinstance(array, np.ndarray):
        return None
    return crc32(array.data if array.flags.c_contiguous and array.size else array.tobytes())


def _report(what: str, op: str, arrays: Sequence[Any], out: Any, where: str, names: str = "inputs") -> None:
    """Raise NonFiniteError, unless the result only hands on infinities that it was given."""
    nan = np.isnan(out)
    count, infinite = int(np.count_nonzero(nan)), int(np.count_nonzero(np.isinf(out)))
    given = [np.asarray(a) for a in arrays if isinstance(a, np.ndarray | int | float | complex)]
    given = [a for a in given if a.dtype.kind in "fciub"]
    if not count and any(np.isinf(a).any() for a in given):
        return
    came_in = next((i for i, a in enumerate(given) if np.isnan(a).any()), None)
    index = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(nan if count else np.isinf(out))))
    index = index if out.shape else ()
    parts = ([f"{count} NaN"] if count else []) + (
        [f"{infinite} {'infinity' if infinite == 1 else 'infinities'}"] if infinite else []
    )
    message = f"{what} {' and '.join(parts)} in shape {out.shape}, first at index {index}"
    if op in elementwise or op.removeprefix("backward of ") in elementwise:
        message += f": {op}({', '.join(_at(a, index, out.shape) for a in given)}) = {out[index]}"
    message += f" (called at {where}); {names}: {'; '.join(map(_range, given)) or 'none'}"
    if came_in is not None:
        message += f". NaN came in with number {came_in} of these"
    raise NonFiniteError(message)


def _at(array: Any, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    try:
        return str(np.broadcast_to(array, shape)[index])
    except ValueError:
        return "..."


def _range(array: Any) -> str:
    fit = array[np.isfinite(array)]
    if not fit.size:
        return f"shape {array.shape}, no finite number"
    if array.dtype.kind == "c":
        return f"shape {array.shape}, absolute values from {np.abs(fit).min():.6g} to {np.abs(fit).max():.6g}"
    rest = array.size - fit.size
    more = f" and {rest} not finite" if rest else ""
    return f"shape {array.shape}, from {fit.min():.6g} to {fit.max():.6g}{more}"
