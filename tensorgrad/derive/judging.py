"""Where a gradient written by hand goes wrong: tests of one wrong array against the right one, on several draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Evidence", "agree", "factor_words", "fitted_factor", "verdict"]

RIGHT = 1e-8  # what rounding may do to a gradient written by hand
SAME = 1e-7  # how well an explanation has to fit


@dataclass
class Evidence:
    """One gradient on several draws.

    Attributes:
        name: of the gradient.
        got: by hand; ``right``: the engine's.
        edges: for each draw the contributions to the gradient, one for each place where the value is used.
        paths: by the name of an intermediate, for each draw the part of the gradient that comes through it.
        lengths: sizes that a person may divide by, with their meaning.
        indices: integer arrays among the arguments.
        upstream: the upstream gradients.
    """

    name: str
    got: list[Any]
    right: list[Any]
    edges: list[list[Any]] = field(default_factory=list)
    paths: dict[str, list[Any]] = field(default_factory=dict)
    lengths: dict[int, str] = field(default_factory=dict)
    indices: dict[str, Any] = field(default_factory=dict)
    upstream: list[Any] = field(default_factory=list)


def agree(got: Any, right: Any, tolerance: float = SAME) -> bool:
    """Whether two arrays are the same but for rounding."""
    got, right = np.asarray(got, dtype=np.float64), np.asarray(right)
    if got.shape != right.shape:
        return False
    if not (np.all(np.isfinite(got)) and np.all(np.isfinite(right))):
        return False
    scale = float(np.max(np.abs(right), initial=0.0))
    return float(np.max(np.abs(got - right), initial=0.0)) <= tolerance * max(scale, 1e-300)


def all_agree(got: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether they agree in every draw."""
    return all(agree(g, r) for g, r in zip(got, right, strict=True))


def fitted_factor(got: Sequence[Any], part: Sequence[Any]) -> float | None:
    """The number c with ``got == c * part`` in every draw."""
    top = sum(float(np.vdot(g, p)) for g, p in zip(got, part, strict=True))
    bottom = sum(float(np.vdot(p, p)) for p in part)
    if not bottom or not math.isfinite(top):
        return None
    c = top / bottom
    for g, p in zip(got, part, strict=True):
        scale = max(float(np.max(np.abs(g), initial=0.0)), float(np.max(np.abs(p), initial=0.0)))
        if float(np.max(np.abs(g - c * p), initial=0.0)) > SAME * scale:
            return None
    return c


def factor_words(c: float, lengths: Mapping[int, str]) -> str:
    """What is wrong if something is c times too large.

    >>> factor_words(-1.0, {}), factor_words(6.0, {6: "x.shape[0]"})
    ('the sign is wrong', 'too large by the factor 6 = x.shape[0]: a division by it is missing')
    """
    if abs(c) < 1e-9:
        return "it is zero"
    sign = "the sign is wrong, and it is " if c < 0 else ""
    size = abs(c)

    def close(number: float) -> bool:
        return abs(size - number) <= 1e-6 * number

    if close(1):
        return "the sign is wrong"
    for n, meaning in lengths.items():
        if n == 2:
            continue
        if close(n):
            return f"{sign}too large by the factor {n} = {meaning}: a division by it is missing"
        if close(1 / n):
            return f"{sign}too small by the factor {n} = {meaning}: it is divided by it once too often"
        if n > 2 and close(n / (n - 1)):
            return f"{sign}divided by {n - 1} where {n} = {meaning} is meant"
        if n > 2 and close((n - 1) / n):
            return f"{sign}divided by {n} = {meaning} where {n - 1} is meant"
    if close(2):
        return f"{sign}twice too large"
    if close(0.5):
        return f"{sign}half of what it should be"
    for n, m in itertools.permutations(lengths, 2):
        if close(n / m):
            return f"{sign}divided by {m} = {lengths[m]} where {n} = {lengths[n]} is meant"
    if close(math.sqrt(2)) or close(math.sqrt(0.5)):
        return f"{sign}{'too large' if size > 1 else 'too small'} by the factor sqrt(2)"
    for n, meaning in lengths.items():
        if close(math.sqrt(n)):
            return f"{sign}too large by the factor sqrt({n}), {n} = {meaning}"
        if close(1 / math.sqrt(n)):
            return f"{sign}too small by the factor sqrt({n}), {n} = {meaning}"
    return f"{sign}{f'{size:.6g}'} times what it should be"


# --- the tests, in order --------------------------------------------------------------------------------


def verdict(evidence: Evidence) -> str | None:
    """What is wrong with a gradient, as far as its numbers tell without a formula."""
    for test in (_nothing, _shape, _scaled, _arranged, _indexed, _paths, _contributions, _corner):
        found = test(evidence)
        if found is not None:
            return found
    return None


def _nothing(e: Evidence) -> str | None:
    if any(not np.all(np.isfinite(g)) for g in e.got):
        return "it is not finite"
    if all(g.dtype.kind == "b" for g in e.got):
        return "it is an array of booleans: a comparison binds less tightly than + and *, so it needs parentheses"
    if all(not np.any(g) for g in e.got):
        return "it is zero everywhere"
    return None


def _shape(e: Evidence) -> str | None:
    got, right = e.got[0].shape, e.right[0].shape
    if got == right:
        return None
    head = f"it has shape {got}, expected {right}"
    if got == right[::-1]:
        turned = [g.T for g in e.got]
        return f"{head}: it is transposed" + ("" if all_agree(turned, e.right) else ", and " + _rest(turned, e))
    extra = len(got) - len(right)
    for count in range(1, len(got) + 1):
        for axes in itertools.combinations(range(len(got)), count):
            summed = [g.sum(axes).reshape(-1) for g in e.got]
            if summed[0].size != e.right[0].size:
                continue
            flat = [r.reshape(-1) for r in e.right]
            where = f"axis {axes[0]}" if count == 1 else f"axes {axes}"
            if all_agree(summed, flat):
                return f"{head}: it is not summed over {where}"
            c = fitted_factor(summed, flat)
            if c is not None:
                return f"{head}: it is not summed over {where}, and it is then {factor_words(c, e.lengths)}"
    if e.got[0].size == e.right[0].size:
        same = [g.reshape(right) for g in e.got]
        return f"{head}; reshape it" + ("" if all_agree(same, e.right) else ", and " + _rest(same, e))
    if e.got[0].size < e.right[0].size and extra <= 0:
        try:
            spread = [np.broadcast_to(g, right) for g in e.got]
            if all_agree(spread, e.right):
                return f"{head}: it is not broadcast"
        except ValueError:
            pass
    return f"{head}: it is not summed over the axes that were broadcast, or over too many"


def _rest(got: list[Any], e: Evidence) -> str:
    further = verdict(Evidence(e.name, got, e.right, e.edges, e.paths, e.lengths, e.indices))
    return further or "its values differ as well"


def _scaled(e: Evidence) -> str | None:
    c = fitted_factor(e.got, e.right)
    return None if c is None else factor_words(c, e.lengths)


def _arranged(e: Evidence) -> str | None:
    n = e.right[0].ndim
    if n < 2 or n > 4:
        return None
    for order in itertools.permutations(range(n)):
        if order == tuple(range(n)):
            continue
        if tuple(e.right[0].shape[a] for a in order) == e.got[0].shape:
            c = fitted_factor(e.got, [r.transpose(order) for r in e.right])
            if c is not None:
                how = "it is transposed" if n == 2 else f"its axes are in the order {order}: an inverse permutation"
                return how + ("" if abs(c - 1) < 1e-6 else f", and {factor_words(c, e.lengths)}")
        moved = [r.transpose(order).reshape(r.shape) for r in e.right]
        if all_agree(e.got, moved):
            return f"it is reshaped where axes have to be exchanged: as if by transpose({order}) before a reshape"
    for order in itertools.permutations(range(n)):
        if order != tuple(range(n)):
            shape = [e.right[0].shape[a] for a in order]
            inverse = np.argsort(order)
            moved = [r.reshape(-1).reshape(shape).transpose(inverse) for r in e.right]
            if all(m.shape == g.shape for m, g in zip(moved, e.got, strict=True)) and all_agree(e.got, moved):
                return "it is reshaped where its axes have to be exchanged"
    for axis in range(n):
        if all_agree(e.got, [np.flip(r, axis) for r in e.right]):
            return f"it is reversed along axis {axis}"
    return None


def _indexed(e: Evidence) -> str | None:
    """An index that occurs twice: wrong there, and right elsewhere."""
    rows = e.right[0].shape[0] if e.right[0].ndim else 0
    wrong = np.zeros(rows, dtype=bool)
    for g, r in zip(e.got, e.right, strict=True):
        scale = np.max(np.abs(r), initial=0.0)
        far = np.abs(g - r) > SAME * scale
        wrong |= far.reshape(rows, -1).any(axis=1) if rows else False
    for name, index in e.indices.items():
        flat = np.asarray(index).reshape(-1)
        if not rows or flat.size < 2 or flat.min() < -rows or flat.max() >= rows:
            continue
        counts = np.bincount(flat % rows, minlength=rows)
        if (
            counts.max() > 1
            and np.array_equal(wrong, (counts > 1) & wrong)
            and wrong.any()
            and (counts > 1)[wrong].all()
        ):
            twice = int(np.flatnonzero(counts > 1)[0])
            return (
                f"it is right but where an index of {name} occurs more than once (such as {twice}): += keeps one of "
                f"them; write np.add.at"
            )
    return None


def _contributions(e: Evidence) -> str | None:
    """Of several uses of a value, one is missing, counted twice, or overwrites the others."""
    if not e.edges or len(e.edges[0]) < 2 or len({len(c) for c in e.edges}) != 1:
        return None
    count = len(e.edges[0])
    off = [g - r for g, r in zip(e.got, e.right, strict=True)]
    for k in range(count):
        part = [c[k] for c in e.edges]
        c = fitted_factor(off, part)
        if c is not None and abs(c) > 1e-9:
            which = f"use {k + 1} of {count} of the value"
            if abs(c + 1) < 1e-6:
                return f"what comes from {which} is missing"
            if abs(c - 1) < 1e-6:
                return f"what comes from {which} is counted twice"
            if abs(c + 2) < 1e-6:
                return f"what comes from {which} has the wrong sign"
            return f"what comes from {which} is {factor_words(1 + c, e.lengths)}"
    for order in (range(count), range(count - 1, -1, -1)):
        kept = []
        for parts in e.edges:
            result = np.zeros_like(parts[0])
            for k in order:
                result = np.where(parts[k] != 0, parts[k], result)
            kept.append(result)
        if all_agree(e.got, kept):
            return "where several uses of the value overlap, one overwrites the others: add with +="
    if count <= 10:
        for size in range(1, count - 1):
            for chosen in itertools.combinations(range(count), size):
                if all_agree(e.got, [sum(c[k] for k in chosen) for c in e.edges]):
                    return (
                        f"of the {count} uses of the value only {', '.join(str(k + 1) for k in chosen)} "
                        f"{'is' if size == 1 else 'are'} counted"
                    )
    return None


def _paths(e: Evidence) -> str | None:
    """What goes through one intermediate is missing, or has the wrong sign or factor."""
    off = [g - r for g, r in zip(e.got, e.right, strict=True)]
    found: list[tuple[float, str, float]] = []
    for name, parts in e.paths.items():
        if all(agree(p, r) for p, r in zip(parts, e.right, strict=True)):
            continue  # everything goes through it
        c = fitted_factor(off, parts)
        if c is not None and abs(c) > 1e-9:
            found.append((abs(c + 1), name, c))
    if not found:
        return None
    distance, name, c = min(found)
    if distance < 1e-6:
        return f"the term through {name} is missing"
    if abs(c + 2) < 1e-6:
        return f"the term through {name} has the wrong sign"
    if abs(c - 1) < 1e-6:
        return f"the term through {name} is counted twice"
    return f"the term through {name}: {factor_words(1 + c, e.lengths)}"


def _corner(e: Evidence) -> str | None:
    """One element of the upstream gradient where a block of it has to be summed."""
    if not e.upstream or e.upstream[0].ndim != e.got[0].ndim or e.upstream[0].size <= e.got[0].size:
        return None
    steps = [m // n if n and m % n == 0 else 0 for m, n in zip(e.upstream[0].shape, e.got[0].shape, strict=True)]
    if not all(steps) or max(steps) > 8:
        return None
    for corner in itertools.product(*(range(s) for s in steps)):
        at = tuple(slice(c, None, s) for c, s in zip(corner, steps, strict=True))
        if fitted_factor(e.got, [u[at] for u in e.upstream]) is not None:
            return (
                f"it takes one element of each block of {' x '.join(map(str, steps))}, where the block has to be summed"
            )
    return None


def separable(e: Evidence) -> str | None:
    """A factor that varies along axes: a weight that is taken along the wrong one."""
    if e.got[0].shape != e.right[0].shape or e.right[0].ndim != 2:
        return None
    ratios = []
    for g, r in zip(e.got, e.right, strict=True):
        if np.any(r == 0):
            return None
        ratios.append(g / r)
    if any(np.any(q == 0) for q in ratios):
        return None
    for q in ratios:
        if not np.allclose(q * q[0, 0], q[:, :1] * q[:1, :], rtol=1e-6):
            return None
    along = [k for k in range(2) if any(not np.allclose(q, q.take([0], axis=k), rtol=1e-6) for q in ratios)]
    if len(along) == 1:
        return f"it has a wrong factor, or lacks one, that varies along axis {along[0]} only"
    return "it has a weight that varies along axis 1 where one along axis 0 belongs, or the other way round"


def sizes(arrays: Mapping[str, Any], shape: tuple[int, ...]) -> dict[int, str]:
    """Lengths of axes and their products, with what they are."""
    found: dict[int, str] = {}
    for name, array in (*arrays.items(), ("the result", np.empty(shape))):
        for i, n in enumerate(np.shape(array)):
            if n > 1:
                found.setdefault(n, f"{name}.shape[{i}]" if name != "the result" else f"axis {i} of the result")
    for name, array in (*arrays.items(), ("the result", np.empty(shape))):
        dims = [i for i, n in enumerate(np.shape(array)) if n > 1]
        for count in range(2, len(dims) + 1):
            for chosen in itertools.combinations(dims, count):
                n = math.prod(np.shape(array)[i] for i in chosen)
                found.setdefault(n, f"axes {chosen} of {name}")
    return found


_RANKS = (
    *("missing", "twice", "sign", "outside", "not taken", "is taken over", "divide", "too many", "is transposed"),
    *("exponent", "stands where"),
)


def _rank(text: str) -> int:
    """How likely a slip is: what is forgotten first, what is confused last."""
    return next((i for i, word in enumerate(_RANKS) if word in text), len(_RANKS) - 1) * 2 + text.startswith("in ")


def explained(
    evidence: Evidence, candidates: Iterator[tuple[str, Callable[[int], Any]]], budget: int
) -> tuple[str, bool] | None:
    """The likeliest slip that gives what was written by hand, in every draw.

    False beside it: not as it is, but with a factor for one term, which is named.
    """
    scaled: str | None = None
    best: str | None = None
    for text, value in itertools.islice(candidates, budget):
        if best is not None and _rank(text) >= _rank(best):
            continue
        try:
            first = np.asarray(value(0), dtype=np.float64)
        except Exception:  # an edit may make no sense
            continue
        if first.shape != evidence.got[0].shape:
            continue
        if agree(evidence.got[0], first):
            if all_agree(evidence.got[1:], [np.asarray(value(k)) for k in range(1, len(evidence.got))]):
                best = text
                if _rank(text) == 0:
                    break
        elif best is None and scaled is None and text.startswith("the term") and text.endswith("is missing"):
            values = [first, *(np.asarray(value(k)) for k in range(1, len(evidence.got)))]
            parts = [r - v for r, v in zip(evidence.right, values, strict=True)]
            c = fitted_factor([g - v for g, v in zip(evidence.got, values, strict=True)], parts)
            if c is not None:
                scaled = f"{text.removesuffix(' is missing')}: {factor_words(c, evidence.lengths)}"
    if best is not None:
        return best, True
    return None if scaled is None else (scaled, False)
