"""Headers of files that are made to cost much time or memory, and what they cost."""

from __future__ import annotations

import hashlib
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nn
import tensorgrad as tg

# What the docstring of nn.load promises of memory. Seconds are for a slow machine that other tests share.
SECONDS_PER_MEBIBYTE = 10.0
MEMORY_PER_BYTE = 64
AROUND = 2**25  # bytes; labels may take half of them

# The tensors of all these files.
ARRAYS = {"w": np.zeros(1000, np.float32), "u": np.zeros(624, np.uint32)}

_PRIME = 2**61 - 1  # the hash of an integer is its remainder
_FIRST = {"object": 0}
_W = {"parameter": "w", "requires_grad": True, "name": None}


def _dict(**items: Any) -> dict[str, Any]:
    return {"dict": [[name, value] for name, value in items.items()]}


def _header(objects: list[Any], extra: Any = None, **more: Any) -> dict[str, Any]:
    tensors = {
        name: {"dtype": a.dtype.str, "shape": [a.size], "sha256": hashlib.sha256(a.tobytes()).hexdigest()}
        for name, a in ARRAYS.items()
    }
    base = {"format": "tensorgrad.nn", "version": 1, "tensors": tensors, "objects": objects, "extra": extra}
    return {**base, "modules": [], "state": [], "model": {"dict": []}, "optimizer": None, **more}


def _all(objects: list[Any], first: int = 0) -> dict[str, Any]:
    """A header that asks for each of these objects."""
    return _header(objects, [{"object": i} for i in range(first, len(objects))])


def _optimizer(params: list[Any], groups: list[Any] | None = None, entries: tuple[Any, ...] = ()) -> dict[str, Any]:
    given = groups or [_dict(params=list(range(len(params))), lr=0.1)]
    state = _dict(state={"dict": list(entries)}, param_groups=given)
    return {"optimizer": "AdamW", "params": params, "arguments": _dict(), "attributes": _dict(), "state": state}


def _generator(entropy: Any = 1, spawn_key: Any = ()) -> dict[str, Any]:
    seed = _dict(entropy=entropy, spawn_key={"tuple": list(spawn_key)}, pool_size=4, n_children_spawned=0)
    state = _dict(bit_generator="PCG64", state=_dict(state=1, inc=1), has_uint32=0, uinteger=0)
    return {"generator": "PCG64", "state": state, "seed": seed}


def _module(**attributes: Any) -> dict[str, Any]:
    base = {"training": True, "_buffers": {"tuple": []}, "_places": None}
    return {"class": "Module", "attributes": _dict(**base, **attributes)}


def _scalar(value: complex) -> dict[str, Any]:
    return {"scalar": ["<c16", np.array([value], "<c16").tobytes().hex()]}


def refused(size: int) -> dict[str, bytes | dict[str, Any]]:
    """Headers of about ``size`` bytes (at least 2**16) that ask for more than their share."""
    twister = _dict(bit_generator="MT19937", state=_dict(key=_FIRST, pos=1))
    return {
        "lists alone": b"[" + b"[]," * (size // 3) + b"[]]",
        "objects alone": b"[" + b"{}," * (size // 3) + b"{}]",
        "nesting": b"[" * (size // 2) + b"]" * (size // 2),
        "deep tuples": json.dumps(_header([])).encode().replace(b'"extra": null', b'"extra":' + b'{"tuple":[' * 9999),
        "colliding integers": _header([], {"dict": [[k * _PRIME, 0] for k in range(size // 25)]}),
        "colliding tuples": _header([], {"dict": [[{"tuple": [k * _PRIME]}, 0] for k in range(size // 36)]}),
        "colliding scalars": _header([], {"dict": [[_scalar(complex(-1000003 * k, k)), 0] for k in range(size // 60)]}),
        "one tensor often": _all([_W] * (size // 60)),
        "one parameter in many optimisers": _all([_W, *[_optimizer([_FIRST])] * (size // 220)], 1),
        "many groups": _header([_W, _optimizer([_FIRST], [_dict(params=[0])] * (size // 28))], {"object": 1}),
        "many states": _header(
            [_W, _optimizer([_FIRST], None, tuple([k, _dict()] for k in range(size // 20)))], {"object": 1}
        ),
        "one parameter often in an optimiser": _header([_W, _optimizer([_FIRST] * (size // 18))], {"object": 1}),
        "spawn keys": _header([_generator(spawn_key=[1] * max(size // 2, 2**17))], _FIRST),
        "entropy": _header([_generator([2**31] * max(size // 11, 2**17))], _FIRST),
        "generators of one array": _all(
            [{"array": "w"}, *[{"generator": "MT19937", "state": twister, "seed": None}] * (size // 200)], 1
        ),
        "wide labels": _all([{"labels": "<U9999", "shape": [1], "values": ["a"]}] * max(size // 50, 2**10)),
        "tensors without bytes": _header([], tensors={f"{i}": {"dtype": "<f4"} for i in range(size // 20)}),
    }


def large(size: int) -> dict[str, dict[str, Any]]:
    """Headers of about ``size`` bytes that are fine, but hold much of one thing."""
    twister = _dict(bit_generator="MT19937", state=_dict(key=_FIRST, pos=1))
    chain = [_module(a={"object": i + 1}) for i in range(size // 130)]
    return {
        "numbers": _header([], [7] * (size // 2)),
        "floats": _header([], [0.5] * (size // 4)),
        "long integers": _header([], [10**1200] * (size // 1200)),
        "strings": _header([], [f"{i:x}" for i in range(size // 9)]),
        "one string": _header([], "\u20ac" * (size // 6)),
        "lists": _header([], [[]] * (size // 18)),
        "dicts": _header([], [_dict()] * (size // 18)),
        "tuples": _header([], [{"tuple": [1]}] * (size // 18)),
        "near integers": _header([], {"dict": [[k << 24, 0] for k in range(size // 18)]}),
        "generators": _all([_generator()] * (size // 290)),
        "twisters": _all(
            [{"array": "u"}, *[{"generator": "MT19937", "state": twister, "seed": None}] * (size // 200)], 1
        ),
        "labels": _header([{"labels": "<U9", "shape": [size // 4], "values": ["a"] * (size // 4)}], _FIRST),
        "modules": _all([_module()] * (size // 130)),
        "a chain of modules": _header([*chain, _W], model=_FIRST),
        "references": _header([{"array": "w"}], [_FIRST] * (size // 15)),
    }


class Cost(NamedTuple):
    """What a file took to load or to refuse."""

    seconds: float
    nbytes: int  # of memory
    size: int  # of the file
    refusal: str  # "" if it was loaded


def cost_of(path: Path) -> Cost:
    """The time and the memory of loading or refusing a file: in two runs, as counting memory takes time."""
    began = time.process_time()
    refusal = _load(path)
    seconds = time.process_time() - began
    tracemalloc.start()
    try:
        _load(path)
        nbytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return Cost(seconds, nbytes, path.stat().st_size, refusal)


def _load(path: Path) -> str:
    try:
        nn.load(path)
    except tg.CheckpointError as error:
        return str(error)
    return ""


def require_linear(name: str, cost: Cost) -> None:
    """Raise AssertionError if a file took more time or memory than is promised."""
    shown = f"{name}: {cost._replace(refusal=cost.refusal[:80])}"
    assert cost.seconds < SECONDS_PER_MEBIBYTE * cost.size / 2**20 + 2, shown
    assert cost.nbytes < MEMORY_PER_BYTE * cost.size + AROUND, shown
