"""Modules that do nothing but call one that they hold."""

from __future__ import annotations

from .._models.mlp import MLP
from .._module import Module

__all__ = ["wrapped"]

_WRAPPED: dict[type[Module], str] = {MLP: "layers"}


def wrapped(module: Module) -> str | None:
    """The attribute that a module passes its input on to, if that is all it does."""
    for kind in type(module).__mro__:
        if kind in _WRAPPED:
            return _WRAPPED[kind] if type(module).forward is kind.forward else None
    return None
