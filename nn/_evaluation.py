"""Running a model as it is used, whatever mode it is in."""

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
    """Within, a model is in evaluation mode and records no graph; after, each module's mode is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with tg.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
