"""A program that is ready to run: the conditions under which it is valid, and what surrounds a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..engine.interrupts import undisturbed
from ..engine.record import Handle
from ..engine.writes import written
from ..errors import NeedsEager
from .array import TracedArray
from .guards import FunctionsMet, facts_of, memory_layout
from .passes import written_early
from .printed import NumpyCode
from .program import Program
from .trace import LeafGradient, Trace

__all__ = ["Replay"]


class Replay:
    """One program, the conditions under which it is valid, and how to build the return value."""

    def __init__(
        self,
        trace: Trace,
        program: Program,
        met: FunctionsMet,
        result: Callable[[tuple[Any, ...]], Any],
        backend: str,
    ) -> None:
        self.program = program
        self.code = NumpyCode(program)
        if backend == "native":
            self.code = _native(self.code)
        self.result = result
        self.met = met
        self.watched = trace.watched
        self.leaves = [(v.source, *facts_of(v.source)) for v in program.captured if isinstance(v.source, Handle)]
        self.gradients = list(trace.gradients.values())
        self.before = [memory_layout(known.before) for known in self.gradients]
        self.places = [_place_of(known, program) for known in self.gradients]
        early = written_early(program, backend == "native")
        self._breakable = early is not None
        outside = [*program.arguments, *program.captured]
        self._early = [place for place, variable in enumerate(outside) if variable in (early or ())]

    def fits(self) -> bool:
        """Whether the program is valid for the current state."""
        for owner, attribute, value in self.watched:
            if getattr(owner, attribute) != value:
                return False
        for owner, *facts in self.leaves:
            if facts_of(owner) != tuple(facts):
                return False
        for known, before in zip(self.gradients, self.before, strict=True):
            if known.needed and memory_layout(getattr(known.owner, "_grad", None)) != before:
                return False
        return self.met.unchanged() and self.code.current()

    def __call__(self, leaves: list[Any]) -> Any:
        """Run. Raises NeedsEager, with the state as it was before, if only the uncompiled step can do this."""
        leaves += [known.owner._grad for known in self.gradients if known.variable is not None]
        self.code.hosted.clear()
        with undisturbed():  # after Ctrl-C, the state is that before this run, or that after it
            before = self._state(leaves) if self._breakable else ()
            try:
                values = self.code.run(*leaves)
            except NeedsEager:
                for put_back in before:
                    put_back()
                raise
            finally:
                self.log()
            for known, place in zip(self.gradients, self.places, strict=True):
                if place is not None:
                    known.owner._grad = values[place] if place >= 0 else None
        return self.result(values)

    def _state(self, leaves: list[Any]) -> Sequence[Callable[[], None]]:
        """Functions that put back what a run may have changed when it is broken off."""
        arrays = [*leaves, *self.code.bound]
        return [partial(np.copyto, arrays[place], arrays[place].copy("K")) for place in self._early]

    def log(self) -> None:
        """Log what was written to, for graphs that were recorded before."""
        for array in self.code.written:
            written(array, "a compiled step")


def _native(code: NumpyCode) -> NumpyCode:
    """The same program as native code, or as it is if nothing of it can be compiled."""
    from .native.code import NativeCode
    from .native.segments import Unfit

    try:
        return NativeCode(code)
    except Unfit:
        return code
    except Exception as error:
        warnings.warn(
            f"compile: the step runs as NumPy code, because native code failed with {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return code


def _place_of(known: LeafGradient, program: Program) -> int | None:
    """The position of a leaf's new gradient in the results; -1 for None; None if the step does not change it."""
    now = getattr(known.owner, "_grad", None)
    if now is None:
        return None if known.needed and known.before is None else -1
    if not isinstance(now, TracedArray) or now.variable is known.variable:
        return None
    return program.outputs.index(now.variable)
