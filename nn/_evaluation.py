"""Running a model in evaluation mode, whatever its current mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorgrad as tg

if TYPE_CHECKING:
    from ._module import Module

__all__ = ["evaluating"]


class evaluating(tg.no_grad):
    """Put a model into evaluation mode, without a graph; at the end, restore the mode of each module."""

    def __init__(self, model: Module) -> None:
        super().__init__()
        self._model = model

    def __enter__(self) -> None:
        modes = [(module, module.training) for module in self._model.modules()]

        def put_back() -> None:
            for module, mode in modes:
                module.training = mode

        self._open.append(put_back)
        self._model.eval()
        super().__enter__()
