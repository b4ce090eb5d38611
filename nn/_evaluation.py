"""Running a model in evaluation mode, whatever its current mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tensorgrad as tg

if TYPE_CHECKING:
    from ._module import Module

__all__ = ["evaluating"]


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode, without a graph; at the end, restore the mode of each module."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with tg.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
