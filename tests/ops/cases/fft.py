"""Discrete Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import C, Case, R, Refusal, S, Sample, public, seed, u, z

seed("fft")


def lengths(make: Any, odd: int = 5) -> tuple[Sample, ...]:
    """Calls along one axis: even and odd lengths, truncated and padded, every norm."""
    return (
        S(u(6)),
        S(make(6)),
        S(make(odd)),
        S(make(2, 4), more=(3,)),
        S(make(2, 4), n=7),
        S(make(3, 2), axis=0, norm="ortho"),
        S(make(2, 4), n=6, axis=-1, norm="forward"),
        S(make(2, 3, 2), axis=-2, norm="backward"),
        S(make(2, 2), n=1),
        S(make(0, 3)),
    )


def several(make: Any) -> tuple[Sample, ...]:
    """Calls along two axes."""
    return (
        S(u(2, 4)),
        S(make(2, 3)),
        S(make(2, 3, 4)),
        S(make(3, 2, 3), s=(4, 3), axes=(0, 2), norm="ortho"),
        S(make(3, 4), axes=(-1, -2), norm="forward"),
    )


def two(make: Any) -> tuple[Sample, ...]:
    return *several(make), S(make(3, 4), more=((2, 5),)), S(make(0, 2, 3))


def any_number(make: Any) -> tuple[Sample, ...]:
    return (
        *several(make),
        S(make(2, 3, 2)),
        S(make(2, 3, 2), axes=(1,)),
        S(make(2, 3, 4), s=(2, -1), axes=(0, 2)),
        S(make(4), s=(6,), axes=(0,), norm="ortho"),
    )


def transform(name: str, samples: tuple[Sample, ...], *refusals: Refusal, **rest: Any) -> Case:
    full = f"fft.{name}"
    op = public(full)
    one = "2" not in name and not name.endswith("n")
    common = (
        R(lambda: op(np.ones(3), norm="both"), ValueError, name, '"ortho"', "'both'"),
        R(lambda: op(3.0), ShapeError, name),
        R(lambda: op(np.ones((2, 0))), ShapeError, name, "(2, 0)", "at least 1"),
    )
    if one:
        common += (
            R(lambda: op(np.ones(3), axis=1), ShapeError, name, "axis 1"),
            R(lambda: op(np.ones(3), n=0), ShapeError, name, "length 0"),
        )
    else:
        common += (
            R(lambda: op(np.ones((3, 3)), axes=(0, -2)), ShapeError, name, "same axis twice"),
            R(lambda: op(np.ones((3, 3)), s=(2,), axes=(0, 1)), ShapeError, name, "(2,)", "2 axes"),
            R(lambda: op(np.ones((3, 3)), axes=()), ShapeError, name, "no axis"),
        )
    rest.setdefault("float32", "irfft" in name or name == "hfft")
    return C(full, getattr(np.fft, name), *samples, method="central", refusals=(*common, *refusals), **rest)


def real_only(name: str) -> Refusal:
    return R(lambda: public(f"fft.{name}")(z(2, 3)), DTypeError, name, "complex128", "tg.real")


CASES: tuple[Case, ...] = (
    transform("fft", lengths(z)),
    transform("ifft", lengths(z)),
    transform("rfft", lengths(u), real_only("rfft")),
    transform("irfft", lengths(z), R(lambda: tg.fft.irfft(np.ones(1)), ShapeError, "irfft", "length 0", "n=")),
    transform("hfft", lengths(z)),
    transform("ihfft", lengths(u), real_only("ihfft")),
    transform("fft2", two(z)),
    transform("ifft2", two(z)),
    transform("rfft2", two(u), real_only("rfft2")),
    transform("irfft2", two(z)),
    transform("fftn", any_number(z)),
    transform("ifftn", any_number(z)),
    transform("rfftn", any_number(u), real_only("rfftn")),
    transform("irfftn", any_number(z)),
    *(
        C(
            f"fft.{name}",
            getattr(np.fft, name),
            S(u(5)),
            S(z(4)),
            S(u(2, 3), axes=(0,)),
            S(u(2, 3, 3), axes=(-1, 0)),
            S(u(2, 3), axes=1),
            S(u(0, 3)),
            method="central",
            refusals=(R(lambda name=name: public(f"fft.{name}")(np.ones(3), axes=1), ShapeError, name, "axis 1"),),
        )
        for name in ("fftshift", "ifftshift")
    ),
    *(
        C(f"fft.{name}", getattr(np.fft, name), S(more=(6,)), S(more=(5, 0.1)), orders=0)
        for name in ("fftfreq", "rfftfreq")
    ),
)
