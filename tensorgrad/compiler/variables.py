"""The values of a program, and what a traced array calls on the trace that records it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..engine.trees import leaves, mapped

__all__ = ["FILLED", "Instruction", "Recorder", "Region", "Variable"]

FILLED = {np.ones_like, np.zeros_like}  # these look at the shape and dtype only


@dataclass(eq=False)
class Region:
    """Memory that variables share: an array from outside, an argument, or what an instruction made.

    Its version is the number of instructions so far that wrote to it.
    """

    number: int
    outside: bool  # does it outlive the run?
    version: int = 0
    scratch: bool = False  # may a run leave anything in it?


@dataclass(eq=False)
class Variable:
    """A value of the program: an argument, something captured from outside, or an instruction's result."""

    number: int
    kind: str  # "argument", "captured", "number" or "array"
    held: Any  # its value while tracing, or a weak reference to it
    root: Variable | None = None  # the variable whose memory this one is a view of
    by_number: bool = False  # does a number decide which part of its root it is, in each run anew?
    source: Any = None  # the Tensor or ndarray, if captured
    scratch: bool = False  # if captured: may a run leave anything in it?
    name: str = ""
    region: Region | None = None  # set by the program; None for a number

    def __post_init__(self) -> None:
        value = self.held
        array = isinstance(value, np.ndarray)
        self.is_array = array
        self.dtype: Any = value.dtype if array else type(value)
        self.shape: tuple[int, ...] = value.shape if array else ()
        self.strides: tuple[int, ...] = value.strides if array else ()
        self.offset = 0  # set by the program: in bytes, from the beginning of the memory
        self.shift = 0  # from where its root begins

    @property
    def value(self) -> Any:
        """Its value while tracing; None once nothing computes with it any more."""
        return self.held() if type(self.held) is weakref.ref else self.held

    @value.setter
    def value(self, value: Any) -> None:
        self.held = value

    def let_go(self) -> Any:
        """Return the value, which lives as long as someone else keeps it."""
        value = self.held
        self.held = weakref.ref(value)
        return value

    def chain(self) -> list[Variable]:
        """This variable, the one it is a view of, and so on, up to the owner of the memory."""
        links = [self]
        while (root := links[-1].root) is not None:
            links.append(root)
        return links

    @property
    def moves(self) -> bool:
        """Whether it may begin at another place of the owner's memory in each run."""
        return any(link.by_number for link in self.chain())

    @property
    def compact(self) -> bool:
        """Whether memory that the program allocates can have the same layout; memory from outside has any."""
        return self.kind in ("captured", "argument") or _compact(self)

    @property
    def owner(self) -> Variable:
        """The variable that owns the memory."""
        owner = self
        while owner.root is not None:
            owner = owner.root
        return owner


@dataclass(eq=False)
class Instruction:
    """``result = function(*args, **kwargs)``, with variables in place of arrays."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Variable, ...]
    comment: str
    writes: Variable | None = None  # what is written to in place
    effect: bool = False  # runs even if the result is not used
    fixed: bool = False  # the result must have the shape and dtype it had while tracing
    comes_from_outside: bool = False  # another call would give something else
    early: bool = False  # changes nothing, so that it may run before a check that fails
    reads: list[Variable] = field(default_factory=list)  # in the order in which they stand in the arguments
    versions: dict[Region, int] = field(init=False)  # of the regions that it reads, set by the program

    def __post_init__(self) -> None:
        self.versions = {}
        if not self.reads:
            self.reread()

    def reread(self) -> None:
        """Collect ``reads`` again, after a change of the arguments."""
        self.reads = [leaf for leaf in leaves((self.args, self.kwargs)) if type(leaf) is Variable]

    def replace(self, replaced: Mapping[Variable, Any]) -> None:
        """Use other variables, or constants, in place of some."""
        if replaced and not replaced.keys().isdisjoint(self.reads):
            self.args, self.kwargs = mapped(
                lambda leaf: replaced.get(leaf, leaf) if type(leaf) is Variable else leaf, (self.args, self.kwargs)
            )
            if self.writes is not None:
                self.writes = replaced.get(self.writes, self.writes)
            self.reread()

    @property
    def kind(self) -> str:
        """One of "store", "host", "check", "view", "elementwise", "reduction" and "call"."""
        if self.writes is not None:
            return "store"
        if self.effect and not self.reads:
            return "host"
        if self.effect and not self.results:
            return "check"
        if self.results and all(result.root is not None for result in self.results):
            return "view"
        if isinstance(self.function, np.ufunc):
            return "elementwise" if self.function.signature is None else "call"
        owner = getattr(self.function, "__self__", None)
        return "reduction" if isinstance(owner, np.ufunc) and self.function.__name__ == "reduce" else "call"


def _compact(variable: Variable) -> bool:
    """Whether the elements fill the memory without gaps, in some order of the axes."""
    size = getattr(variable.dtype, "itemsize", 0)
    for stride, length in sorted(zip(variable.strides, variable.shape, strict=True)):
        if length > 1:
            if stride != size:
                return False
            size *= length
    return True


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
        comes_from_outside: bool = False,
        early: bool = False,
    ) -> Any:
        """Run a function, record the call, and trace its result."""
