"""Tensor: an array that remembers how it was computed."""

from __future__ import annotations

import cmath
import sys
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import interop
from .engine import walk
from .engine.frames import place
from .engine.graph import Constant, Cut, Freed, Leaf, Node, extra, no_owner
from .engine.locks import lock
from .engine.mode import current, enable_grad
from .engine.readings import ARRAYS
from .engine.record import Handle, TensorLike, as_array, checked, operand, set_result_class, tensor_of
from .engine.staging import array_of
from .errors import DTypeError, GraphError, ShapeError
from .namespaces import TENSORS
from .ops import arithmetic, axes, complexes, joining, rounding, shaping
from .ops.methods import Methods
from .words import METHODS, ForeignWord, escaped

__all__ = ["Tensor", "from_dlpack", "from_numpy", "replace_data", "set_explainer"]

_hook_keys = count()
_grad_lock = lock()
_set_grad: Any = Handle.__dict__["_grad"].__set__
_explained: Callable[[Tensor, Tensor | None], str]


def set_explainer(explain: Callable[[Tensor, Tensor | None], str]) -> None:
    """Set what :meth:`Tensor.explain` calls: the formulas of rules are worked out by ``derive``, a layer above."""
    global _explained
    _explained = explain


def _copied(gradient: Any) -> Any:
    return np.copy(gradient) if isinstance(gradient, np.ndarray | np.generic) else gradient


def separated(gradients: dict[Node, Tensor]) -> dict[Node, Tensor]:
    """Recorded gradients, each with its own writable memory."""
    seen: set[int] = set()
    for node, g in gradients.items():
        if getattr(g.data, "base", None) is not None or id(g.data) in seen:
            gradients[node] = g = arithmetic.positive(g)
        seen.add(id(g.data))
    return gradients


class Tensor(Methods):
    """An array of numbers that records what is computed from it.

    Args:
        data: anything NumPy can make an array of; an ndarray is copied (:func:`from_numpy` shares its memory).
        dtype: the NumPy dtype; by default that of the data, and float64 for Python floats.
        requires_grad: record operations on this Tensor, so that ``backward()`` fills ``grad``.
        name: shown in drawings and messages.

    Attributes:
        data: the ndarray. A direct write to it is only detected in :class:`debug mode <tensorgrad.debug>`; a write
            through :func:`tensorgrad.writes_to` always is.
        node: the record behind this Tensor (:class:`tensorgrad.engine.graph.Node`), None for an unused constant.

    Raises:
        DTypeError: the data does not consist of numbers, or ``requires_grad`` is set for integers or booleans.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ()

    def __init__(
        self,
        data: TensorLike,
        *,
        dtype: DTypeLike | None = None,
        requires_grad: bool = False,
        name: str | None = None,
    ) -> None:
        source: Any = data
        if isinstance(data, Tensor):
            data._refuse_if_graph("Tensor(t)")
            source = data.data
        if not hasattr(source, "__array_function__"):
            source = as_array(source, "Tensor")
            if isinstance(source, Handle):
                raise GraphError(
                    "Tensor([...]) makes a leaf, and would cut the history of the Tensors in the list; write "
                    "tg.asarray([...]) or tg.stack([...]), which are recorded"
                )
        # Native byte order, unless a dtype was passed.
        wanted = np.dtype(dtype) if dtype is not None else checked(source, "Tensor").dtype.newbyteorder("=")
        self._own(checked(np.copy(array_of(source)).astype(wanted, copy=False), "Tensor"), requires_grad, name)

    def _own(self, array: Any, requires_grad: bool, name: str | None) -> None:
        self._data = array
        self.node = None
        if requires_grad:
            self.requires_grad = True
        if name is not None:
            self.name = name

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in METHODS]

    # --- properties -------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._data.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def T(self) -> Tensor:
        """The Tensor with its axes in reverse order."""
        return axes.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The Tensor with its last two axes swapped."""
        return axes.matrix_transpose(self)

    @property
    def real(self) -> Tensor:
        """A copy of the real part."""
        return complexes.real(self)

    @property
    def imag(self) -> Tensor:
        """A copy of the imaginary part; zero for real numbers."""
        return complexes.imag(self)

    @property
    def requires_grad(self) -> bool:
        """Whether this Tensor, or any that it was computed from, needs a gradient. Can be set on leaves."""
        return self.node is not None and self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value == self.requires_grad:
            return
        if not self.is_leaf:
            raise GraphError(
                f"requires_grad of a result cannot be changed ({self._describe()}); write .detach() for a "
                f"Tensor without history"
            )
        if value and self.dtype.kind not in "fc":
            raise DTypeError(
                f"only Tensors of a floating point (or complex) dtype can require a gradient, got {self.dtype}; write "
                f"dtype=np.float64 (or np.float32)"
            )
        name = self.name
        self.node = Leaf(self) if value else None
        self._grad = None
        if name is not None:
            self.name = name

    @property
    def is_leaf(self) -> bool:
        """Whether this Tensor was created directly, not by a recorded operation."""
        return self.node is None or isinstance(self.node, Leaf)

    @property
    def name(self) -> str | None:
        """The name shown in drawings and messages. Can be set."""
        return None if self.node is None else self.node.label

    @name.setter
    def name(self, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"a name must be a string, got {value!r}")
        if self.node is None or isinstance(self.node, Cut):
            self.node = Constant(self)
        extra(self.node).label = value

    @property
    def grad(self) -> Any:
        """The gradient that ``backward()`` has accumulated: an ndarray, or None before the first call.

        After ``backward(create_graph=True)`` it is a Tensor, which can be differentiated again. Raises GraphError for
        a result unless :meth:`retain_grad` was called before ``backward()``.
        """
        self._touch_gradient(needed=True)
        try:
            return self._grad
        except AttributeError:
            pass
        if self.is_leaf:
            return None
        raise GraphError(
            f"the gradient of a result is not kept ({self._describe()}); call retain_grad() on it before backward()"
        )

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if isinstance(value, np.ndarray) or not hasattr(value, "__array_function__"):
                value = np.asarray(value, dtype=self.dtype)
            if value.shape != self.shape:
                raise ShapeError(f"grad has shape {value.shape}, expected {self.shape}, the shape of its Tensor")
        self._touch_gradient(needed=False)
        self._grad = value

    def _touch_gradient(self, needed: bool) -> None:
        tracer = current().tracer
        if tracer is not None and self.is_leaf:
            tracer.gradient(self, needed)

    def _describe(self) -> str:
        node = self.node
        if node is None or isinstance(node, Leaf):
            return f"leaf {self.name!r} of shape {self.shape}" if self.name else f"leaf of shape {self.shape}"
        return f"the result of {node.op}, called at {place(node.code, node.lasti)}"

    # --- leaving the graph ------------------------------------------------------------------------------

    def item(self) -> Any:
        """The only element, as a Python number. Raises ShapeError if there is not exactly one.

        >>> import tensorgrad as tg
        >>> tg.Tensor([2.5]).item()
        2.5
        """
        if self.size != 1:
            raise ShapeError(
                f"item() needs exactly one element, got shape {self.shape}; use .data for the array, or index first"
            )
        return array_of(self).item()

    def tolist(self) -> Any:
        """The elements as Python numbers, in nested lists; only the values, like :meth:`item`.

        >>> import tensorgrad as tg
        >>> tg.Tensor([[1.0, 2.0]]).tolist()
        [[1.0, 2.0]]
        """
        return array_of(self).tolist()

    def copy(self) -> Tensor:
        """A Tensor with its own memory, and with the same history.

        >>> import tensorgrad as tg
        >>> t = tg.Tensor([1.0, 2.0])
        >>> u = t.copy()
        >>> u[0] = 5.0
        >>> t
        Tensor([1., 2.], dtype=float64)
        """
        return arithmetic.positive(self)

    def detach(self) -> Tensor:
        """A Tensor that shares this memory, without history.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor([1.0], requires_grad=True)
        >>> (x * 2).detach().requires_grad
        False
        """
        node = self.node
        if node is not None:
            node = Cut("detach() was called", node, sys._getframe(1), "detach") if node.requires_grad else node
        return tensor_of(array_of(self), node if isinstance(node, Cut) else None)

    def numpy(self) -> Any:
        """The ndarray, sharing memory. Raises GraphError if history would be lost silently."""
        self._refuse_if_graph(".numpy()")
        return self.data

    def _refuse_if_graph(self, what: str) -> None:
        node = self.node
        if node is not None and node.requires_grad and not (node.saved.__class__ is Freed and not self.shape):
            ours = interop.instead_of_numpys() or interop.instead_of_scipys()
            advice = f"write {ours}, which is recorded" if ours is not None else "write t.item() for a number"
            raise GraphError(
                f"{what} would cut the graph silently ({self._describe()}); {advice}, t.detach() or t.data for the "
                f"values only, tg.asarray([...]) or tg.stack([...]) to combine Tensors"
            )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Any:
        if sys._getframe(1).f_code.co_name == "_matmul_dispatch":
            return np.array(None)  # something SciPy cannot handle, so that it leaves sparse @ t to __rmatmul__
        self._refuse_if_graph("np.asarray(t)")
        if copy is None:
            return np.asarray(self.data, dtype=dtype)
        return np.array(self.data, dtype=dtype, copy=copy)

    def __float__(self) -> float:
        self._refuse_if_graph("float(t)")
        return float(self.item())

    def __int__(self) -> int:
        self._refuse_if_graph("int(t)")
        return int(self.item())

    def __complex__(self) -> complex:
        self._refuse_if_graph("complex(t)")
        return complex(self.item())

    def __round__(self, ndigits: int | None = None) -> Any:
        return rounding.round(self, ndigits or 0)

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"an index must be an integer, got a Tensor of dtype {self.dtype}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth value of a Tensor of shape {self.shape} is ambiguous; write .data.any() or .data.all()"
            )
        return bool(array_of(self))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d Tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d Tensor")
        return (self[i] for i in range(self.shape[0]))

    # --- gradients --------------------------------------------------------------------------------------

    def backward(
        self, gradient: TensorLike | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradients of this Tensor to ``grad`` of every leaf it was computed from.

        Args:
            gradient: the gradient of the final result with respect to this Tensor, of the same shape; by default 1,
                for a scalar.
            retain_graph: keep the saved arrays, so that backward can run again.
            create_graph: record the backward computation, so that the gradients can be differentiated.

        Raises:
            GraphError: this Tensor requires no gradient; it is not a real scalar and ``gradient`` is missing; an
                earlier backward has freed the graph.
            ShapeError: the shapes of ``gradient`` and this Tensor differ.
            InplaceError: an array that a derivative needs was written to.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        array(6.)
        """
        node = self._differentiable_node()
        if gradient is None and self.size != 1:
            raise GraphError(
                f"backward() must start from a scalar, got shape {self.shape} ({self._describe()}); write "
                f".sum().backward(), or backward(gradient=...) with an array of that shape"
            )
        seed = self._seed(gradient)
        if not node.shape and current().tracer is None and not cmath.isfinite(self.data.item()):
            warnings.warn(
                f"backward() starts from a loss that is {self.data}, {self._describe()}, so the gradients will mean "
                f"little. Compute it under `with tg.debug():` to see where it stopped being finite",
                RuntimeWarning,
                stacklevel=2,
            )
        if create_graph:
            with enable_grad():
                recorded = isinstance(gradient, Tensor) and gradient.requires_grad
                start = gradient.astype(self.dtype) if recorded else tensor_of(seed, None)  # type: ignore[union-attr]
                result = separated(walk.backward(node, start, TENSORS))
        else:
            result = walk.backward(node, seed, ARRAYS, release=not retain_graph)
        with _grad_lock:  # nothing is written before the whole walk has succeeded
            owners, sums = [], []
            for source, g in result.items():
                known = source.owner if isinstance(source, Leaf) else extra(source).owner
                owner = known() if known is not None else None
                if owner is not None:
                    owners.append(owner)
                    sums.append(owner._with(g))
            # All or nothing: this loop runs in C, where Ctrl-C cannot interrupt it.
            deque(map(_set_grad, owners, sums), maxlen=0)
        if current().tracer is None:
            walk.set_latest_root(node)

    def explain(self, result: Tensor | None = None) -> str:
        """Say how the gradient of this Tensor comes from ``result``: the chain of rules, the last operation first.

        Each line has the formula of one rule, with ``dz`` for the gradient of ``result`` with respect to z, the shape,
        the operation and the line that called it. Where a value is used more than once, its lines add up. Values that
        have no name are called after their operation.

        Args:
            result: the Tensor that backward() starts from; by default, the one that the last ``backward()`` started
                from. A graph that ``backward()`` has freed can be explained until a later one frees another.

        Raises:
            GraphError: ``result`` does not depend on this Tensor, or the links between the two are gone; or there is
                no ``result``, and no ``backward()`` has been called whose Tensor still exists.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> y = tg.tanh(x)
        >>> loss = (y * y).sum()
        >>> loss.backward()
        >>> print(x.explain())  # doctest: +ELLIPSIS
        dmultiply = dloss...
        dy = dmultiply * y...
        dy = dmultiply * y...
        dx = dy / np.cosh(x) ** 2...
        """
        return _explained(self, result)

    def _differentiable_node(self) -> Node:
        if self.node is None or not self.node.requires_grad:
            if isinstance(self.node, Cut):
                why = f"{self.node.why}, at {place(self.node.code, self.node.lasti)}"
            elif self.dtype.kind not in "fc":
                why = "it has an integer or boolean dtype"
            else:
                why = "it was created with requires_grad=False, and so was everything it was computed from"
            raise GraphError(
                f"this Tensor of shape {self.shape} does not require grad: {why}; create a leaf with "
                f"requires_grad=True, and see tg.why_no_grad(t)"
            )
        return self.node

    def _seed(self, gradient: TensorLike | None) -> Any:
        if gradient is None:
            if self.dtype.kind == "c":
                raise GraphError(
                    f"backward() must start from a real number, got {self.dtype} ({self._describe()}); take .real, "
                    f".imag or abs() of it first, or write backward(gradient=...) with the gradient of a real loss"
                )
            return np.ones_like(array_of(self))
        if isinstance(gradient, np.ndarray) and gradient.dtype == self.dtype and current().tracer is None:
            seed = np.array(gradient)
        else:
            given = gradient if isinstance(gradient, Handle) else operand(gradient, "backward")
            seed = np.copy(array_of(np.asarray(given) if isinstance(given, int | float) else given))
            if seed.dtype.kind == "c" and self.dtype.kind != "c":
                raise DTypeError(
                    f"backward: the gradient has dtype {seed.dtype}, expected {self.dtype}; write gradient.real"
                )
            seed = seed.astype(self.dtype, copy=False)
        if seed.shape != self.shape:
            raise ShapeError(f"backward: the gradient has shape {seed.shape}, expected {self.shape}")
        return seed

    def _with(self, g: Any) -> Any:
        """The gradient so far plus ``g``."""
        self._touch_gradient(needed=True)
        old = getattr(self, "_grad", None)
        total = g if old is None else old + g
        return np.asarray(total) if isinstance(total, np.generic) else total

    def retain_grad(self) -> None:
        """Keep the gradient of this result in ``grad`` at the next ``backward()``.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> y = x * x
        >>> y.retain_grad()
        >>> (2 * y).backward()
        >>> y.grad
        array(2.)
        """
        node = self._differentiable_node()
        if not isinstance(node, Leaf):
            extra(node).owner = weakref.ref(self)
            self._grad = None

    def register_hook(self, hook: Callable[[Any], Any], *, copy: bool = True) -> Callable[[], None]:
        """Call ``hook(gradient)`` as soon as this Tensor's gradient is complete, and replace it with the return value.

        The hook returns an array of the same shape, or None to leave the gradient unchanged. ``backward()`` goes on
        after it, and fills ``grad`` at its end. If a gradient at the end is not finite, those since the last check are
        computed again, with more care, and the hook is called with both.

        Args:
            hook: the function.
            copy: give the hook a copy of the gradient. Without, it must not write to what it gets. Under
                ``create_graph=True`` that is a Tensor.

        Returns:
            A function that removes the hook.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> remove = x.register_hook(lambda g: 10 * g)
        >>> (x * x).backward()
        >>> x.grad
        array(60.)
        """
        more = extra(self._differentiable_node())
        if more.hooks is None:
            more.hooks = {}
        key = next(_hook_keys)
        more.hooks[key] = (lambda g: hook(_copied(g))) if copy else hook
        hooks = more.hooks
        return lambda: hooks.pop(key, None) and None

    # --- copies -----------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        # For copy and pickle: values, gradient and name, but no history. The copy of a result requires no gradient.
        grad = getattr(self, "_grad", None)
        values = grad.data if isinstance(grad, Handle) else grad
        own = (type(self), self.data, self.requires_grad and self.is_leaf, self.name, values)
        added = [slot for cls in type(self).__mro__ for slot in cls.__dict__.get("__slots__", ())]
        slots = {slot: getattr(self, slot) for slot in added[: -len(Handle.__slots__)] if hasattr(self, slot)}
        return _restored, own, (getattr(self, "__dict__", None), slots)

    # --- display ----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        prefix = "Tensor("
        text = np.array2string(np.asarray(self.data), separator=", ", prefix=prefix)
        parts = [text, f"dtype={self.dtype}"]
        if self.node is not None and not isinstance(self.node, Leaf):
            parts.append(f"op={self.node.op}")
        elif self.requires_grad:
            parts.append("requires_grad=True")
        if self.name is not None:
            parts.append(f"name={self.name!r}")
        return f"{prefix}{', '.join(parts)})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def _repr_html_(self) -> str:
        from html import escape

        facts = f"{self.dtype}{list(self.shape)}" + (" requires_grad" if self.requires_grad else "")
        made = "" if self.is_leaf or self.node is None else f" from {self.node.op}"
        label = f"<b>{escape(escaped(self.name))}</b> " if self.name else ""
        values = escape(np.array2string(np.asarray(self.data), separator=", "))
        return f"<div>{label}<code>{escape(facts + made)}</code><pre>{values}</pre></div>"

    __hash__ = object.__hash__

    # --- other libraries --------------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """Where the memory is: "cpu" for NumPy arrays, the array's ``device`` for those of another library."""
        return getattr(self.data, "device", "cpu")

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """The Tensor itself: it is already on the "cpu", and there is no other device.

        >>> import tensorgrad as tg
        >>> tg.Tensor(1.0).to_device("cpu")
        Tensor(1., dtype=float64)
        """
        shaping.require_cpu(device)
        return self

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        """The module that code for the array API standard calls ``xp``: tensorgrad itself."""
        return sys.modules[__package__]

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Share the memory with another library, without a copy: ``torch.from_dlpack(t)``.

        Raises GraphError if history would be lost, BufferError for negative strides and read-only memory.
        """
        self._refuse_if_graph("DLPack")
        return interop.exported(self.data, copy, stream=stream, max_version=max_version, dl_device=dl_device)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The type and number of the device, in DLPack's numbering."""
        return self.data.__dlpack_device__()

    # NumPy's functions, and the operators of its arrays and scalars.
    __array_ufunc__ = interop.array_ufunc
    __array_function__ = interop.array_function


set_result_class(Tensor, joining.stack_nest)
for _word in METHODS:
    setattr(Tensor, _word, ForeignWord("Tensor", _word, METHODS))


def _restored(cls: type[Tensor], array: Any, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    result = cls.__new__(cls)
    result._own(array, requires_grad, name)
    result._grad = grad
    return result


def from_numpy(array: Any, *, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """A Tensor that shares the memory of an ndarray: a write to either one changes both.

    A graph does not notice a write to the ndarray: a derivative that saved it would use the new values. The same is
    true of a constant ndarray in an expression. Under ``with tg.debug():``, ``backward()`` detects this and raises
    InplaceError.

    >>> import numpy as np, tensorgrad as tg
    >>> a = np.zeros(2)
    >>> t = tg.from_numpy(a)
    >>> a[0] = 5.0
    >>> t
    Tensor([5., 0.], dtype=float64)
    """
    if not hasattr(array, "__array_function__") or isinstance(array, Handle | np.generic):
        raise TypeError(f"from_numpy shares an ndarray's memory, got {type(array).__name__}; write Tensor(...) to copy")
    result = Tensor.__new__(Tensor)
    result._own(checked(array, "from_numpy"), requires_grad, name)
    return result


def from_dlpack(
    x: Any,
    /,
    *,
    device: str | None = None,
    copy: bool | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """A Tensor that shares the memory of another library's array through DLPack; ``copy=True`` copies it.

    >>> import numpy as np, tensorgrad as tg
    >>> a = np.zeros(2)
    >>> t = tg.from_dlpack(a)
    >>> a[0] = 5.0
    >>> t
    Tensor([5., 0.], dtype=float64)
    """
    shaping.require_cpu(device)
    asked: Any = {} if copy is None else {"copy": copy}  # NumPy 2.0 knows no copy=
    return from_numpy(np.from_dlpack(x, **asked), requires_grad=requires_grad, name=name)


def replace_data(tensor: Tensor, array: Any) -> None:
    """Give a leaf a new array, which may have a different shape and dtype.

    The gradient is dropped, as it would no longer fit; ``requires_grad`` and the name stay. The array is not copied.
    A graph that was recorded before keeps the old array.

    Raises:
        GraphError: the Tensor is a result.
        DTypeError: the Tensor requires a gradient, but the array does not have a floating-point (or complex) dtype.

    >>> import numpy as np, tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> tg.replace_data(w, np.zeros(3, np.float32))
    >>> w
    Tensor([0., 0., 0.], dtype=float32, requires_grad=True, name='w')
    """
    if not tensor.is_leaf:
        raise GraphError(
            f"replace_data() takes a leaf, got {tensor._describe()}; write .detach() for a Tensor without history"
        )
    if isinstance(array, Handle) or not hasattr(array, "__array_function__"):
        raise TypeError(f"replace_data expects an array, got {type(array).__name__}; write np.asarray(value)")
    checked(array, "replace_data")
    name, requires_grad = tensor.name, tensor.requires_grad
    if requires_grad and array.dtype.kind not in "fc":
        raise DTypeError(
            f"only Tensors of a floating point (or complex) dtype can require a gradient, got an array of dtype "
            f"{array.dtype}; write array.astype(np.float64) (or np.float32)"
        )
    if isinstance(tensor.node, Leaf):
        tensor.node.owner = no_owner  # a graph with the old array must not set the gradient of the new one
    tensor.requires_grad = False
    tensor.node = None
    tensor._data = array
    tensor.requires_grad = requires_grad
    tensor.name = name
