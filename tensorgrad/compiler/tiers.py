"""``backend="auto"``: when native code takes over from a program's NumPy code.

The moment depends on counts and on the program, never on a clock, so that a script gives the same numbers in every run:

- A program whose native code is on disk when this process first asks for it takes it from its second run on.
- Any other runs as NumPy code until it has done about as much work as compiling it takes, in all steps with an equal
  program together: that is estimated from its length, as half a second at most. Then a thread begins to compile it.
  After twice as much work again native code takes over; if the thread is not ready, the step waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import os
import threading
import warnings
from collections import deque
from typing import Any

from ..engine.frames import users_stacklevel
from .native import cache
from .passes import work_of
from .printed import NumpyCode
from .program import Program

__all__ = ["Tier", "has_llvm", "tier_of", "warn_of"]

START = 1.0  # work, in units of what compiling takes, after which compilation begins
SWITCH = 3.0  # and after which native code takes over
_RUN = 15e-6  # estimated seconds of what surrounds a run,
_CALL = 1.5e-6  # of a NumPy call
_ELEMENT = 0.25e-9  # and of a unit of work
_COMPILING = (0.05, 3e-3, 0.5)  # the least estimate, that for an instruction, and the largest


@functools.cache
def has_llvm() -> bool:
    """Whether the extra ``native`` is installed."""
    return importlib.util.find_spec("llvmlite") is not None


def seconds_of(program: Program) -> float:
    """Roughly how long a run of the NumPy code takes, by counting."""
    return _RUN + len(program.instructions) * _CALL + work_of(program.instructions) * _ELEMENT


def compiling_of(program: Program) -> float:
    """Roughly how many seconds compiling takes, rather too many for most programs."""
    least, each, most = _COMPILING
    return min(max(least, len(program.instructions) * each), most)


def tier_of(code: NumpyCode) -> Tier | None:
    """What decides when this code is replaced; None if it never is."""
    return Tier(code) if has_llvm() else None


class Tier:
    """What decides when the NumPy code of one program is replaced."""

    def __init__(self, code: NumpyCode) -> None:
        self._code = code
        self.seconds = seconds_of(code.program)  # what a run counts for; more if it is a part of something longer
        self._compiling = compiling_of(code.program)
        self._stored = cache.is_used()
        self._text = _text_of(code.source)
        self._kernel: _Kernel | None = None
        self._candidate: Any  # of the native compiler, which is imported late

    def next(self) -> NumpyCode | None:
        """Count a run, and return the code for it and those after it: None for as before; the same code for ever."""
        kernel = self._kernel
        if kernel is None:
            # To know the kernel takes milliseconds, and imports the native compiler.
            text = self._text
            text.spent += self.seconds
            if text.spent < START * self._compiling and not (self._stored or text.known):
                return None
        else:
            kernel.spent += self.seconds
            if kernel.spent < START * self._compiling and not (kernel.stored or kernel.settled):
                return None
        from .native.code import NativeCode
        from .native.plan import Candidate
        from .native.segments import Unfit

        try:
            if kernel is None:
                self._candidate = Candidate(self._code)
                kernel = self._kernel = _kernel_of(self._candidate)
                kernel.spent += self._text.spent
                self._text.spent, self._text.known = 0.0, True
            if not (kernel.stored or kernel.settled):
                if kernel.spent < START * self._compiling:
                    return None
                _compiler.begin(kernel, self._candidate)
                if kernel.spent < SWITCH * self._compiling:
                    return None
                _compiler.finish(kernel)
                kernel.settled = True
            return NativeCode(self._candidate)
        except Unfit:
            return self._code
        except Exception as error:
            warn_of(error)
            return self._code


def warn_of(error: Exception) -> None:
    """Warn that native code failed."""
    warnings.warn(
        f"compile: the step runs as NumPy code, because native code failed with {type(error).__name__}: {error}",
        RuntimeWarning,
        stacklevel=users_stacklevel(),
    )


class _Kernel:
    """The native code of all programs that are equal."""

    def __init__(self, stored: bool) -> None:
        self.stored = stored  # was it on disk when this process first asked?
        self.settled = False  # has it taken over?
        self.spent = 0.0  # estimated seconds that steps have run as NumPy code
        self.begun = False
        self.done = threading.Event()
        self.done.set()


class _Text:
    """All programs with one text: what they have done before one of them asked for their kernel."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.known = False  # has one of them asked?


_MANY = 1024
_kernels: dict[str, _Kernel] = {}
_texts: dict[bytes, _Text] = {}
_lock = threading.Lock()


def _text_of(source: str) -> _Text:
    key = hashlib.blake2b(source.encode(), digest_size=16).digest()
    with _lock:
        text = _texts.get(key)
        if text is None:
            text = _texts[key] = _Text()
            while len(_texts) > _MANY:
                del _texts[next(iter(_texts))]
        return text


def _kernel_of(candidate: Any) -> _Kernel:
    with _lock:
        kernel = _kernels.get(candidate.digest)
        if kernel is None:
            while len(_kernels) >= _MANY:
                del _kernels[next(iter(_kernels))]
            # Without looking at the names first, every process would load LLVM.
            stored = cache.may_hold(candidate.digest) and cache.load(candidate.key) is not None
            kernel = _kernels[candidate.digest] = _Kernel(stored)
        return kernel


class _Compiler:
    """At most one thread, which compiles one program after the other."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[_Kernel, Any]] = deque()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._ending = False
        self._awaited = False  # at the end of the process?

    def begin(self, kernel: _Kernel, candidate: Any) -> None:
        """Compile a program in the background, unless that has been asked for."""
        with self._lock:
            if kernel.begun or self._ending:
                return
            kernel.begun = True
            kernel.done.clear()
            self._waiting.append((kernel, candidate))
            if not self._awaited:  # not earlier: what is registered last is called first, before native code is left
                self._awaited = True
                atexit.register(self.end)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tensorgrad compiler", daemon=True)
                self._thread.start()

    def finish(self, kernel: _Kernel) -> None:
        """Wait until no thread is compiling a program."""
        kernel.done.wait()

    def _run(self) -> None:
        from .native.code import NativeCode

        while True:
            with self._lock:
                if not self._waiting or self._ending:
                    self._thread = None
                    return
                kernel, candidate = self._waiting.popleft()
            with contextlib.suppress(Exception):  # a step that wants it gets the same error
                NativeCode(candidate)
            kernel.done.set()

    def end(self) -> None:
        """Wait for the thread, which must not run while Python shuts down."""
        with self._lock:
            self._ending = True
            thread = self._thread
            for kernel, _ in self._waiting:
                kernel.done.set()
        if thread is not None:
            thread.join()

    def forked(self) -> None:
        """In a child process there is no thread."""
        global _lock
        _lock = self._lock = threading.Lock()
        self._thread = None
        self._waiting.clear()
        for kernel in _kernels.values():
            if not kernel.done.is_set():
                kernel.begun, kernel.done = False, threading.Event()
                kernel.done.set()


_compiler = _Compiler()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compiler.forked)
