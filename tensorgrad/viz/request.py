"""``draw()``: what to draw, from a result, a model and its input, or a forward pass that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..engine.graph import Freed, Node, ancestors
from ..engine.mode import enable_grad, record_graph
from ..engine.readings import ARRAYS
from ..engine.record import constant
from ..engine.walk import backward as walk
from ..errors import GraphError
from ..tensor import Tensor
from .cards import Reader
from .drawing import Drawing, direction_of
from .failure import failed_picture
from .graph import Graph, Wanted
from .levels import Expand, checked_expand
from .measures import COLORS
from .render import Renderer

__all__ = ["draw"]


def draw(
    tensor: Tensor | Iterable[Tensor] | Callable[..., Any] | BaseException,
    *inputs: Any,
    backward: bool = False,
    model: Any = None,
    depth: int | None = None,
    expand: Expand = None,
    fold: bool | None = None,
    params: str | None = None,
    color: str = "grad",
    direction: str | None = None,
    renderer: Renderer | None = None,
) -> Drawing:
    """Draw the graph that one or several Tensors were computed by.

    A large graph is folded until it is readable: layers and functions such as ``cross_entropy`` are one card each, and
    equal blocks in a row are one card "×12". ``depth``, ``expand`` and ``fold`` say otherwise.

    After ``backward()`` the cards show gradients. However, ``backward()`` frees the graph's arrays, and later calls
    the links between operations on arrays: for the gradients of results, draw with ``backward=True``, or compute
    under :func:`tensorgrad.record_graph`. Graphs of scalars stay complete.

    Args:
        tensor: what to draw; a list is drawn as one graph. Or a model or function, which is called with ``inputs``: if
            that raises, what ran is drawn, with the failed operation in red. Or an exception: what led to it.
        inputs: the arguments for a model or function. Batch norm and dropout act as in any other call.
        backward: compute the gradients for this drawing only: no ``.grad`` is changed and nothing is freed, but hooks
            are called.
        model: with ``named_parameters()``; those that the result does not depend on are listed in a card.
        depth: how many levels of modules to open: 0 is one card per outermost module, 1 shows its parts.
        expand: the path of a module to open with all that is in it, such as "net.2", a list of paths, or a function
            that says of a path whether to open it.
        fold: whether to fold equal parts in a row; by default if the drawing would be large otherwise.
        params: "inside" draws parameters as lines in the card that uses them, "nodes" as cards of their own; by
            default inside, but in graphs of scalars as cards.
        color: what colours say: "grad", "time" (of each operation's derivative rules, measured now), "memory" (kept for
            backward) or "kind" (only the kind of card).
        direction: "TB" for top to bottom or "LR" for left to right; by default LR for few cards without modules.
        renderer: the path of a layout program that takes ``dot``'s options, or a function from DOT text to SVG text; by
            default the environment variable ``TENSORGRAD_DOT``, else the program of the package graphviz-pure, else
            ``dot`` on PATH.

    Raises:
        TypeError: something is not a Tensor.
        ValueError: an option is unknown.
        GraphError: with ``backward=True`` or ``color="time"``, the result is not a scalar, or requires no gradient; the
            graph has more than 300,000 nodes.

    >>> import tensorgrad as tg
    >>> a = tg.Tensor(2.0, requires_grad=True, name="a")
    >>> b = tg.Tensor(-3.0, requires_grad=True, name="b")
    >>> print(tg.draw(a * b + 10.0, backward=True))
    add  + 10  4  grad 1
    └─ multiply  -6  grad 1
       ├─ a  2  [parameter]  grad -3
       └─ b  -3  [parameter]  grad 2

    A function that is drawn with its input:

    >>> print(tg.draw(lambda x: tg.exp(x).sum(), np.zeros((2, 3))))
    sum  6  no gradient yet
    └─ exp  2×3
       └─ x  2×3  [input]
    """
    _check("direction", direction, (None, "TB", "LR"))
    _check("params", params, (None, "inside", "nodes"))
    _check("color", color, COLORS)
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth must be a number of levels, 0 or more, got {depth!r}")
    wanted = Wanted(depth, checked_expand(expand), fold, params, color, model)
    error = None
    if isinstance(tensor, BaseException):
        error, tensor = tensor, []
    elif callable(tensor) and not isinstance(tensor, Tensor):
        tensor, error = _run(tensor, inputs, wanted)
        inputs = ()
    if inputs:
        raise TypeError(f"draw takes inputs only with a model or function, got {type(tensor).__name__} and inputs")
    if error is not None:
        picture, reader = failed_picture(error, wanted)
    else:
        reader = Reader(_graph_of(tensor, wanted, backward))
        picture = reader.picture()
    if direction is None:
        direction = "TB" if reader.graph.plan.has_modules else direction_of(picture)
    return Drawing(
        picture,
        direction,
        renderer,
        color=color,
        graph=reader.graph,
        groups=reader.groups,
        operations=reader.operations,
    )


def _check(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        words = [repr(each) for each in known if each is not None]
        raise ValueError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, got {value!r}")


def _graph_of(tensor: Any, wanted: Wanted, backward: bool = False) -> Graph:
    """The graph of one or several Tensors. Raises TypeError for anything else."""
    tensors = [tensor] if isinstance(tensor, Tensor) else tensor
    if isinstance(tensors, np.ndarray | str) or not isinstance(tensors, Iterable):
        raise TypeError(f"draw expects a Tensor or a list of Tensors, got {type(tensor).__name__}")
    roots: dict[Node, Tensor] = {}
    for each in tensors:
        if not isinstance(each, Tensor):
            raise TypeError(f"draw expects a Tensor or a list of Tensors, got a {type(each).__name__} among them")
        roots[each._differentiable_node() if each.requires_grad else constant(each)] = each
    if wanted.color == "time":
        _checked_scalar(roots, 'color="time"')
    return Graph(roots, _gradients(roots) if backward else None, wanted)


def _checked_scalar(roots: dict[Node, Tensor], what: str) -> tuple[Node, Tensor]:
    """The one root. Raises GraphError unless it is a scalar that can be differentiated."""
    if len(roots) != 1:
        raise GraphError(f"draw(..., {what}) takes one scalar, got {len(roots)} Tensors; write their sum")
    ((root, tensor),) = roots.items()
    if tensor.size != 1:
        raise GraphError(f"draw(..., {what}) needs a scalar, got shape {tensor.shape}; draw its .sum()")
    if not root.requires_grad:
        raise GraphError(f"draw(..., {what}): nothing here requires a gradient")
    return root, tensor


def _gradients(roots: dict[Node, Tensor]) -> dict[Node, Any] | None:
    """The gradient of every node, from a walk that leaves the graph unchanged; None if the graph was freed."""
    root, tensor = _checked_scalar(roots, "backward=True")
    nodes = ancestors(roots)
    if any(isinstance(node.saved, Freed) for node in nodes):
        return None
    before = [(node, node.gradient) for node in nodes]
    try:
        with record_graph():
            walk(root, np.ones_like(tensor.data), ARRAYS)
        return {node: node.gradient for node in nodes if node.gradient is not None}
    finally:
        for node, gradient in before:
            node.gradient = gradient


def _run(function: Callable[..., Any], inputs: tuple[Any, ...], wanted: Wanted) -> tuple[list[Tensor], Any]:
    """Call a model or function on inputs that are recorded; return the Tensors in its result, or what it raised."""
    if not inputs:
        name = getattr(function, "__name__", type(function).__name__)
        raise TypeError(f"draw({name}) needs the input to call it with; write tg.draw({name}, x)")
    given = [_recorded(x, _argument_name(function, i)) for i, x in enumerate(inputs)]
    wanted.inputs = {id(x): x for x in given if isinstance(x, Tensor)}
    if wanted.model is None and hasattr(function, "named_parameters"):
        wanted.model = function
    try:
        with enable_grad():
            result = function(*given)
    except Exception as error:
        return [], error
    found: list[Tensor] = []
    stack = [result]
    while stack:
        each = stack.pop()
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, list | tuple):
            stack += reversed(each)
        elif isinstance(each, dict):
            stack += reversed(each.values())
    if not found:
        raise TypeError(f"draw: the function returned {type(result).__name__}, expected a Tensor or a list of Tensors")
    return found, None


def _recorded(value: Any, name: str) -> Any:
    """An input as a Tensor with a gradient, so that everything computed from it is recorded."""
    if isinstance(value, Tensor):
        return value
    kind = np.asarray(value).dtype.kind if not isinstance(value, str) else ""
    if kind == "f" or kind == "c":
        return Tensor(value, requires_grad=True, name=name)
    return value


def _argument_name(function: Any, position: int) -> str:
    import inspect

    try:
        names = list(inspect.signature(getattr(function, "forward", function)).parameters.values())
    except (TypeError, ValueError):
        names = []
    named = names[position].name if position < len(names) else ""
    positional = position < len(names) and names[position].kind is not inspect.Parameter.VAR_POSITIONAL
    return named if positional else f"input {position + 1}"
