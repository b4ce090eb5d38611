"""LLVM and NumPy's BLAS: from the text of a module to functions that Python calls."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .driver import PYTHON, data_offset

__all__ = ["compiled", "gemm_address", "key_of", "loaded", "reads_arrays", "require_llvm", "vector_bytes"]

_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@contextlib.contextmanager
def _llvm() -> Iterator[Any]:
    """The binding of llvmlite, for one thread at a time.

    A process is forked while no thread is in here, so that the child finds LLVM at rest and no import half done: it
    would wait forever for the thread that imports.
    """
    with _lock:
        import llvmlite.binding

        yield llvmlite.binding


def require_llvm() -> None:
    """Raise ImportError unless the extra ``native`` is installed."""
    try:
        with _llvm():
            pass
    except ImportError as error:
        raise ImportError(
            "compile: backend='native' needs llvmlite: pip install 'tensorgrad-np[native]', or leave backend out"
        ) from error


@functools.cache
def gemm_address(dtype: np.dtype[Any]) -> int | None:
    """The address of the matrix product in the OpenBLAS that NumPy brings; None if there is none."""
    folders = [Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs"]
    for folder in folders:
        for file in sorted(folder.glob("libscipy_openblas64_*")):
            name = f"scipy_cblas_{'s' if dtype == np.float32 else 'd'}gemm64_"
            try:
                symbol = getattr(ctypes.CDLL(str(file)), name)
            except (OSError, AttributeError):
                continue
            return ctypes.cast(symbol, ctypes.c_void_p).value
    return None


@functools.cache
def reads_arrays() -> bool:
    """Whether native code finds the memory of an array where it looks for it."""
    arrays: list[np.ndarray[Any, Any]] = [np.zeros(3), np.zeros((2, 2), np.float32)[1:]]
    return all(ctypes.c_size_t.from_address(id(a) + data_offset()).value == a.ctypes.data for a in arrays)


@functools.cache
def _processor() -> tuple[str, str, str]:
    """The target, the processor's name and its features."""
    with _llvm() as llvm:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        for name in PYTHON:
            llvm.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
        for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
            address = gemm_address(dtype)
            if address is not None:
                llvm.add_symbol(f"gemm_{dtype.str[1:]}", address)
        return llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def vector_bytes() -> int:
    """How many bytes the largest vectors have that this processor computes with; 0 if that is left to LLVM."""
    _, _, features = _processor()
    return 64 if "+avx512f" in features.split(",") else 0


def _machine() -> Any:
    """What compiles for this processor; an engine takes it over."""
    triple, name, features = _processor()
    with _llvm() as llvm:
        return llvm.Target.from_triple(triple).create_target_machine(cpu=name, features=features, opt=3, jit=True)


def key_of(digest: str) -> str:
    """The key of compiled code for a program with this digest: that, then a hash of versions and this processor."""
    with _llvm() as llvm:
        import llvmlite

        facts = (llvmlite.__version__, str(llvm.llvm_version_info), np.__version__, *_processor())
    return f"{digest}-{hashlib.sha256(chr(10).join(facts).encode()).hexdigest()[:16]}"


def compiled(text: str) -> bytes:
    """The object code of a module."""
    with _llvm() as llvm:
        machine = _machine()
        module = llvm.parse_assembly(text)
        module.verify()
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = True
        options.loop_unrolling = True
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        code: bytes = machine.emit_object(module)
    return code


class _Method(ctypes.Structure):
    """``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


_FASTCALL = 0x80
_new_function = ctypes.pythonapi.PyCFunction_NewEx
_new_function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
_new_function.restype = ctypes.py_object


_engines: weakref.WeakSet[Any] = weakref.WeakSet()


@atexit.register
def _keep_engines() -> None:
    """Leave native code to the end of the process: when Python shuts down, LLVM's bindings may go first."""
    for engine in list(_engines):
        engine.detach()


class Library:
    """Object code in memory: functions like those of a C extension."""

    def __init__(self, code: bytes) -> None:
        with _llvm() as llvm:
            self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            self._engine.finalize_object()
        _engines.add(self._engine)
        self._methods: dict[str, _Method] = {}

    def function(self, name: str) -> Any:
        """A function of Python. It keeps the library alive."""
        method = self._methods.get(name)
        if method is None:
            method = _Method(name.encode(), self._engine.get_function_address(name), _FASTCALL, None)
            method = self._methods.setdefault(name, method)
        return _new_function(ctypes.addressof(method), self, None)


@functools.lru_cache(maxsize=16)
def loaded(code: bytes) -> Library:
    """The library of object code, which steps with equal programs share: their data are in tables of their own."""
    return Library(code)
