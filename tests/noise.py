"""What another processor's BLAS and LAPACK would return: results that are off in the last place.

A kernel written for other registers adds up in another order, so its results differ in the last bits. Yet it is a
function: the same numbers in the same layout give the same bits. So the noise here is a function as well, of a seed,
of a result's bits and of its place in the result: what is computed twice is the same twice, and comparing a compiled
step with an eager one to the bit stays legitimate, while a result that is compared with another way to it (a batch
with single samples, a formula, another library) differs from it in the last place.

An element that comes out exactly does so on every processor, and is left alone: a sum of products that extended
precision does not improve or that has one term, and what LAPACK returns where it is zero or has few digits. Where the
terms of a sum cancel, the noise is a unit in the last place of the sum of their magnitudes: that is what the order of
adding up changes.

The functions stay the objects they are, because dispatch, batching and the compiler know them by identity; what
changes is inside. For ``matmul`` (so for ``@``), its relatives and all of ``np.linalg``, that is the inner loop of a
generalised ufunc, which NumPy's C API has a call to replace; for ``dot``, ``inner`` and ``vdot``, and through them
``tensordot``, ``cov`` and others, it is the implementation behind the dispatcher; for ``einsum``, ``convolve`` and
``correlate``, a name in a module. Out of reach are the method ``ndarray.dot`` and, with it, ``np.linalg.norm`` of all
elements, and what SciPy calls by itself.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy._core import einsumfunc, multiarray
from numpy._core._multiarray_umath import _UFUNC_API
from numpy.linalg import _umath_linalg

__all__ = ["blas_noise"]

PRODUCTS = [f for name in ("matmul", "vecdot", "matvec", "vecmat") if (f := getattr(np, name, None))]
FACTORISATIONS = [f for f in vars(_umath_linalg).values() if isinstance(f, np.ufunc)]
DISPATCHERS: list[Any] = [np.dot, np.inner, np.vdot]
NAMES: list[tuple[Any, str]] = [(einsumfunc, "c_einsum"), (multiarray, "correlate"), (multiarray, "correlate2")]
OVERWRITTEN = {"qr_r_raw": (0,)}  # inputs that are results as well
ORDERED = {"eigh_lo": 0, "eigh_up": 0, "eigvalsh_lo": 0, "eigvalsh_up": 0}  # results that LAPACK returns in order
MANY = 10**5  # numbers; for more of them, extended precision takes too long, and hardly any result is exact


@contextmanager
def blas_noise(seed: int) -> Iterator[None]:
    """Within, every result of BLAS and LAPACK is off by one unit in the last place, by none, or by minus one.

    >>> a = np.random.default_rng(0).normal(size=(30, 40))
    >>> exact = a @ a.T
    >>> with blas_noise(1):
    ...     noisy, again = a @ a.T, np.matmul(a, a.T)
    >>> bool((noisy != exact).any()), bool(np.allclose(noisy, exact, rtol=1e-14)), bool((noisy == again).all())
    (True, True, True)
    >>> bool((a @ a.T == exact).all())
    True
    """
    if np.finfo(np.longdouble).eps > 1e-18:
        raise NotImplementedError("blas_noise needs a long double of more digits than a double has")
    with ExitStack() as undo:
        ours: dict[Any, Any] = {}
        for ufunc in (*PRODUCTS, *FACTORISATIONS):
            _replace_loops(ufunc, undo, _noise_of(ufunc, seed), ours)
        for dispatcher in DISPATCHERS:
            _replace_implementation(dispatcher, undo, _noisy(dispatcher._implementation, seed))
        for module, name in NAMES:
            original = getattr(module, name)
            setattr(module, name, _noisy(original, seed))
            undo.callback(setattr, module, name, original)
        yield


# --- the noise --------------------------------------------------------------------------------------------


def _direction(parts: Any, seed: int, name: str, stacked: int) -> Any:
    """-1, 0 or 1 for each element: a hash of its bits, its place after the first axes, the seed and the name."""
    bits = np.ascontiguousarray(parts).view(f"u{parts.itemsize}").astype(np.uint64)
    place = np.arange(math.prod(bits.shape[stacked:]), dtype=np.uint64).reshape(bits.shape[stacked:])
    key = np.uint64(zlib.crc32(f"{seed} {name}".encode()) | 1)
    mixed = (bits + (place + key) * np.uint64(0xD1342543DE82EF95)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * (np.uint64(0xBF58476D1CE4E5B9) + np.uint64(2) * key)
    return (mixed >> np.uint64(33)) % np.uint64(3) - 1.0


def _parts(array: Any) -> Any:
    """A view of the array with an axis more: of the real and the imaginary part where it is complex, else of one."""
    if array.dtype.kind != "c":
        return array[..., None]
    real, step = array.real, array.itemsize // 2
    return np.lib.stride_tricks.as_strided(real, (*real.shape, 2), (*real.strides, step))


def _add_noise(result: Any, seed: int, name: str, stacked: int, exact: Any, size: Any) -> None:
    """Add noise to a result in place, but to what is ``exact``: a unit in the last place of ``size``."""
    parts = _parts(result)
    unit = np.spacing(size.astype(parts.dtype))
    moved = parts + unit * _direction(parts, seed, name, stacked).astype(parts.dtype)
    parts[...] = np.where(exact | ~np.isfinite(moved), parts, moved)


def _short(parts: Any) -> Any:
    """Which elements are zero, or have no digits in the second half of a significand: these came out exactly."""
    half = np.finfo(parts.dtype).nmant // 2
    bits = np.ascontiguousarray(parts).view(f"u{parts.itemsize}")
    return bits & bits.dtype.type((1 << half) - 1) == 0


def _product_noise(f: Callable[..., Any], seed: int, name: str, stacked: int, result: Any, operands: list[Any]) -> None:
    """Add noise to the result of ``f``, a product that is linear in each operand; another one for each layout."""
    name += "".join(map(_layout, operands))
    parts = _parts(result)
    size = np.abs(parts)
    exact = np.zeros(parts.shape, bool)
    if sum(a.size for a in operands) < MANY:
        wide = f(*(a.astype(np.clongdouble if a.dtype.kind == "c" else np.longdouble) for a in operands))
        terms = f(*((a != 0).astype(np.intp) for a in operands))
        exact = (_parts(np.asarray(wide)) == parts) | (np.asarray(terms)[..., None] < 2)
        size = np.maximum(size, _magnitudes(f, operands, result))
    _add_noise(result, seed, name, stacked, exact, size)


def _layout(operand: Any) -> str:
    """How BLAS is told to read a matrix: as it is or transposed."""
    if operand.ndim < 2 or 1 in operand.shape[-2:]:
        return " vector"
    return " rows" if abs(operand.strides[-1]) <= abs(operand.strides[-2]) else " columns"


def _magnitudes(f: Callable[..., Any], operands: list[Any], result: Any) -> Any:
    """What the parts of a product would be if no terms cancelled; the parts as they are, for three complex factors."""
    real, imaginary = (
        [np.abs(a).astype(np.longdouble) for a in parts]
        for parts in ([a.real for a in operands], [a.imag for a in operands])
    )
    if result.dtype.kind != "c":
        return np.asarray(f(*real))[..., None]
    if len(operands) > 2:
        return np.abs(_parts(result))
    if len(operands) == 1:
        return np.stack([f(*real), f(*imaginary)], axis=-1)
    squares = f(*real) + f(*imaginary)
    return np.stack([squares, f(real[0], imaginary[1]) + f(imaginary[0], real[1])], axis=-1)


# --- where it is added ------------------------------------------------------------------------------------

_LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_capsule = ctypes.pythonapi.PyCapsule_GetPointer
_capsule.restype, _capsule.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_TABLE = ctypes.cast(_capsule(_UFUNC_API, None), ctypes.POINTER(ctypes.c_void_p))
# PyUFunc_ReplaceLoopBySignature(ufunc, new loop, type numbers, where the old one is put): entry 30 of the table
_replace_loop = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    _TABLE[30]
)
_libm = ctypes.PyDLL(ctypes.util.find_library("m"))
_State = ctypes.c_char * 256  # more than the fenv_t of any processor


class _Memory:
    """What NumPy needs to see memory of others as an array."""

    def __init__(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.__array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "strides": strides,
            "typestr": dtype.str,
            "version": 3,
        }


class _Seen:
    """Reads what an inner loop gets: arrays of the memory of its operands and results; the first axis is the loop's."""

    def __init__(self, signature: str, types: str) -> None:
        self.cores = [[n.strip() for n in core.split(",") if n.strip()] for core in re.findall(r"\((.*?)\)", signature)]
        self.names = list(dict.fromkeys(n for core in self.cores for n in core))
        self.dtypes = [np.dtype(letter) for letter in types.replace("->", "")]
        self.numbers = [ctypes.c_ssize_t * n for n in self._lengths()]

    def _lengths(self) -> tuple[int, int, int]:
        return len(self.cores), 1 + len(self.names), len(self.cores) + sum(map(len, self.cores))

    def __call__(self, args: int, dimensions: int, steps: int) -> list[Any]:
        addresses, sizes, strides = (
            kind.from_address(where) for kind, where in zip(self.numbers, (args, dimensions, steps))
        )
        length = dict(zip(self.names, sizes[1:]))
        inner = iter(strides[len(self.cores) :])
        return [
            np.asarray(
                _Memory(
                    addresses[i],
                    (sizes[0], *(length[n] for n in core)),
                    (strides[i], *(next(inner) for _ in core)),
                    dtype,
                )
            )
            for i, (core, dtype) in enumerate(zip(self.cores, self.dtypes))
        ]


def _replace_loops(
    ufunc: np.ufunc, undo: ExitStack, noise: Callable[[list[Any], list[Any]], None], ours: dict[Any, Any]
) -> None:
    """Let the ufunc's loops of floating point numbers be followed by ``noise(operands, results)``.

    The loops are put into ``ours``, by their address; that keeps them alive, too.
    """
    for types in ufunc.types:
        letters = types.replace("->", "")
        if letters[0] not in "fdFD":
            continue
        numbers = (ctypes.c_int * len(letters))(*(np.dtype(letter).num for letter in letters))
        old = ctypes.c_void_p()
        seen = _Seen(ufunc.signature or "", types)

        def loop(args: int, dimensions: int, steps: int, data: int, seen: Any = seen, old: Any = old) -> None:
            arrays = seen(args, dimensions, steps)  # now, because a loop moves on in its args
            exact = _LOOP(old.value)
            state = _State()  # of the processor: whether anything was invalid
            exact(args, dimensions, steps, data)
            _libm.fegetenv(state)
            with np.errstate(all="ignore"):
                noise(arrays[: ufunc.nin], arrays[ufunc.nin :])
            _libm.fesetenv(state)

        new = _LOOP(loop)
        address = ctypes.cast(new, ctypes.c_void_p)
        if _replace_loop(ufunc, address, numbers, ctypes.byref(old)) != 0:
            raise RuntimeError(f"{ufunc.__name__} has no loop {types}")
        undo.callback(_replace_loop, ufunc, old, numbers, ctypes.byref(ctypes.c_void_p()))
        if old.value in ours:
            raise NotImplementedError(f"{ufunc.__name__} has its loops in common with another ufunc: NumPy is too old")
        ours[address.value] = new


def _noise_of(ufunc: np.ufunc, seed: int) -> Callable[[list[Any], list[Any]], None]:
    """What is done to the results of a ufunc, the first axis of which is a stack."""
    name = ufunc.__name__

    def noise(operands: list[Any], results: list[Any]) -> None:
        if ufunc in PRODUCTS:
            _product_noise(ufunc, seed, name, 1, results[0], operands)
            return
        for result in (*results, *(operands[i] for i in OVERWRITTEN.get(name, ()))):
            if result.dtype.kind in "fc":
                parts = _parts(result)
                _add_noise(result, seed, name, 1, _short(parts), np.abs(parts))
        if name in ORDERED:
            results[0].sort(axis=-1)

    return noise


def _noisy(f: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """The function ``f``, with noise: a product of arrays, after a subscript or before a mode where it has one."""

    def noisy(*args: Any, **kwargs: Any) -> Any:
        result = f(*args, **kwargs)
        array = np.asarray(result)
        first = int(bool(args) and isinstance(args[0], str))
        last = len(args) if f.__name__ == "c_einsum" else 2
        operands = [np.asarray(a) for a in args[first:last]]
        if array.dtype.char not in "fdFD" or any(np.may_share_memory(a, array) for a in operands):
            return result
        array = array if array.flags.writeable else array.copy()
        with np.errstate(all="ignore"):
            product = lambda *operands: f(*args[:first], *operands, *args[last:])
            _product_noise(product, seed, f.__name__, 0, array, operands)
        return array[()] if isinstance(result, np.generic) else result

    return noisy


def _replace_implementation(dispatcher: Any, undo: ExitStack, new: Callable[..., Any]) -> None:
    """Let a dispatcher call ``new`` where it would call its implementation: a pointer in its memory."""
    old = dispatcher._implementation
    words = (ctypes.c_size_t * (type(dispatcher).__basicsize__ // ctypes.sizeof(ctypes.c_size_t))).from_address(
        id(dispatcher)
    )
    place = list(words).index(id(old))
    words[place] = id(new)

    def back(kept: Any = (old, new)) -> None:
        words[place] = id(kept[0])

    undo.callback(back)
