"""Which module is running, and its place in the model.

The outermost call knows the path of every module under it; inner calls look up theirs. The table is made
once, and remade only after some module has gained or lost a member.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import CodeType
from typing import Any, NamedTuple

import tensorgrad as tg

__all__ = [
    "Call",
    "OuterCall",
    "Places",
    "add_location",
    "folded",
    "is_library_code",
    "members",
    "members_changed",
    "running_path",
]

_LIBRARY = tuple(os.path.join(os.path.dirname(file), "") for file in (__file__, str(tg.__file__)))


class Places(NamedTuple):
    """Path and title of the modules under an outermost one, by id, as of one count of member changes."""

    structure: int
    table: Mapping[int, tuple[str, str]]


class OuterCall(NamedTuple):
    """One call of an outermost module."""

    places: Mapping[int, tuple[str, str]]
    roots: tuple[Any, ...]  # the outermost module, and those called in it that are not its members


class Call(NamedTuple):
    """The call of a module that is running: the owner of its scope."""

    run: OuterCall
    path: str


class _Members:
    """Counts how often any module gained or lost a member. A change makes a compiled step trace again."""

    changes = 0


members = _Members()


def running_path() -> str:
    """Return the dotted path of the running module within the outermost module called; "" outside a call.

    It is for what a module's ``forward`` or a hook of it wants to say about the place.

    >>> import nn
    >>> class Where(nn.Module):
    ...     def forward(self, x):
    ...         print(nn.running_path())
    ...         return x
    >>> _ = nn.Sequential(nn.ReLU(), Where())([1.0])
    1
    """
    call = tg.scope.owner()
    return call.path if type(call) is Call else ""


class folded:
    """In a ``with`` block, let IPython leave out the library's frames in the traceback of an error.

    The frames of the user's code stay, and so does the innermost one. A chained error is treated the same way.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            _fold(error)


def _fold(error: BaseException) -> None:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        seen.add(id(one))
        step = one.__traceback__
        while step is not None and step.tb_next is not None:
            if _is_library(step.tb_frame.f_code):
                step.tb_frame.f_locals["__tracebackhide__"] = True
            step = step.tb_next
        waiting += [e for e in (one.__cause__, one.__context__) if e is not None and id(e) not in seen]


def _is_library(code: CodeType) -> bool:
    return code.co_filename.startswith(_LIBRARY)


def is_library_code(function: Any) -> bool:
    """Whether a function or method was defined in the library, and is not a user's in the place of one."""
    code = getattr(function, "__code__", None)
    return code is not None and _is_library(code)


def members_changed() -> None:
    """Record that a module has gained or lost a member."""
    members.changes += 1


def add_location(error: Exception, path: str, module: Any, args: tuple[Any, ...]) -> None:
    """Add to an error the module that raised it and its input. Only the innermost module is added."""
    if isinstance(error, Warning) or getattr(error, "_nn_located", False):
        return
    error._nn_located = True  # type: ignore[attr-defined]
    shapes = ", ".join(str(tuple(a.shape)) if hasattr(a, "shape") else type(a).__name__ for a in args)
    where = f"{path}: " if path else ""
    own = f"{type(module).__name__}({module.extra_repr()})"
    message = tg.words.escaped(f"{where}{own} with input {shapes}", lines=True)
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{message}: {error.args[0]}",)
    else:
        error.add_note(f"in {message}")
