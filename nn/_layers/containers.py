"""Modules made of modules."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from operator import index as as_index
from typing import Any, Self, overload

import tensorgrad as tg

from .._module import Module
from ..functional._shared import operand

__all__ = ["Identity", "ModuleDict", "ModuleList", "Residual", "Sequential"]


class _Numbered(Module):
    """Modules named "0", "1", ..., which can be changed like a list."""

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Module]:
        return (value for name, value in self.__dict__.items() if name.isdecimal())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module:
        found = list(self)[index]
        return self._of(found) if isinstance(found, list) else found

    def __setitem__(self, index: int, module: Module) -> None:
        place = range(len(self))[as_index(index)]
        setattr(self, str(place), _checked(type(self).__name__, "the new element", module))

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        del kept[index]
        self._replace(kept)

    def append(self, module: Module) -> Self:
        """Add a module at the end. Returns self.

        >>> import nn
        >>> len(nn.Sequential(nn.Linear(2, 3)).append(nn.ReLU()))
        2
        """
        setattr(self, str(len(self)), _checked(type(self).__name__, "append: the argument", module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end. Returns self."""
        start = len(self)
        for i, module in enumerate(_all_checked(type(self).__name__, modules), start):
            setattr(self, str(i), module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before a position; those from there on move up by one."""
        changed = list(self)
        changed.insert(index, _checked(type(self).__name__, "insert: the second argument", module))
        self._replace(changed)

    def _replace(self, modules: list[Module]) -> None:
        for name in [name for name in self.__dict__ if name.isdecimal()]:
            delattr(self, name)
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    @classmethod
    def _of(cls, modules: list[Module]) -> Any:
        """A container of this kind with these modules."""
        raise NotImplementedError


class Sequential(_Numbered):
    """Modules applied one after the other, named "0", "1", ...; a slice is a Sequential of the same modules.

    >>> import numpy as np, nn
    >>> nn.Sequential(nn.Linear(3, 2, rng=0), nn.Tanh())(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            hint = "; write Sequential(*modules)" if isinstance(module, list | tuple) else ""
            setattr(self, str(i), _checked("Sequential", f"argument {i}", module, hint))

    def forward(self, x: tg.TensorLike) -> Any:
        for module in self:
            x = module(x)
        return x

    @classmethod
    def _of(cls, modules: list[Module]) -> Sequential:
        return Sequential(*modules)


class ModuleList(_Numbered):
    """Modules in a list, named "0", "1", ..., for a ``forward`` that says how they are called.

    It is indexed, sliced and changed like a list. A plain list in an attribute is searched for modules, too, and gives
    them the same paths.

    Args:
        modules: an iterable of Modules.

    Raises:
        TypeError: something is not a Module.

    >>> import nn
    >>> layers = nn.ModuleList(nn.Linear(n, n + 1) for n in (2, 3))
    >>> [name for name, _ in layers.append(nn.Linear(4, 1)).named_parameters()]
    ['0.W', '0.b', '1.W', '1.b', '2.W', '2.b']
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "ModuleList: it does not say how its modules are called; loop over them, or write nn.Sequential(*modules)"
        )

    @classmethod
    def _of(cls, modules: list[Module]) -> ModuleList:
        return ModuleList(modules)


class ModuleDict(Module):
    """Modules by name, for a ``forward`` that says how they are called.

    It is read and changed like a dict. A plain dict in an attribute is searched for modules, too, and gives them the
    same paths.

    Args:
        modules: a mapping of names to Modules.

    Raises:
        TypeError: something is not a Module, or a name is not a string.
        KeyError: a name is empty, contains a dot, or is that of an attribute.

    >>> import nn
    >>> heads = nn.ModuleDict({"left": nn.Linear(2, 3), "right": nn.Linear(2, 1)})
    >>> [(name, head.out_features) for name, head in heads.items()]
    [('left', 3), ('right', 1)]
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update({} if modules is None else modules)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("ModuleDict: it does not say which of its modules is called; write modules[name](x)")

    def _held(self) -> dict[str, Module]:
        return {name: value for name, value in self.__dict__.items() if isinstance(value, Module)}

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __contains__(self, name: object) -> bool:
        return name in self._held()

    def __getitem__(self, name: str) -> Module:
        held = self._held()
        if name not in held:
            raise KeyError(f"ModuleDict: there is no module {name!r}, only {', '.join(map(repr, held)) or 'none'}")
        return held[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.update({name: module})

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._held().keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._held().values()

    def items(self) -> ItemsView[str, Module]:
        """Pairs of name and module."""
        return self._held().items()

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules, or replace those of the same names: all, or none if one is refused."""
        if not isinstance(modules, Mapping | ModuleDict):
            raise TypeError(f"ModuleDict: expected a mapping of names to Modules, got {type(modules).__name__}")
        given = dict(modules.items())
        for name, module in given.items():
            if not isinstance(name, str):
                raise TypeError(f"ModuleDict: a name must be a string, got {name!r}")
            if not name or "." in name:
                raise KeyError(f"ModuleDict: a name must not be empty or contain a dot, got {name!r}")
            if name not in self and (name in self.__dict__ or hasattr(type(self), name)):
                raise KeyError(f"ModuleDict: {name!r} is an attribute of every ModuleDict; choose another name")
            _checked("ModuleDict", f"the value of {name!r}", module)
        for name, module in given.items():
            setattr(self, name, module)

    def pop(self, name: str) -> Module:
        """Remove a module, and return it."""
        module = self[name]
        delattr(self, name)
        return module

    def clear(self) -> None:
        """Remove all modules."""
        for name in self._held():
            delattr(self, name)


class Identity(Module):
    """x itself: stands for a layer that is left out.

    >>> import nn
    >>> nn.Identity()([1.0, 2.0])
    Tensor([1., 2.], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return x if isinstance(x, tg.Tensor) else tg.Tensor(x)


class Residual(Module):
    """``x + module(x)``, so that the module learns a difference and gradients can bypass it (He et al., 2016).

    Args:
        module: its result has the shape of its input, or of the shortcut's result.
        shortcut: a Module to apply to x on the other path, such as a Linear to another width; None for x itself.

    Raises:
        ShapeError: the two results differ in shape; they are not broadcast.

    >>> import numpy as np, nn
    >>> nn.Residual(nn.Tanh())(np.array([[0.0, 100.0]])).data.tolist()
    [[0.0, 101.0]]
    """

    def __init__(self, module: Module, shortcut: Module | None = None) -> None:
        super().__init__()
        for name, value in (("module", module), ("shortcut", shortcut)):
            if not isinstance(value, Module) and (value is not None or name == "module"):
                raise TypeError(f"Residual: {name} must be a Module, got {value!r}")
        self.module = module
        self.shortcut = shortcut

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        around: Any = operand(x) if self.shortcut is None else self.shortcut(x)
        through = self.module(x)
        if around.shape != through.shape:
            which = "x" if self.shortcut is None else "the shortcut's result"
            raise tg.ShapeError(
                f"Residual: {which} has shape {around.shape} and the module's result {through.shape}, expected equal "
                "shapes; pass a shortcut, such as nn.Linear(in_features, out_features)"
            )
        return tg.add(around, through)


def _checked(op: str, what: str, module: Any, hint: str = "") -> Module:
    """The module. Raises TypeError if it is something else."""
    if not isinstance(module, Module):
        hint = f"; write {module.__name__}()" if isinstance(module, type) else hint
        raise TypeError(f"{op}: {what} must be a Module, got {module!r}{hint}")
    return module


def _all_checked(op: str, modules: Any) -> list[Module]:
    if isinstance(modules, Module) and not isinstance(modules, _Numbered):
        raise TypeError(f"{op}: expected several Modules, got the single {modules!r}; write [module]")
    return [_checked(op, f"element {i}", module) for i, module in enumerate(modules)]
