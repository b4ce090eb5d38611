"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorgrad as tg

from .._module import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """Modules one after the other, named "0", "1", ...

    >>> import numpy as np, nn
    >>> nn.Sequential(nn.Linear(3, 2, rng=0), nn.Tanh())(np.ones((4, 3))).shape
    (4, 2)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                hint = f"; write {module.__name__}()" if isinstance(module, type) else ""
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

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]
