"""A program that is ready to run: the conditions under which it is valid, and what surrounds a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from keyword import iskeyword
from typing import Any

import numpy as np

from ..engine.interrupts import uninterrupted
from ..engine.mode import silenced
from ..engine.record import Handle
from ..errors import NeedsEager
from .array import TracedArray
from .guards import Conditions, FunctionsMet, facts_of, memory_layout
from .passes import written_early
from .printed import NumpyCode
from .program import Program
from .text import defined
from .tiers import tier_of, warn_of
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
        self.result = result
        self.met = met
        self.watched = trace.watched
        self.leaves = [(v.source, *facts_of(v.source)) for v in program.captured if isinstance(v.source, Handle)]
        self.gradients = list(trace.gradients.values())
        self.before = [memory_layout(known.before) for known in self.gradients]
        self._read = [known.owner for known in self.gradients if known.variable is not None]
        places = [(known.owner, _place_of(known, program)) for known in self.gradients]
        new = [k for k, (_, place) in zip(self.gradients, places, strict=True) if place is not None and not k.needed]
        self._drop = _leaving([(known.owner, -1) for known in new])
        self._leave = _leaving([(owner, place) for owner, place in places if place is not None])
        plain = NumpyCode(program)
        self._tier = tier_of(plain) if backend == "auto" else None
        code = _native(plain) if backend == "native" else plain
        if code is not plain:
            plain.release()
        self._use(code)
        self.arguments_of: Callable[..., list[Any] | None] | None = None  # for calls like one of these; see guards

    def _use(self, code: NumpyCode) -> None:
        """Run this code from now on."""
        early = written_early(self.program, code.native) or ()
        outside = [*self.program.arguments, *self.program.captured]
        own = code.put_back_by_itself
        self._early = [k for k, variable in enumerate(outside) if variable in early and variable not in own]
        self._quickly: Callable[[], bool] = _never
        self.code = code

    def count_for(self, runs: float) -> None:
        """Let native code take over that much sooner, since a run is part of something that takes so much longer."""
        if self._tier is not None:
            self._tier.seconds *= runs

    def fits(self) -> bool:
        """Whether the program is valid for the current state."""
        if self._quickly():
            return True
        for owner, attribute, value in self.watched:
            if getattr(owner, attribute) != value:
                return False
        for owner, *facts in self.leaves:
            if facts_of(owner) != tuple(facts):
                return False
        for known, before in zip(self.gradients, self.before, strict=True):
            if known.needed and memory_layout(getattr(known.owner, "_grad", None)) != before:
                return False
        if not (self.met.unchanged() and self.code.current()):
            return False
        self._quickly = self._conditions().function()
        return True

    def _conditions(self) -> Conditions:
        """That nothing is another object than it is now; what :meth:`fits` compares in any case."""
        conditions = Conditions()
        for owner, attribute, value in self.watched:
            name = conditions.name(owner)
            plain = attribute.isidentifier() and not iskeyword(attribute)
            conditions.equal(f"{name}.{attribute}" if plain else f"getattr({name}, {attribute!r})", value)
        for owner, *facts in self.leaves:
            node = f"(node := {conditions.name(owner)}.node)"
            if facts == [False, ()]:
                conditions.add(f"({node} is None or not node.requires_grad)")
            elif facts == [True, ()]:
                hooked = "(extra := node.extra) is None or not extra.hooks"
                conditions.add(f"{node} is not None and node.requires_grad and ({hooked})")
            else:
                conditions.equal(f"{conditions.name(facts_of)}({conditions.name(owner)})", tuple(facts))
        for known, before in zip(self.gradients, self.before, strict=True):
            if known.needed:
                conditions.equal(
                    f"{conditions.name(memory_layout)}(getattr({conditions.name(known.owner)}, '_grad', None))", before
                )
        for variable, array in zip(self.code.captured, self.code.bound, strict=True):
            if isinstance(variable.source, Handle):
                conditions.add(f"{conditions.name(variable.source)}._data is {conditions.name(array)}")
        self.met.restrict(conditions)
        return conditions

    def __call__(self, leaves: list[Any]) -> Any:
        """Run. Raises NeedsEager, with the state as it was before, if only the uncompiled step can do this."""
        if self._tier is not None:
            chosen = self._tier.next()
            if chosen is not None:
                self._tier = None
                if chosen is not self.code and chosen.current():
                    self.code.release()
                    self._use(chosen)
        code = self.code
        if self._read:
            leaves = [*leaves, *(owner._grad for owner in self._read)]
        code.hosted.clear()
        # After Ctrl-C, the state is that before this run, or that after it.
        return self.result(uninterrupted.run(self._whole, code, leaves))

    def _whole(self, code: NumpyCode, leaves: list[Any]) -> tuple[Any, ...]:
        """Run, and leave the gradients where they belong. Raises NeedsEager."""
        before = self._state(leaves) if self._early else ()
        self._drop(())  # a run that is broken off is repeated, and replaces them, too
        try:
            if code.quiet:
                values = code.run(*leaves)
            else:
                with silenced():
                    values = code.run(*leaves)
        except NeedsEager:
            code.put_back()
            for put_back in before:
                put_back()
            raise
        finally:
            code.writer.wrote()
        self._leave(values)
        return values

    def _state(self, leaves: list[Any]) -> Sequence[Callable[[], None]]:
        """Functions that put back what a run may have changed when it is broken off."""
        arrays = [*leaves, *self.code.bound]
        return [partial(np.copyto, arrays[place], arrays[place].copy("K")) for place in self._early]


def _never() -> bool:
    return False


def _leaving(places: list[tuple[Any, int]]) -> Callable[[tuple[Any, ...]], None]:
    """A function that gives leaves their gradients: the result at a place, or None for -1."""
    names: dict[str, Any] = {f"leaf{k}": owner for k, (owner, _) in enumerate(places)}
    lines = [f"    leaf{k}._grad = {f'values[{place}]' if place >= 0 else None}" for k, (_, place) in enumerate(places)]
    text = "\n".join(["def leave(values):", *lines, "    return"])
    leave: Callable[[tuple[Any, ...]], None] = defined("leave", text, names, "<gradients of a compiled step>")
    return leave


def _native(code: NumpyCode) -> NumpyCode:
    """The same program as native code, or as it is if nothing of it can be compiled."""
    from .native.code import NativeCode
    from .native.plan import Candidate
    from .native.segments import Unfit

    try:
        return NativeCode(Candidate(code))
    except Unfit:
        return code
    except Exception as error:
        warn_of(error)
        return code


def _place_of(known: LeafGradient, program: Program) -> int | None:
    """The position of a leaf's new gradient in the results; -1 for None; None if the step does not change it."""
    now = getattr(known.owner, "_grad", None)
    if now is None:
        return None if known.needed and known.before is None else -1
    if not isinstance(now, TracedArray) or now.variable is known.variable:
        return None
    return program.outputs.index(now.variable)
