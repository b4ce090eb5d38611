"""Modules that do nothing but call a module that they hold."""

from __future__ import annotations

from .._models.mlp import MLP
from .._module import Module
from .._training.model import Model

__all__ = ["WRAPPED", "unwrapped", "wrapped"]

# By class, the attribute that the input is passed to. Whatever else such a module holds, say a loss, is not exchanged.
WRAPPED: dict[type[Module], str] = {MLP: "layers", Model: "network"}


def wrapped(module: Module) -> str | None:
    """The attribute that a module passes its input to, if that is all it does, or None."""
    for kind in type(module).__mro__:
        if kind in WRAPPED:
            return WRAPPED[kind] if type(module).forward is kind.forward else None
    return None


def unwrapped(module: Module) -> Module:
    """The module that does the work."""
    while (name := wrapped(module)) is not None:
        module = getattr(module, name)
    return module
