"""Which module is running, and where it stands in its model.

The outermost call knows the path of every module under it; inner calls look theirs up. The table is made
once, and again only when a module somewhere has got or lost a member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = ["OuterCall", "Places", "members", "path", "restructured", "run", "running_path", "say_where"]


class Places(NamedTuple):
    """The modules under an outermost one, as of a structure: path and title, by id."""

    structure: int
    table: Mapping[int, tuple[str, str]]


class OuterCall(NamedTuple):
    """One call of an outermost module."""

    places: Mapping[int, tuple[str, str]]
    observe: Callable[[str, Any, Any], object] | None  # called with path, module and result of every call
    roots: tuple[Any, ...]  # the outermost module, and those called in it that are no members of it


run: ContextVar[OuterCall | None] = ContextVar("nn_run", default=None)
path: ContextVar[str] = ContextVar("nn_path", default="")


class _Members:
    """Counts how often any module got or lost a member. A compiled step is traced again when it has changed."""

    changes = 0


members = _Members()


def running_path() -> str:
    """The dotted path of the module that is running, in the outermost module that was called; "" outside."""
    return path.get()


def restructured() -> None:
    """Note that a module has got or lost a member."""
    members.changes += 1


def say_where(error: Exception, path: str, module: Any, args: tuple[Any, ...]) -> None:
    """Say in an error which module it came from, and what that was given. The innermost one says it."""
    if getattr(error, "_nn_located", False):
        return
    error._nn_located = True  # type: ignore[attr-defined]
    shapes = ", ".join(str(tuple(a.shape)) if hasattr(a, "shape") else type(a).__name__ for a in args)
    where = f"{path}: " if path else ""
    own = f"{type(module).__name__}({module.extra_repr()})"
    message = f"{where}{own} with input {shapes}"
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{message}: {error.args[0]}",)
    else:
        error.add_note(f"in {message}")
