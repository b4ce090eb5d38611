"""Module: the base class of layers, losses and models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from . import _running as running
from ._display import module_html
from ._hooks import Hook
from ._members import holds, joined, named
from ._parameter import Parameter
from ._summary import ModelSummary, summarised
from ._words import MODULES

__all__ = ["LoadReport", "Module"]


class LoadReport(NamedTuple):
    """The names that :meth:`Module.load_state_dict` skipped with ``strict=False``."""

    missing: list[str]
    unexpected: list[str]


class Module:
    """Base class of layers and models: a function with parameters.

    A subclass calls ``super().__init__()``, assigns Parameters and Modules to attributes (or lists, tuples or
    dicts of them), and defines ``forward``. To use a module, call it.

    Attributes:
        training: whether it behaves as in training; set by :meth:`train` and :meth:`eval`.

    Raises:
        AttributeError: a subclass did not call ``super().__init__()``.
        NotImplementedError: a subclass without ``forward`` is called.

    >>> import numpy as np, nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(3.0)
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(np.array([1.0, 2.0])).data.tolist()
    [3.0, 6.0]
    """

    training: bool
    _buffers: tuple[str, ...]
    _places: running.Places | None
    _told: bool  # of float64 inputs
    _hooks: tuple[Hook, ...] = ()

    def __init__(self) -> None:
        state = self.__dict__
        state["training"] = True
        state["_buffers"] = ()
        state["_places"] = None
        state["_told"] = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result. Defined by subclasses."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward method; define `def forward(self, x): ...` in it"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = tg.scope.owner()
        inputs: tuple[Any, ...] = ()
        if call.__class__ is not running.Call:
            run = running.OuterCall(self._known_places(), (self,))
            inputs = (*args, *kwargs.values())
        else:
            run = call.run if id(self) in call.run.places else self._extended(call.run)
        place = path, title = run.places[id(self)]
        call = _tuple(running.Call, (run, path))
        try:
            out = tg.scope.run(path, title, inputs, call, self.forward, args, kwargs)
        except Exception as error:
            running.add_location(error, path, self, args)
            raise
        first = out[0] if type(out) is tuple and out else out
        if getattr(first, "dtype", None) is _FLOAT64 and any(_is_wide(x) for x in (*args, *kwargs.values())):
            self._warn_of_wide(run.roots[0] if run.roots else self, path)
        hooks = tg.watch(self, "_hooks")
        return out if not hooks else self._after_hooks(hooks, call, place, args, out)

    def _extended(self, run: running.OuterCall) -> running.OuterCall:
        """Return the run with this module, which the running modules did not list when they were called."""
        for root in run.roots:
            places = root._known_places()
            if id(self) not in places and any(module is self for module in root.modules()):
                running.members_changed()  # it is in a list that has grown
                places = root._known_places()
            if id(self) in places:
                return run._replace(places={**run.places, **places})
        known = {id(parameter) for root in run.roots for parameter in root.parameters()}
        unknown = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        if run.roots and unknown and (unknown[0] + 0).requires_grad:
            raise TypeError(
                f"{self.brief()} is called in {type(run.roots[-1]).__name__}, but no attribute there holds it: "
                f"{len(unknown)} of its parameters would not be learned; assign it to an attribute, or to a list or "
                f"dict in one, or freeze it with .requires_grad_(False)"
            )
        return running.OuterCall({**run.places, **self._known_places()}, (*run.roots, self))

    def _after_hooks(
        self, hooks: tuple[Hook, ...], call: running.Call, place: tuple[str, str], args: tuple[Any, ...], out: Any
    ) -> Any:
        tg.observe()
        with tg.scope(*place, (), call):
            for hook in hooks:
                replaced = hook.function(self, args, out)
                out = out if replaced is None else replaced
        return out

    def _warn_of_wide(self, root: Module, path: str) -> None:
        """Warn, once a model, if float64 inputs have made a float32 layer compute in float64."""
        own = [value.dtype for value in self.__dict__.values() if isinstance(value, Parameter)]
        if root._told or not own or _FLOAT64 in own:
            return
        root.__dict__["_told"] = True
        where = f"{path}: " if path else ""
        warnings.warn(
            f"{where}{type(self).__name__}({self.extra_repr()}) computes in float64, two to three times slower: its "
            f"input is float64, its parameters are {own[0]}; write x.astype(np.{own[0]}), or model.to(np.float64)",
            RuntimeWarning,
            stacklevel=tg.users_stacklevel(),
        )

    def _known_places(self) -> Mapping[int, tuple[str, str]]:
        self._require_init()
        known, structure = self._places, tg.watch(running.members, "changes")
        if known is None or known.structure != structure:
            for _ in self.named_parameters():
                pass  # this names the parameters by their paths
            places = {id(module): (path, module._title()) for path, module in self.named_modules()}
            known = self.__dict__["_places"] = running.Places(structure, places)
        return known.table

    def _title(self) -> str:
        count = sum(p.size for p in self.parameters())
        return f"{self.brief()} · {count:,} params" if count else self.brief()

    def brief(self) -> str:
        """The module's name in drawings and summaries: "Linear 64→32"."""
        return type(self).__name__

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_places": None, "_told": False}  # a copy gets its own
        state.pop("_hooks", None)
        return state

    # --- members ---------------------------------------------------------------------------------------

    def _require_init(self) -> None:
        if "_places" not in self.__dict__:
            name = type(self).__name__
            raise AttributeError(
                f"{name}.__init__ did not call super().__init__(); write it as the first line of {name}.__init__"
            )

    if not TYPE_CHECKING:  # a type checker would take any name for one that is there

        def __getattr__(self, name: str) -> Any:
            if name[:1] == "_":  # asked for by protocols, which expect a plain answer
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise tg.words.UnknownName(type(self).__name__, name, MODULES, lambda: dir(self))

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        old = state.get(name)
        is_buffer = name in state.get("_buffers", ())
        members = is_buffer or holds(value, _KINDS) or holds(old, _KINDS)
        if members:
            self._require_init()
        if isinstance(old, Parameter) and value is not None and not isinstance(value, Parameter):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter, got {type(value).__name__}, which would not be learned; "
                f"write nn.Parameter(...) to replace it, or .data[...] = ... to set its values in place"
            )
        if is_buffer:
            value = value if isinstance(value, tg.Tensor) else tg.Tensor(value)
            value.name = name
        if isinstance(value, Parameter):
            value.held = getattr(value, "held", 0) + 1
            if value.name is None:
                value.name = name
        if isinstance(old, Parameter):
            old.held = getattr(old, "held", 1) - 1
        object.__setattr__(self, name, value)
        if members:
            running.members_changed()

    def __delattr__(self, name: str) -> None:
        old = self.__dict__.get(name)
        object.__delattr__(self, name)
        if isinstance(old, Parameter):
            old.held = getattr(old, "held", 1) - 1
        if name in self._buffers:
            self.__dict__["_buffers"] = tuple(b for b in self._buffers if b != name)
        running.members_changed()

    def register_buffer(self, name: str, value: tg.TensorLike) -> None:
        """Store a Tensor that is part of the state but not learned, such as a running mean.

        >>> import numpy as np, nn
        >>> layer = nn.Module()
        >>> layer.register_buffer("count", np.zeros(3))
        >>> list(layer.state_dict())
        ['count']
        """
        self._require_init()
        buffer = value if isinstance(value, tg.Tensor) else tg.Tensor(value)
        if name not in self._buffers:
            self.__dict__["_buffers"] = (*self._buffers, name)
        setattr(self, name, buffer)

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (path "") and all modules under it, with dotted paths: each once, parents before children."""
        self._require_init()
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            stack.extend(reversed([(joined(path, name), child) for name, child in module.named_children()]))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly under this one, by name."""
        self._require_init()
        yield from named(self.__dict__, Module, _KINDS)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted paths, in order of assignment; a shared one once.

        >>> import nn
        >>> [name for name, _ in nn.MLP([2, 3, 1]).named_parameters()]
        ['layers.0.W', 'layers.0.b', 'layers.2.W', 'layers.2.b']
        """
        seen: set[int] = set()
        for path, module in self.named_modules():
            for local, parameter in named(module.__dict__, Parameter, _KINDS):
                if id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                full = joined(path, local)
                # A name grows towards the outermost module and never shrinks; a name chosen by the user stays.
                if parameter.name is None or full.endswith(f".{parameter.name}"):
                    parameter.name = full
                yield full, parameter

    def named_buffers(self) -> Iterator[tuple[str, tg.Tensor]]:
        """All buffers with their dotted paths; a shared one once."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name in module._buffers:
                buffer = module.__dict__[name]
                if id(buffer) not in seen:
                    seen.add(id(buffer))
                    yield joined(path, name), buffer

    def modules(self) -> Iterator[Module]:
        """This module and all modules under it."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """The modules directly under this one."""
        return (module for _, module in self.named_children())

    def parameters(self) -> Iterator[Parameter]:
        """All parameters; a shared one once."""
        return (parameter for _, parameter in self.named_parameters())

    def buffers(self) -> Iterator[tg.Tensor]:
        """All buffers; a shared one once."""
        return (buffer for _, buffer in self.named_buffers())

    def _children_first(self, seen: set[int]) -> Iterator[Module]:
        if id(self) not in seen:
            seen.add(id(self))
            for child in self.children():
                yield from child._children_first(seen)
            yield self

    # --- settings --------------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call a function with every module under this one, children before parents, and last with this one.

        A shared module is visited once. Returns self.

        Raises:
            TypeError: fn is not a function.

        >>> import nn
        >>> def freeze_norms(module):
        ...     if isinstance(module, nn.BatchNorm):
        ...         module.requires_grad_(False)
        >>> model = nn.MLP([2, 3, 1], norm="batch").apply(freeze_norms)
        >>> [name for name, p in model.named_parameters() if not p.requires_grad]
        ['layers.1.gamma', 'layers.1.beta']
        """
        if not callable(fn):
            raise TypeError(f"apply: expected a function of a module, got {fn!r}; write model.apply(fn)")
        for module in list(self._children_first(set())):  # fn can replace modules
            fn(module)
        return self

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> Hook:
        """Call ``hook(module, inputs, output)`` after each call of this module.

        ``inputs`` is the tuple of the positional arguments. If the hook returns anything but None, that replaces the
        output. In the hook, :func:`nn.running_path` gives the module's dotted path. A step of
        :func:`tensorgrad.compile` that calls the module runs uncompiled while the hook is there, and from its program
        again afterwards. Copies and files of the module are without its hooks.

        Returns:
            The registered hook: ``remove()`` removes it, and so does the end of a ``with`` block.

        Raises:
            TypeError: hook is not a function.

        >>> import numpy as np, nn
        >>> model = nn.MLP([2, 3, 1], rng=0)
        >>> def show(module, inputs, output):
        ...     print(nn.running_path(), module.brief(), output.shape)
        >>> with model.layers[0].register_forward_hook(show):
        ...     _ = model(np.ones((5, 2), np.float32))
        layers.0 Linear 2→3 (5, 3)
        >>> _ = model(np.ones((5, 2), np.float32))
        """
        if not callable(hook):
            raise TypeError(
                f"register_forward_hook: expected a function (module, inputs, output), got {hook!r}; write "
                "module.register_forward_hook(hook)"
            )
        self._require_init()
        return Hook(self, hook)

    def train(self, mode: bool = True) -> Self:
        """Behave as in training (BatchNorm uses the batch's statistics, Dropout drops), or not.

        Returns self.
        """
        for module in self.modules():
            if module.training is not mode:  # an assignment looks for members in the old value and the new one
                module.training = mode
        return self

    def eval(self) -> Self:
        """Behave as in evaluation: ``train(False)``. Returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Learn all parameters, or freeze them. Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Clear the gradients of all parameters: ``grad`` becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, target: DTypeLike | ModuleType) -> Self:
        """Cast all parameters and floating-point buffers in place, or move them to another library's arrays.

        Gradients are cleared. Create optimisers afterwards: their state is like the parameters they were created for.

        Args:
            target: np.float32 or np.float64; or a library whose arrays follow NumPy's protocols, such as ``cupy``, and
                ``numpy`` to come back (see docs/arrays.md).

        Returns:
            The module itself.

        Raises:
            TypeError, DTypeError: target is something else.

        >>> import numpy as np, nn
        >>> nn.Linear(2, 1).to(np.float64).W.dtype
        dtype('float64')
        """
        if isinstance(target, ModuleType):
            return self._moved(target)
        try:
            wanted = np.dtype(target)
        except TypeError as error:
            raise TypeError(
                f"to: got {target!r}, expected np.float32 or np.float64, or a library of arrays such as cupy; "
                f"tensorgrad itself has no devices"
            ) from error
        if wanted.kind != "f":
            raise tg.DTypeError(f"to: dtype must be floating point, got {wanted}; write np.float32 or np.float64")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.kind != "f" or tensor.dtype == wanted:
                continue
            tg.replace_data(tensor, tensor.data.astype(wanted))
        return self

    def _moved(self, library: ModuleType) -> Self:
        if not hasattr(library, "asarray"):
            raise TypeError(f"to: the module {library.__name__} has no arrays (no asarray); write model.to(cupy), say")
        for tensor in (*self.parameters(), *self.buffers()):
            array = tensor.data
            if library is np:
                tg.replace_data(tensor, array if isinstance(array, np.ndarray) else array.get())
            else:
                tg.replace_data(tensor, library.asarray(array))
        return self

    # --- state -----------------------------------------------------------------------------------------

    def _state(self) -> dict[str, tg.Tensor]:
        state: dict[str, tg.Tensor] = {}
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):
            if name in state:
                raise ValueError(f"two members of {type(self).__name__} have the path {name!r}; rename one of them")
            state[name] = tensor
        return state

    def state_dict(self) -> dict[str, Any]:
        """Copies of all parameters and buffers as arrays, by dotted path; a shared one once.

        >>> import nn
        >>> {name: array.shape for name, array in nn.Linear(2, 1).state_dict().items()}
        {'W': (2, 1), 'b': (1,)}
        """
        return {name: tensor.data.copy() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> LoadReport:
        """Copy arrays into parameters and buffers, in place.

        Args:
            state: arrays (or Tensors) by dotted path, as returned by :meth:`state_dict`.
            strict: missing or unexpected names are an error, not just reported.

        Raises:
            ValueError: names, shapes or dtypes do not match, or an array of the module is read-only. It lists
                everything that is wrong; nothing is changed.
        """
        own = self._state()
        given = {
            name: value.data if isinstance(value, tg.Tensor) else np.asarray(value) for name, value in state.items()
        }
        report = LoadReport([n for n in own if n not in given], [n for n in given if n not in own])
        wrong = [f"missing: {name}" for name in report.missing] if strict else []
        wrong += [f"unexpected: {name}" for name in report.unexpected] if strict else []
        fitting = [(name, tensor, given[name]) for name, tensor in own.items() if name in given]
        for name, tensor, array in fitting:
            if array.shape != tensor.shape:
                wrong.append(f"{name}: shape {array.shape}, expected {tensor.shape}")
            elif array.dtype != tensor.dtype:
                wrong.append(f"{name}: dtype {array.dtype}, expected {tensor.dtype} (cast with .to() first)")
            elif not tensor.data.flags.writeable:
                wrong.append(f"{name}: the array to write to is read-only")
        if wrong:
            raise ValueError(
                f"load_state_dict: {len(wrong)} of the names do not match {type(self).__name__}; nothing was "
                "loaded:\n  " + "\n  ".join(map(tg.words.escaped, wrong))
            )
        with tg.uninterrupted():
            for _, tensor, array in fitting:
                tg.writes_to(tensor, by="load_state_dict")[...] = array
        return report

    # --- representation --------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The text between the parentheses of the repr: "in=64, out=32"."""
        return ""

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({tg.words.escaped(name)}): {child!r}" for name, child in self.named_children()]
        inner = "\n".join(lines).replace("\n", "\n  ")
        return tg.words.escaped(f"{head[:-1]}\n  {inner}\n)" if lines else head, lines=True)

    def _repr_html_(self) -> str:
        return module_html(self)

    def summary(self, input: tuple[int, ...] | tg.TensorLike | None = None) -> ModelSummary:
        """A table of the modules: path, type, output shape, parameters.

        Args:
            input: a batch, or its shape (with the batch axis), on which the model is run in evaluation mode, without
                a graph; None leaves out the output shapes.

        >>> import nn
        >>> print(nn.MLP([2, 3, 1]).summary((5, 2)))
        path      module             output  parameters
        (model)   MLP                (5, 1)          13
        layers    Sequential         (5, 1)          13
        layers.0  Linear 2→3         (5, 3)           9
        layers.1  ReLU               (5, 3)           0
        layers.2  Linear 3→1         (5, 1)           4
        13 parameters, 13 of them learned; 52 bytes
        """
        return summarised(self, input)


def _is_wide(x: Any) -> bool:
    return getattr(x, "dtype", None) is _FLOAT64


_KINDS = (Parameter, Module)
_tuple: Any = tuple.__new__
_FLOAT64 = np.dtype(np.float64)
