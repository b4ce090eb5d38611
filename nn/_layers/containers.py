"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

import tensorgrad as tg

from .._module import Module
from ..functional._shared import operand

__all__ = ["Residual", "Sequential"]


class Sequential(Module):
    """Modules applied one after the other, named "0", "1", ...; a slice is a Sequential of the same modules.

    >>> import numpy as np, nn
    >>> nn.Sequential(nn.Linear(3, 2, rng=0), nn.Tanh())(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                hint = f"; write {module.__name__}()" if isinstance(module, type) else ""
                hint = "; write Sequential(*modules)" if isinstance(module, list | tuple) else hint
                raise TypeError(f"Sequential: argument {i} must be a Module, got {module!r}{hint}")
            setattr(self, str(i), module)

    def forward(self, x: tg.TensorLike) -> Any:
        for module in self:
            x = module(x)
        return x

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Module]:
        return (value for name, value in self.__dict__.items() if name.isdecimal())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        found = list(self)[index]
        return Sequential(*found) if isinstance(found, list) else found


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
