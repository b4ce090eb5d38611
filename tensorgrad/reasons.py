"""Why a Tensor has no gradient."""

from __future__ import annotations

from typing import Any

from .engine.frames import place
from .engine.graph import Constant, Cut, Freed, Leaf, ancestors
from .errors import GraphError
from .tensor import Tensor

__all__ = ["why_no_grad"]


def why_no_grad(t: Tensor, result: Tensor | None = None) -> str:
    """Explain in words why ``t`` has no gradient: the step that cut its history, with its source line.

    It finds constant leaves; detach(); no_grad() blocks; integer or boolean results; graphs that backward() has
    freed; leaves that were never used. With ``result``, the Tensor that backward() started from, it searches the
    graph between the two: whether ``result`` depends on ``t`` at all, and if not, where the history was cut.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> y = (x * 2).detach() * 3
    >>> print(tg.why_no_grad(y))
    This Tensor of shape (2,) has no history: detach() was called, at <doctest ...>:1, on the result of multiply ...
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"why_no_grad expects a Tensor, got {type(t).__name__}; arrays have no gradient")
    if result is not None:
        return _between(t, result)
    node = t.node
    if node is None or not node.requires_grad:
        return _without_history(t)
    if isinstance(node.saved, Freed):
        return (
            f"{_named(t)} had a history, but backward() at {place(node.saved.code, node.saved.lasti)} freed it; "
            f"write backward(retain_graph=True) there, or compute it again"
        )
    if isinstance(node, Leaf):
        if t.grad is not None:
            return f"{_named(t)} has a gradient: it is in .grad"
        return (
            f"{_named(t)} requires a gradient but has none yet: backward() was not called, or started from something "
            f"that was not computed from this Tensor; write why_no_grad(t, loss) to see which"
        )
    try:
        kept = t.grad is not None
    except GraphError:
        return (
            f"{_named(t)} requires a gradient but, as a result, does not keep it: call retain_grad() before backward()"
        )
    return f"{_named(t)} has a gradient: it is in .grad" if kept else f"{_named(t)}: no backward() has reached it yet"


def _named(t: Tensor) -> str:
    name = f"{t.name!r}, " if t.name else ""
    return f"This Tensor ({name}{t._describe()})"


def _without_history(t: Tensor) -> str:
    node = t.node
    cut = node.cut if isinstance(node, Constant) else node
    what = f"This Tensor of shape {t.shape}" if t.name is None else f"This Tensor ({t.name!r}, shape {t.shape})"
    if isinstance(cut, Cut):
        return f"{what} has no history: {_story(cut)}"
    if t.dtype.kind not in "fc":
        return f"{what} has dtype {t.dtype}, which carries no gradient; write dtype=np.float64 (or np.float32)"
    return (
        f"{what} is a constant: it was created with requires_grad=False (the default), or computed from constants "
        f"only; write requires_grad=True where it is created"
    )


def _story(cut: Cut) -> str:
    op, label, code, lasti = cut.before
    what = f"the result of {op} ({place(code, lasti)})" if code is not None else "a leaf"
    return f"{cut.why}, at {place(cut.code, cut.lasti)}, on {what}{'' if label is None else f' {label!r}'}"


def _between(t: Tensor, result: Tensor) -> str:
    if not result.requires_grad or result.node is None:
        return _without_history(result)
    nodes = ancestors([result.node])
    if t.node is not None and t.requires_grad and t.node in nodes:
        return f"{_named(t)} was used to compute the result ({result._describe()}): backward() gives it a gradient"
    freed = next((node for node in nodes if isinstance(node.saved, Freed)), None)
    if freed is not None:
        saved: Any = freed.saved
        return (
            f"The graph behind the result ({result._describe()}) was freed by backward() at "
            f"{place(saved.code, saved.lasti)}, so nothing more is known; call why_no_grad before backward()"
        )
    cuts = [node.cut for node in nodes if isinstance(node, Constant) and node.cut is not None]
    if t.node is not None:
        for cut in cuts:
            origin = cut.origin()
            if origin is not None and t.node in ancestors([origin]):
                return f"{_named(t)} was cut off from the result: {_story(cut)}"
    if not t.requires_grad:
        return _without_history(t)
    more = "".join(f"; history was cut elsewhere: {_story(cut)}" for cut in dict.fromkeys(cuts))
    return f"{_named(t)} was never used: the result ({result._describe()}) was not computed from it{more}"
