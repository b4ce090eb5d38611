"""Debug mode: every number is checked, and every saved array is fingerprinted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

from .engine.arrays import finite
from .engine.frames import place, user_frame
from .engine.graph import Freed, Node, elementwise, extra, saved_for_backward, sources
from .engine.mode import Mode, Switch, silenced
from .errors import InplaceError, NonFiniteError

__all__ = ["debug"]


class debug(Switch):
    """Raise an error where the first NaN or infinity appears, forward or backward, and where a saved array has changed.

    In the block:

    - an operation whose result has a NaN, or an infinity although its inputs had none, raises NonFiniteError with its
      source line, the number of such elements, where the first one is and how it was computed, and the range of the
      inputs;
    - so does a rule in ``backward()``, with the line of the forward call;
    - ``backward()`` raises InplaceError if the bytes of an array that was saved in the block have changed since, even
      through a NumPy alias or ``t.data``, which the engine alone does not notice.

    The block only affects the running thread or task. It costs about as much again as the computation.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 0.0], requires_grad=True)
    >>> with tg.debug():
    ...     y = tg.log(x)
    Traceback (most recent call last):
    tensorgrad.errors.NonFiniteError: log produced 1 infinity in shape (2,), first at index (1,): log(0.0) = -inf ...
    """

    def _changed(self, old: Mode) -> Mode:
        return old.but(debug=_DEBUGGER)


class _Debugger:
    """What the engine calls while debug mode is on (:class:`tensorgrad.engine.mode.Debugger`)."""

    def computed(self, op: str, arrays: Sequence[Any], out: Any) -> None:
        """Raise NonFiniteError for a result with a NaN, or with an infinity computed from finite numbers."""
        if not _floating(out) or _finite(out):
            return
        frame = user_frame(sys._getframe(2))
        _report(f"{op} produced", op, arrays, out, place(frame.f_code, frame.f_lasti))

    def recorded(self, node: Node) -> None:
        """Take the fingerprints of the arrays that a node saved."""
        assert not isinstance(node.saved, Freed)
        extra(node).prints = tuple(tuple(map(_fingerprint, args)) for args in node.saved)

    def before_rule(self, node: Node, position: int) -> None:
        """Raise InplaceError if an array that a rule needs has changed since it was saved."""
        prints = node.extra.prints if node.extra is not None else None
        rule = node.rules[position]
        if prints is None or rule is None or isinstance(node.saved, Freed):
            return
        given = zip(node.saved[position], prints[position], sources(rule, node), strict=True)
        for array, before, source in given:
            if _fingerprint(array) != before:
                raise InplaceError(
                    f"{saved_for_backward(node, source, array)}, and its bytes have changed since, but not through "
                    f"tensorgrad: a NumPy array on the same memory, or t.data, was written to. Run backward() before "
                    f"the write, or write to a copy"
                )

    def after_rule(self, node: Node, position: int, g: Any, gradient: Any) -> None:
        """Raise NonFiniteError for a gradient that is not finite although it was computed from finite numbers."""
        gradient, g = _array(gradient), _array(g)
        if not _floating(gradient) or _finite(gradient):
            return
        assert not isinstance(node.saved, Freed)
        _report(
            f"backward of {node.op} for input {position} produced",
            f"backward of {node.op}",
            (g, *map(_array, node.saved[position])),
            gradient,
            place(node.code, node.lasti),
            names="the gradient of the result, and what was saved",
        )


_DEBUGGER = _Debugger()
_finite = silenced()(finite)


def _array(value: Any) -> Any:
    return value.data if hasattr(value, "node") else value


def _floating(array: Any) -> bool:
    return hasattr(array, "dtype") and array.dtype.kind in "fc"


def _fingerprint(array: Any) -> int | None:
    if not isinstance(array, np.ndarray):
        return None
    return crc32(array.data if array.flags.c_contiguous and array.size else array.tobytes())


def _report(what: str, op: str, arrays: Sequence[Any], out: Any, where: str, names: str = "inputs") -> None:
    """Raise NonFiniteError, unless the result only passes on infinities from its inputs."""
    nan = np.isnan(out)
    count, infinite = int(np.count_nonzero(nan)), int(np.count_nonzero(np.isinf(out)))
    given = [np.asarray(a) for a in arrays if isinstance(a, np.ndarray | int | float | complex)]
    given = [a for a in given if a.dtype.kind in "fciub"]
    if not count and any(np.isinf(a).any() for a in given):
        return
    nan_input = next((i for i, a in enumerate(given) if np.isnan(a).any()), None)
    index = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(nan if count else np.isinf(out))))
    index = index if out.shape else ()
    parts = ([f"{count} NaN"] if count else []) + (
        [f"{infinite} {'infinity' if infinite == 1 else 'infinities'}"] if infinite else []
    )
    message = f"{what} {' and '.join(parts)} in shape {out.shape}, first at index {index}"
    if op in elementwise or op.removeprefix("backward of ") in elementwise:
        message += f": {op}({', '.join(_at(a, index, out.shape) for a in given)}) = {out[index]}"
    message += f" (called at {where}); {names}: {'; '.join(map(_range, given)) or 'none'}"
    if nan_input is not None:
        message += f". Number {nan_input} of these already had NaN"
    raise NonFiniteError(message)


def _at(array: Any, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    try:
        return str(np.broadcast_to(array, shape)[index])
    except ValueError:
        return "..."


def _range(array: Any) -> str:
    numbers = array[np.isfinite(array)]
    if not numbers.size:
        return f"shape {array.shape}, no finite numbers"
    if array.dtype.kind == "c":
        return f"shape {array.shape}, absolute values from {np.abs(numbers).min():.6g} to {np.abs(numbers).max():.6g}"
    rest = array.size - numbers.size
    more = f" and {rest} not finite" if rest else ""
    return f"shape {array.shape}, from {numbers.min():.6g} to {numbers.max():.6g}{more}"
