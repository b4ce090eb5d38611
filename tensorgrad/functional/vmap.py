"""A function of one sample, computed for a whole batch at once; and the gradient of each sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..batching import Batched, new_level
from ..engine.graph import Node
from ..engine.mode import current, no_grad
from ..engine.record import tensor_of
from ..engine.shapes import normalised_axis
from ..engine.trees import alike, parts_of
from ..engine.writes import tick
from ..errors import ShapeError, Unbatchable
from ..ops import indexing, joining
from ..ops.views import shaped
from ..tensor import Tensor
from .call import Argnums, name_of, named, require_function
from .crossing import enter_batch, leave_batch, share
from .nests import in_kind, leaves, mapped, same
from .transforms import grad

__all__ = ["per_sample_grad", "vmap"]

InAxes = int | None | tuple[int | None, ...]


def vmap(f: Callable[..., Any], in_axes: InAxes = 0) -> Callable[..., Any]:
    """The function that computes ``f``, written for one sample, for a batch; results have the samples along axis 0.

    Everything is computed for all samples at once. If ``f`` branches on values that differ within the batch, or calls
    something that only works on ndarrays, it is called for one sample after the other instead, with the same result.
    Derivatives of any order work, inside ``f`` and outside. Random draws inside ``f`` are the same for all samples.

    A result is a Tensor if any argument is one or if it has a history, and an array otherwise.

    Args:
        f: takes and returns Tensors, or dicts, lists or tuples of Tensors. It must not keep or change anything
            outside.
        in_axes: the axis along which the samples lie, for each positional argument; None for an argument that is the
            same for all samples, which is passed on unchanged. One for all arguments, or a tuple.

    Raises:
        ShapeError: an argument has no such axis, or the numbers of samples differ.
        ValueError: ``in_axes`` does not fit the arguments.

    >>> import tensorgrad as tg
    >>> tg.vmap(lambda x, y: (x * y).sum())(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), tg.Tensor([[1.0, 1.0], [0.0, 1.0]]))
    Tensor([3., 4.], dtype=float64)
    """
    require_function(f, "vmap")

    def batched(*args: Any, **kwargs: Any) -> Any:
        axes = _axes(in_axes, len(args), name_of(f))
        samples: list[tuple[Any, int]] = []
        sizes: dict[int, str] = {}

        def note(path: str, leaf: Any, axis: int) -> int:
            x = shaped(leaf, "vmap")
            x = x if isinstance(x, Tensor) else tensor_of(x, None)
            at = normalised_axis(axis, len(x.shape), f"vmap ({path})")
            sizes.setdefault(x.shape[at], path)
            samples.append((x, at))
            return len(samples) - 1

        places = [
            arg if axis is None else mapped(partial(note, axis=axis), arg, f"argument {i}")
            for i, (arg, axis) in enumerate(zip(args, axes))
        ]
        if not sizes:
            raise ValueError(f"vmap({name_of(f)}): no argument holds samples; in_axes is {in_axes!r}")
        if len(sizes) != 1:
            (first, path), (second, other), *_ = sizes.items()
            raise ShapeError(f"vmap: {path} has {first} samples, {other} has {second}; the numbers must be equal")
        (size,) = sizes

        def call(mine: list[Tensor]) -> Any:
            given = (
                place if axis is None else mapped(lambda _, i: mine[i], place, "") for place, axis in zip(places, axes)
            )
            return f(*given, **kwargs)

        like = next((leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)
        returned = _computed(call, samples, size)
        return mapped(lambda _, leaf: in_kind(like, leaf) if isinstance(leaf, Tensor) else leaf, returned, "", same)

    return named(batched, f, "vmap")


def per_sample_grad(f: Callable[..., Any], argnums: Argnums = 0, in_axes: InAxes = 0) -> Callable[..., Any]:
    """The function that returns the gradient of ``f`` for each sample, stacked along axis 0.

    ``f(params, *sample)`` is written for one sample and returns a scalar; the result is nested like the parameters.
    It has no history: write ``vmap(grad(f), in_axes)`` to differentiate it further. If a layer mixes samples
    (``nn.BatchNorm`` in training), there is no such thing as the gradient of one sample: the layer sees one sample
    at a time.

    Args:
        f: as for :func:`vmap`, with a scalar result.
        argnums: which arguments are the parameters, as for :func:`grad`. They are the same for all samples.
        in_axes: the axis along which the samples lie, for all other arguments or, as a tuple, for each argument.

    Raises what :func:`grad` and :func:`vmap` raise.

    >>> import tensorgrad as tg
    >>> tg.per_sample_grad(lambda w, x: (w @ x) ** 2)(tg.Tensor([1.0, 1.0]), tg.Tensor([[1.0, 0.0], [1.0, 2.0]]))
    Tensor([[ 2.,  0.],
            [ 6., 12.]], dtype=float64)
    """
    require_function(f, "per_sample_grad")

    def gradients(*args: Any, **kwargs: Any) -> Any:
        axes = in_axes
        if not isinstance(axes, tuple):
            chosen = {i % max(len(args), 1) for i in (argnums if isinstance(argnums, tuple) else (argnums,))}
            axes = tuple(None if i in chosen else axes for i in range(len(args)))
        with no_grad():
            return vmap(grad(f, argnums), axes)(*args, **kwargs)

    return named(gradients, f, "per_sample_grad")


def _axes(in_axes: InAxes, given: int, name: str) -> tuple[int | None, ...]:
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * given
    if len(axes) != given or any(not isinstance(a, int) or isinstance(a, bool) for a in axes if a is not None):
        raise ValueError(
            f"in_axes must be an integer or None, or a tuple of these, one for each of the {given} positional "
            f"arguments of {name}; got {in_axes!r}"
        )
    return axes


def _computed(call: Callable[[list[Any]], Any], samples: list[tuple[Any, int]], size: int) -> Any:
    if current().tracer is None:
        try:
            return _at_once(call, samples, size)
        except Unbatchable:
            if not size:
                raise
    return _one_by_one(call, samples, size)


def _at_once(call: Callable[[list[Any]], Any], samples: list[tuple[Any, int]], size: int) -> Any:
    level, start = new_level(), tick()
    inside = [enter_batch(x, axis, level) for x, axis in samples]
    entries = {x.node for x in inside if x.node is not None}
    exits: list[Node] = []

    def out(path: str, result: Any) -> Any:
        if not isinstance(result, Tensor):
            return leave_batch(result if isinstance(result, Batched) else np.asarray(result), 0, level, size)
        result = leave_batch(result, 0, level, size)
        if result.requires_grad:
            exits.append(result.node)
        return result

    returned = mapped(out, call(inside), "")
    share(exits, entries, start, level, size)
    return returned


def _one_by_one(call: Callable[[list[Any]], Any], samples: list[tuple[Any, int]], size: int) -> Any:
    return _stacked(
        [call([indexing.getitem(x, (slice(None),) * axis + (i,)) for x, axis in samples]) for i in range(size)]
    )


def _stacked(results: list[Any]) -> Any:
    """Nests of results, stacked leaf by leaf."""
    first = results[0]
    if first is None:
        return None
    parts = parts_of(first)
    if parts is not None:
        columns = zip(*(parts_of(result) or () for result in results), strict=True)
        return alike(first, [_stacked(list(column)) for column in columns])
    return joining.stack(results) if isinstance(first, Tensor) else np.stack(results)
