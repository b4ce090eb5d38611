"""The values of a program, and what a traced array calls on the trace that records it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Recorder", "Variable"]


@dataclass(eq=False)
class Variable:
    """A value of the program: an argument, something captured from outside, or an instruction's result."""

    number: int
    kind: str  # "argument", "captured", "number" or "array"
    value: Any  # its value while tracing, for the shape, dtype and memory layout
    root: Variable | None = None  # the variable whose memory this one is a view of
    source: Any = None  # the Tensor or ndarray, if captured
    name: str = ""

    def chain(self) -> list[Variable]:
        """This variable, the one it is a view of, and so on, up to the owner of the memory."""
        links = [self]
        while (root := links[-1].root) is not None:
            links.append(root)
        return links

    @property
    def owner(self) -> Variable:
        """The variable that owns the memory."""
        return self.chain()[-1]


class Recorder(Protocol):
    """What a traced array or number calls on its :class:`tensorgrad.compiler.trace.Trace`."""

    def lift(self, source: Any) -> Any:
        """The traced array for an ndarray; traced arrays unchanged."""

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        effect: bool = False,
        writes: Any = None,
        fixed: bool = False,
    ) -> Any:
        """Run a function, record the call, and trace its result."""
