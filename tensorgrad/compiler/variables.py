"""The values of a program, and what a traced array asks of the trace that writes its calls down."""

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
    value: Any  # what it was while tracing: gives shape, dtype and memory layout
    root: Variable | None = None  # the variable whose memory this one views
    source: Any = None  # of a captured one: the Tensor or ndarray
    name: str = ""

    def chain(self) -> list[Variable]:
        """This variable, what it is a view of, and so on to the owner of the memory."""
        links = [self]
        while (root := links[-1].root) is not None:
            links.append(root)
        return links

    @property
    def owner(self) -> Variable:
        """The variable that owns the memory."""
        return self.chain()[-1]


class Recorder(Protocol):
    """What a traced array or number asks of its :class:`tensorgrad.compiler.trace.Trace`."""

    def lift(self, source: Any) -> Any:
        """The traced array for an ndarray; traced arrays as they are."""

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
        """Run a function, write the call down, and trace its result."""
