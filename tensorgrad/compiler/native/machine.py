"""LLVM and NumPy's BLAS: from the text of a module to addresses of functions."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.locks import lock

__all__ = ["Library", "gemm_address", "require_llvm"]

_lock = lock()


def require_llvm() -> None:
    """Raise ImportError unless the extra ``native`` is installed."""
    try:
        import llvmlite  # noqa: F401
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


def _target() -> Any:
    """This processor; a compiled module takes it over."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True)


class Library:
    """Compiled functions ``void f(void **pointers, double *numbers)``; they live as long as this object."""

    def __init__(self, text: str) -> None:
        import llvmlite.binding as llvm

        with _lock:
            machine = _target()
            module = llvm.parse_assembly(text)
            module.verify()
            module.triple = machine.triple
            module.data_layout = str(machine.target_data)
            options = llvm.create_pipeline_tuning_options(speed_level=3)
            options.loop_vectorization = True
            options.loop_unrolling = True
            builder = llvm.create_pass_builder(machine, options)
            builder.getModulePassManager().run(module, builder)
            self._engine = llvm.create_mcjit_compiler(module, machine)
            self._engine.finalize_object()

    def function(self, name: str, pointers: Any, numbers: Any) -> Any:
        """A function of no arguments that calls a compiled one with these two tables."""
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        compiled = prototype(self._engine.get_function_address(name))
        arguments = (ctypes.c_void_p(pointers.ctypes.data), ctypes.c_void_p(numbers.ctypes.data))
        return functools.partial(compiled, *arguments)
