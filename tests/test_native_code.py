"""What becomes native code, and what memory holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .programs import RandomStep

pytest.importorskip("llvmlite")

from tensorgrad.compiler import passes, tiers
from tensorgrad.compiler.native import arena, cache, code, kernels, machine, order, schedule, tables
from tensorgrad.compiler.printed import empty
from tensorgrad.compiler.program import Program

# --- forms of functions that look at values ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "function",
    [
        tg.gelu,
        tg.sigmoid,
        tg.tanh,
        tg.softplus,
        tg.silu,
        tg.log_softmax,
        tg.log_sigmoid,
        tg.logsumexp,
        tg.arcsinh,
        tg.softmax,
    ],
)
def test_gradients_keep_their_digits_at_both_ends(function: Any, dtype: Any) -> None:
    """Slopes far out, where a formula with 1 - y would lose them, of many numbers at once."""
    if function is tg.gelu:
        pytest.importorskip("scipy")
    x = np.concatenate([np.linspace(-30, 30, 4999), [100.0, -100.0, 0.0, 5000.0]]).astype(dtype)
    step = tg.compile(lambda x: tg.grad(lambda x: (function(x) * 2.0).sum())(x), backend="native")
    step(x)
    got, expected = np.asarray(step(x)), np.asarray(step.function(x))
    np.testing.assert_allclose(got, expected, rtol=3e-5 if dtype is np.float32 else 1e-12, atol=1e-37)


# --- what becomes native ------------------------------------------------------------------------------------


def test_only_what_reads_an_array_that_is_written_to_stays_with_the_call_that_makes_it() -> None:
    def step(x: Any) -> Any:
        ordered = np.sort(x)
        np.multiply(ordered, 2.0, out=ordered)
        return np.add(ordered, 1.0), np.exp(np.multiply(x, 3.0))

    compiled, x = tg.compile(step, backend="native"), np.random.default_rng(0).normal(size=600)
    compiled(x)
    for got, expected in zip(compiled(x), step(x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert [line.partition("(")[0].rpartition(".")[2] for line in calls(compiled)] == ["sort", "multiply", "add"]


def calls(step: Any) -> list[str]:
    """The lines of a program that are NumPy calls."""
    body = step.source.partition("def step")[2].splitlines()[1:]
    return [line.strip() for line in body if "np." in line or "call" in line]


@pytest.mark.parametrize("exponent", [-1, 0, 1, 2, 3, 4, 2.0, 3.0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_powers(exponent: float, dtype: Any) -> None:
    limits = np.finfo(dtype)
    ends = np.array([0.0, limits.smallest_subnormal, limits.tiny, 1.0, 1.5, 1e-3, 88.0, limits.max, np.inf], dtype)
    x = np.concatenate([ends, -ends, [np.nan]]).astype(dtype)
    step = tg.compile(lambda x: np.add(tg.array_of(x) ** exponent, 0.0), backend="native")
    with np.errstate(all="ignore"):
        expected = x**exponent + 0.0
        step(x)
    got = np.asarray(step(x))
    np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-38)
    assert calls(step) == []


def test_parts_that_are_written_to() -> None:
    """In place, in memory of its own and from outside; overlapping itself; with steps, integers and broadcasting."""
    state, initial = np.arange(12.0).reshape(3, 4), np.arange(12.0).reshape(3, 4)

    def step(x: Any) -> Any:
        memory = tg.array_of(state)
        y = np.multiply(x, 2.0)
        y[1:] = y[:-1]
        y[:, ::2] = 7.0
        y[0] = x[2]
        y[2, 1] = 5.0
        z = np.square(y)
        y[..., -1] = z[..., 0]
        memory[1, ::-1] = x[0]
        memory[0] = np.add(memory[2], y[1])
        return np.add(y, z), y

    compiled_step = tg.compile(step, backend="native")
    x = np.random.default_rng(0).normal(size=(3, 4))
    for k in range(3):
        state[...] = initial
        expected = [np.array(a) for a in step(x + k)], state.copy()
        state[...] = initial
        got = compiled_step(x + k)
        for one, other in zip(got, expected[0], strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(state, expected[1])


def test_what_overlaps_itself_is_read_before_it_is_written() -> None:
    state = np.arange(8.0)

    def step(x: Any) -> Any:
        memory = tg.array_of(state)
        memory[1:] = memory[:-1]
        np.add(memory[::-1], x, out=memory)
        return np.multiply(x, 2.0)

    compiled_step = tg.compile(step, backend="native")
    for _ in range(3):
        state[...] = np.arange(8.0)
        step(np.ones(8))
        expected = state.copy()
        state[...] = np.arange(8.0)
        compiled_step(np.ones(8))
        np.testing.assert_array_equal(state, expected)


def test_slices_and_stacks_of_a_system_of_equations() -> None:
    def step(y: Any) -> Any:
        for _ in range(3):
            a, b, c = y[0], y[1], y[2]
            y = y + 0.01 * tg.stack([10.0 * (b - a), a * (28.0 - c) - b, a * b - 8 / 3 * c])
        return y, tg.concatenate([y[None], y[None] * 2.0]), tg.clip(y, -1.0, 1.0)

    compiled_step = tg.compile(step, backend="native")
    y = np.array([1.0, 2.0, 3.0])
    for k in range(3):
        for one, other in zip(compiled_step(y + k), step(y + k), strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-14)
    assert calls(compiled_step) == []


def test_a_hessian_is_one_piece_of_native_code() -> None:
    def rosenbrock(x: Any) -> Any:
        return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()

    x = np.linspace(0.5, 1.5, 6)
    for transform in (tg.grad, tg.hessian):
        step = tg.compile(transform(rosenbrock), backend="native")
        for k in range(2):
            np.testing.assert_allclose(np.asarray(step(x + k)), np.asarray(transform(rosenbrock)(x + k)), rtol=1e-12)
        assert [line for line in calls(step) if "np.reshape" not in line] == []  # that of a result


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reductions_over_any_number_of_rows(rows: int, dtype: Any) -> None:
    """Several rows are added at a time, and the rest one by one; over the outer two of three axes, too."""

    def step(x: Any) -> Any:
        both = np.sum(x, axis=0), np.sum(np.square(x), axis=0)
        return *both, np.max(x, axis=0), np.min(x[:, ::-1], axis=0), np.sum(np.reshape(x, (rows, 5, 12)), axis=(0, 1))

    compiled_step = tg.compile(step, backend="native")
    rng = np.random.default_rng(rows)
    for _ in range(2):
        x = rng.integers(-9, 10, (rows, 60)).astype(dtype)  # whose sums are exact
        x[-1, 7] = np.nan
        for one, other in zip(compiled_step(x), step(x), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    assert calls(compiled_step) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_all_axes(dtype: Any) -> None:
    """In one loop where the elements follow one another, in several where they do not."""

    def step(x: Any, row: Any) -> Any:
        whole = np.sum(x), np.sum(np.square(x), keepdims=True), np.max(x, axis=(0, 1, 2)), np.sum(x.transpose(2, 0, 1))
        parts = np.sum(x[:, 1:]), np.sum(x[..., ::2]), np.sum(x * row), np.sum(np.reshape(x, (15, 8)) * 0.0)
        return *whole, *parts, np.sum(x + x.transpose(0, 2, 1)[:, :5, :4].transpose(0, 2, 1)[:, :1, :1])

    compiled_step = tg.compile(step, backend="native")
    rng = np.random.default_rng(0)
    for odd in (None, None, np.nan, np.inf):
        x, row = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((5, 4, 6), 6))  # whose sums are exact
        if odd is not None:
            x[3, 1, 2] = odd
        with np.errstate(invalid="ignore"):
            for one, other in zip(compiled_step(x, row), step(x, row), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6)
    assert calls(compiled_step) == []


@pytest.mark.parametrize("vector", [0, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_with_transposed_matrices(dtype: Any, vector: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole tiles and beside them, from memory with gaps, and once more after the matrix was written to."""
    monkeypatch.setattr(kernels, "vector_bytes", lambda: vector)
    monkeypatch.setattr(cache, "find", lambda key: None)
    texts = []
    monkeypatch.setattr(code, "compiled", lambda text: texts.append(text) or machine.compiled(text))
    rng = np.random.default_rng(0)
    for n, k in [(16, 32), (17, 33), (1, 20), (20, 1), (5, 7), (40, 8), (8, 40), (48, 64), (100, 3)]:
        state = rng.integers(-9, 10, (n, k + 2)).astype(dtype)

        def step(x: Any, y: Any, state: Any = state, k: int = k) -> Any:
            memory = tg.array_of(state)
            first = np.matmul(x, np.transpose(memory[:, 1 : k + 1])), np.matmul(y[:, :k], np.transpose(memory[:, :k]))
            memory[:, :k] = np.add(memory[:, :k], 1.0)
            return *first, np.matmul(x, np.transpose(memory[:, :k])), np.matmul(np.transpose(memory[:, :k]), memory)

        compiled, initial = tg.compile(step, backend="native"), state.copy()
        for _ in range(3):
            x, y = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((19, k), (3, k + 1)))  # sums are exact
            state[...] = initial
            expected = [np.array(a) for a in step(x, y)]
            state[...] = initial
            for got, wanted in zip(compiled(x, y), expected, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-6)
        assert ("call void @transposition" in texts[-1]) is (vector == 64 and k > 1 and n > 1)


# --- scratch memory -----------------------------------------------------------------------------------------


def test_scratch_memory_is_not_written_to_and_the_rest_is() -> None:
    memory, kept = np.full(600, -1.0), np.full(600, -1.0)

    def step(x: Any) -> Any:
        w, v = tg.scratch(memory), tg.array_of(kept)
        np.multiply(x, 3.0, out=w)
        np.add(w, 1.0, out=w)
        np.multiply(w, 2.0, out=v)
        return np.add(w[:100], v[100:200])

    compiled_step = tg.compile(step, backend="native")
    compiled_step(np.ones(600))
    memory[...] = kept[...] = -1.0
    got = compiled_step(np.ones(600))
    np.testing.assert_array_equal(got, np.full(100, 12.0))
    np.testing.assert_array_equal(kept, np.full(600, 8.0))
    np.testing.assert_array_equal(memory, np.full(600, -1.0))
    assert tg.scratch(memory) is memory


def test_scratch_memory_that_numpy_reads_is_written_to() -> None:
    memory = np.zeros(4)

    def step(x: Any) -> Any:
        w = tg.scratch(memory)
        np.multiply(x, 3.0, out=w)
        order = np.argsort(w)  # not native
        return np.add(np.take(w, order), 1.0)

    compiled_step = tg.compile(step, backend="native")
    for k in range(3):
        x = np.array([3.0, 1.0, 2.0, 0.5]) + k
        np.testing.assert_array_equal(compiled_step(x), np.sort(x) * 3 + 1)


def test_an_update_reads_each_parameter_once() -> None:
    """Gradients that are concatenated for the update stay where they are."""
    model = nn.MLP((8, 16, 16, 3), norm="batch", rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=1e-3)
    X, y = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), np.arange(32) % 3

    def train(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled_step = tg.compile(train, backend="native")
    losses = [compiled_step(X, y).item() for _ in range(20)]
    assert losses[-1] < losses[0]
    assert calls(compiled_step) == [line for line in calls(compiled_step) if "call" in line]  # numbers of the schedule
    scratch = [v for v in compiled_step.program.captured if v.scratch]
    assert scratch


# --- compiling ----------------------------------------------------------------------------------------------


def test_equal_nests_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(cache, "_entries", {})
    monkeypatch.setattr(code, "compiled", lambda text: (texts.append(text), machine.compiled(text))[1])

    def step(x: Any) -> Any:
        for _ in range(30):
            x = tg.tanh(x @ w) * 2.0
        return x

    w = np.random.default_rng(0).normal(size=(8, 8)) * 0.3
    compiled_step = tg.compile(step, backend="native")
    x = np.random.default_rng(1).normal(size=(5, 8))
    compiled_step(x)
    np.testing.assert_allclose(np.asarray(compiled_step(x)), np.asarray(step(x)), rtol=1e-10)
    (text,) = texts
    assert 1 <= text.count("define internal void @nest") <= 3


def test_the_text_is_the_same_in_every_process() -> None:
    """Compiled code is kept on disk by its text, so nothing may depend on addresses or on the order of a set."""
    script = (
        "import hashlib, numpy as np, tensorgrad as tg\n"
        "from tensorgrad.compiler.native import code\n"
        "compiled = code.compiled\n"
        "def shown(text):\n"
        "    print(len(text), hashlib.sha256(text.encode()).hexdigest())\n"
        "    return compiled(text)\n"
        "code.compiled = shown\n"
        "def f(x):\n"
        "    y = tg.tanh(x) + tg.exp(-x) * tg.log(1 + x * x)\n"
        "    return (y / (1 + y.sum(axis=0)) + tg.concatenate([x[1:], x[:1] * 2.0])).mean(axis=1)\n"
        "step = tg.compile(lambda x: tg.grad(lambda x: (f(x) ** 2).sum())(x), backend='native')\n"
        "step(np.ones((30, 40)))\n"
    )
    made = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env).stdout
        for env in ({**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    ]
    assert made[0] == made[1]
    assert len(made[0]) > 60


def test_functions_of_other_kinds_of_numbers() -> None:
    """Logic on floats, filled integers: what has no native form is still right."""

    def step(x: Any) -> Any:
        both = np.logical_and(x, np.greater(x, -0.5))
        count = np.full_like(np.greater(x, 0.0).astype(np.int64), 2.7)
        return np.where(both, x, 0.0), np.logical_not(x), np.add(count, 1), np.where(np.isinf(x), 1.0, np.sign(x))

    compiled_step = tg.compile(step, backend="native")
    x = np.array([0.0, -0.0, 1.0, -1.0, -0.25, np.nan, np.inf])
    for _ in range(3):
        for one, other in zip(compiled_step(x), step(x), strict=True):
            np.testing.assert_array_equal(one, other)


# --- random programs ----------------------------------------------------------------------------------------


class WideStep(RandomStep):
    """Random instructions of more kinds: functions, parts, joins, products, casts, checks that hold."""

    def instruction(self, rng: np.random.Generator, pool: list[Any], own: list[Any], state: list[Any]) -> Any:
        if rng.random() < 0.4:
            return super().instruction(rng, pool, own, state)
        a = pool[rng.integers(len(pool))]
        kind = rng.choice(
            ["function", "function", "power", "part", "assign", "join", "clip", "cast", "filled", "product"]
        )
        made: Any = None
        if kind == "function":
            functions = [np.exp, np.expm1, np.tanh, np.reciprocal, np.sign, np.rint, np.floor, np.isfinite]
            made = functions[rng.integers(len(functions))](np.clip(a, -20.0, 20.0))
            made = np.where(made, a, 0.25) if made.dtype == bool else made
        elif kind == "power":
            made = np.clip(a, -5.0, 5.0) ** [0, 1, 2, 3, 4][rng.integers(5)]
        elif kind == "part" and a.ndim:
            made = a[int(rng.integers(a.shape[0]))] if rng.random() < 0.5 else a[..., :: int(rng.integers(1, 3))]
        elif kind == "assign":
            target = own[rng.integers(len(own))] if own and rng.random() < 0.5 else state[rng.integers(3)]
            if target.ndim:
                last = target.shape[-1]
                index = [np.s_[0], np.s_[..., last - 1], np.s_[..., ::2], np.s_[..., ::-1], np.s_[1:]][rng.integers(5)]
                part = target[index]
                target[index] = part[..., ::-1] * 1.0 if part.ndim and rng.random() < 0.5 else 0.75
            return None
        elif kind == "join":
            joined = np.concatenate([np.reshape(a, (-1,)), np.reshape(pool[0], (-1,))])
            made = joined if rng.random() < 0.5 else np.stack([a, np.multiply(a, 0.5)])
            if made.size > 200:
                return None
        elif kind == "clip":
            made = np.clip(a, -1.0, 0.5)
        elif kind == "cast":
            other = np.float64 if self.dtype == np.float32 else np.float32
            made = np.clip(a, -1e3, 1e3).astype(other).astype(self.dtype)
        elif kind == "filled":
            made = [np.ones_like, np.zeros_like, lambda x: np.full_like(x, 0.3)][rng.integers(3)](a)
        elif a.ndim == 2:
            made = np.matmul(np.clip(a, -10.0, 10.0), np.clip(np.transpose(a), -10.0, 10.0))
        if made is not None and getattr(made, "shape", ()):
            own.append(made)
        return made


def agree(got: Any, expected: Any) -> None:
    """Equal up to rounding; what cancels to nothing may leave something of the size of rounding."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    rtol = 1e-4 if got.dtype == np.float32 else 1e-10
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * min(size, 1e30) * 1e-2)


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int) -> None:
    step = WideStep(1000 + seed, length=4 + seed % 20)
    compiled_step = tg.compile(step, backend="native")
    for _ in range(2):
        arguments = step.arguments()
        for _ in range(2):
            step.reset()
            expected = [np.array(a) for a in step(*[a.copy() for a in arguments])]
            after = [a.copy() for a in step.state]
            step.reset()
            got = compiled_step(*[a.copy() for a in arguments])
            for one, other in zip([*got, *step.state], [*expected, *after], strict=True):
                agree(one, other)


# --- legality: each rule, and what happens without it -------------------------------------------------------


def runs_as_eager(function: Callable[..., Any], *states: Any, shape: tuple[int, ...] = (600,)) -> None:
    """Compare a step with its compiled form: what it returns, and the arrays that it writes to."""
    initial = [s.copy() for s in states]
    step = tg.compile(function, backend="native")
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    step(x)
    for k in range(2):
        for s, before in zip(states, initial, strict=True):
            s[...] = before
        expected = [np.array(a) for a in function(x + k)], [s.copy() for s in states]
        for s, before in zip(states, initial, strict=True):
            s[...] = before
        got = step(x + k)
        for one, other in zip([*got, *states], [*expected[0], *expected[1]], strict=True):
            np.testing.assert_allclose(np.asarray(one), other, rtol=1e-12, atol=1e-12)


def memory_is_read_before_it_is_overwritten() -> None:
    state = np.arange(600.0)

    def step(x: Any) -> Any:
        s = tg.array_of(state)
        product, total = np.multiply(x, s), np.sum(np.square(s))
        np.add(s, x, out=s)
        return product, total, np.add(s, 1.0)

    runs_as_eager(step, state)


def a_reversed_array_is_read_before_it_is_overwritten() -> None:
    state = np.arange(600.0)

    def step(x: Any) -> Any:
        s = tg.array_of(state)
        turned = np.multiply(s[::-1], x)
        s[...] = turned
        return turned, np.add(s, 1.0)

    runs_as_eager(step, state)


def a_mean_is_known_before_it_is_subtracted() -> None:
    def step(x: Any) -> Any:
        centred = np.subtract(x, np.mean(x, axis=0))
        return centred, np.multiply(centred, np.sum(np.square(centred), axis=0))

    runs_as_eager(step, shape=(30, 20))


def what_was_computed_stays_after_a_write_to_its_operand() -> None:
    state = np.arange(600.0)

    def step(x: Any) -> Any:
        s = tg.array_of(state)
        first = np.multiply(x, s)
        np.add(s, 1.0, out=s)
        again = np.multiply(x, s)
        return np.subtract(again, first), np.multiply(first, 1.5)

    runs_as_eager(step, state)


def a_product_is_computed_before_its_factor_is_overwritten() -> None:
    state = np.linspace(0, 1, 600).reshape(20, 30)

    def step(x: Any) -> Any:
        s = tg.array_of(state)
        tripled = np.multiply(s, 3.0)
        made = np.matmul(s, x)
        np.multiply(s, 2.0, out=s)
        return tripled, made, np.matmul(s, x)

    runs_as_eager(step, state, shape=(30, 20))


def a_part_is_written_after_the_whole() -> None:
    def step(x: Any) -> Any:
        before = np.multiply(x[:-1], 3.0)
        y = np.multiply(x, 2.0)
        y[1:] = x[:-1]
        return before, y, np.square(y)

    runs_as_eager(step)


def a_concatenation_stays_after_a_write_to_its_piece() -> None:
    def step(x: Any) -> Any:
        a, b = np.multiply(x, 2.0), np.multiply(x, 3.0)
        joined = np.concatenate([a, b])
        np.add(a, 100.0, out=a)
        return np.add(joined, 1.0), a

    runs_as_eager(step)


def an_operand_that_is_written_to_later_is_not_taken_for_its_product_with_one() -> None:
    def step(x: Any) -> Any:
        z = np.square(x)
        before = np.multiply(z, 1.0)
        np.add(z, 10.0, out=z)
        return np.add(before, 1.0), z

    runs_as_eager(step)


def scratch_memory_that_two_segments_use_is_written_to() -> None:
    memory = np.zeros(600)

    def step(x: Any) -> Any:
        w = tg.scratch(memory)
        np.multiply(x, -3.0, out=w)
        order = np.argsort(w)
        return np.add(w, 1.0), np.multiply(np.take(x, order), 2.0)

    runs_as_eager(step, memory)


def what_is_needed_later_keeps_its_memory() -> None:
    """Factors of products are in memory, and so are results."""

    def step(x: Any) -> Any:
        a, b, c = np.multiply(x, 2.0), np.add(x, 3.0), np.multiply(x, 0.5)
        first = np.matmul(a, np.transpose(b))
        second = np.matmul(first, c)
        third = np.matmul(np.square(second), np.transpose(a))
        return first, second, np.matmul(np.square(third), b), np.matmul(third, c)

    runs_as_eager(step, shape=(12, 20))


def what_numpy_calls_read_is_where_they_read_it() -> None:
    def step(x: Any) -> Any:
        a, b = np.multiply(x, 2.0), np.multiply(x, 3.0)
        sums = np.cumsum(a, axis=0), np.cumsum(b, axis=0)  # not native
        return np.add(*sums), np.multiply(*sums), np.exp(-np.square(np.add(a, b)))

    runs_as_eager(step, shape=(30, 20))


def an_argument_is_memory_that_the_step_writes_to() -> None:
    """The traced argument was other memory; native code could not know."""
    memory = np.arange(601.0)

    def step(x: Any) -> Any:
        before = np.multiply(x, 3.0)
        np.add(tg.array_of(memory), 1.0, out=tg.array_of(memory))
        return before, np.multiply(x, 2.0)

    compiled = tg.compile(step, backend="native")
    compiled(np.ones(600))
    for part in (slice(1, None), slice(None, -1)):
        results = []
        for run in (step, compiled):
            memory[:] = np.arange(601.0)
            results.append([*run(memory[part]), memory.copy()])
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)
    assert compiled.traces == 1


SCENARIOS = (
    memory_is_read_before_it_is_overwritten,
    a_reversed_array_is_read_before_it_is_overwritten,
    a_mean_is_known_before_it_is_subtracted,
    what_was_computed_stays_after_a_write_to_its_operand,
    a_product_is_computed_before_its_factor_is_overwritten,
    a_part_is_written_after_the_whole,
    a_concatenation_stays_after_a_write_to_its_piece,
    an_operand_that_is_written_to_later_is_not_taken_for_its_product_with_one,
    scratch_memory_that_two_segments_use_is_written_to,
    what_is_needed_later_keeps_its_memory,
    what_numpy_calls_read_is_where_they_read_it,
    an_argument_is_memory_that_the_step_writes_to,
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_memory_has_what_it_has_uncompiled(scenario: Callable[[], None]) -> None:
    scenario()


def without_overlaps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "overlaps", lambda reader, writer: False)


def everything_together(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "_harmless", lambda reader, writer, last: True)


def factors_may_be_overwritten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "crosses", lambda one, other: False)


def nothing_is_made(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order.Order, "made_in", lambda self, node, number: None)


def parts_in_any_order(patch: pytest.MonkeyPatch) -> None:
    plain = order.Order.range

    def changed(self: Any, item: Any) -> Any:
        item.after = None
        return plain(self, item)

    patch.setattr(order.Order, "range", changed)


def pieces_may_change(patch: pytest.MonkeyPatch) -> None:
    def changed(program: Any, native: Any, viewing: Any) -> Any:
        return {i.results[0]: i for i in native if i.function is np.concatenate}

    patch.setattr(schedule, "_joined", changed)


def versions_do_not_count(patch: pytest.MonkeyPatch) -> None:
    plain = Program.count_versions

    def changed(self: Any) -> None:
        plain(self)
        for instruction in self.instructions:
            instruction.versions = {}

    patch.setattr(Program, "count_versions", changed)


def writes_do_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passes, "bisect_right", lambda numbers, number: -1)


def scratch_is_private(patch: pytest.MonkeyPatch) -> None:
    plain = schedule.Schedule.__init__

    def changed(self: Any, *args: Any) -> None:
        plain(self, *args)
        first = next(item for item in self.items if item.native)
        self.scratch = {region: {first} for region in self.scratch}

    patch.setattr(schedule.Schedule, "__init__", changed)


def lives_end_too_early(patch: pytest.MonkeyPatch) -> None:
    plain = arena.lives_of

    def changed(uses: Any) -> Any:
        return {slot: arena.Life(life.first, life.first) for slot, life in plain(uses).items()}

    patch.setattr(arena, "lives_of", changed)


def results_are_free_until_the_end(patch: pytest.MonkeyPatch) -> None:
    plain = arena.arranged

    def changed(pieces: Any, lives: Any, results: Any) -> Any:
        return plain(pieces, {**lives, **{slot: arena.Life(10**6, 10**6) for slot in results}}, results)

    patch.setattr(arena, "arranged", changed)


def names_move_with_results(patch: pytest.MonkeyPatch) -> None:
    plain = arena.arranged

    def changed(pieces: Any, lives: Any, results: Any) -> Any:
        return plain([piece._replace(stays=False) for piece in pieces], lives, results)

    patch.setattr(arena, "arranged", changed)


def any_memory_may_be_an_argument(patch: pytest.MonkeyPatch) -> None:
    plain = tables.Tables.put
    patch.setattr(tables.Tables, "put", lambda self, addresses, ranges: plain(self, addresses, [(0, 0)] * len(ranges)))


def of_wrong_numbers(*layout: Any) -> Any:
    """New memory, which could hold the right numbers by chance: of a run that ended before."""
    new = empty(*layout)
    new[...] = 17
    return new


@pytest.mark.parametrize(
    "mutation",
    [
        without_overlaps,
        everything_together,
        factors_may_be_overwritten,
        nothing_is_made,
        parts_in_any_order,
        pieces_may_change,
        versions_do_not_count,
        writes_do_not_count,
        scratch_is_private,
        lives_end_too_early,
        results_are_free_until_the_end,
        names_move_with_results,
        any_memory_may_be_an_argument,
    ],
)
def test_each_rule_of_legality_is_needed(mutation: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, some program computes something else."""
    mutation(monkeypatch)
    monkeypatch.setattr(code, "empty", of_wrong_numbers)
    monkeypatch.setattr(cache, "_entries", {})  # of code that was compiled without the mutation
    monkeypatch.setattr(tiers.warnings, "warn", lambda *args, **kwargs: None)  # of native code that fails
    caught = 0
    for scenario in SCENARIOS:
        try:
            scenario()
        except (AssertionError, tg.GraphError):
            caught += 1
    assert caught


# --- checks ---------------------------------------------------------------------------------------------------


def test_a_check_that_fails_in_any_segment_leaves_what_an_uncompiled_step_leaves(monkeypatch: Any) -> None:
    """Wherever a run is broken off, the uncompiled step begins with the state, and the random numbers, of before."""

    def made() -> tuple[Any, Any]:
        model = nn.MLP((6, 8, 8, 3), norm="batch", dropout=0.2, rng=0)
        one, two = nn.AdamW(list(model.parameters())[:3], lr=0.01), nn.SGD(list(model.parameters())[3:], lr=0.01)

        def train(X: Any, y: Any) -> Any:
            one.zero_grad()
            two.zero_grad()
            loss = nn.CrossEntropyLoss()(model(X), y)
            loss.backward()
            one.step()
            two.step()
            return loss

        return model, train

    calls = [0, -1]
    plain = machine.Library.function

    def function(library: Any, name: str) -> Any:
        made = plain(library, name)

        def run(*args: Any) -> int:
            failed = made(*args)
            checked = [f"run_{segment}" for segment, check in step._last().code._segments.values() if check is not None]
            calls[0] += name in checked
            return 1 if name in checked and calls[0] == calls[1] else failed

        return run if name.startswith("run_") else made

    monkeypatch.setattr(machine.Library, "function", function)
    monkeypatch.setattr(code, "groupby", lambda items, key: ((key(item), [item]) for item in items))  # a call for each
    (eager_model, eager), (model, train) = made(), made()
    step = tg.compile(train, backend="native")
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(16, 6)).astype(np.float32), rng.integers(0, 3, 16)
    eager(X, y), step(X, y)
    calls[:] = [0, -1]
    eager(X, y), step(X, y)
    count = calls[0]
    assert count >= 2
    for broken in range(1, count + 1):
        for name, value in model.state_dict().items():
            eager_model.state_dict()[name][...] = value
        calls[:] = [0, broken]
        before = {name: np.array(value) for name, value in model.state_dict().items()}
        with pytest.warns(RuntimeWarning, match="not finite") if broken == 1 else nullcontext():
            got = step(X, y).item()
        assert calls[0] == broken
        after = {name: np.array(value) for name, value in model.state_dict().items()}
        eager_model.load_state_dict(before)
        assert eager(X, y).item() == pytest.approx(got, rel=1e-6)
        for name, value in eager_model.state_dict().items():
            np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_equal_programs_share_a_library_and_nothing_else() -> None:
    def made(start: float) -> tuple[tg.Tensor, Any]:
        w = tg.Tensor(np.full(300, start), requires_grad=True)

        def step(x: Any) -> Any:
            w.grad = None
            loss = (tg.exp(w * x) + w).sum()
            loss.backward()
            tg.writes_to(w, "step")[...] -= 0.1 * tg.array_of(w.grad)
            return loss

        return w, tg.compile(step, backend="native")

    starts, rng = (0.5, -0.25), np.random.default_rng(0)
    weights, steps = zip(*map(made, starts), strict=True)
    expected = [np.full(300, start) for start in starts]
    for _ in range(4):
        x = rng.normal(size=300)
        for w, step, value in zip(weights, steps, expected, strict=True):
            np.testing.assert_allclose(step(x).item(), (np.exp(value * x) + value).sum(), rtol=1e-12)
            value -= 0.1 * (x * np.exp(value * x) + 1)
            np.testing.assert_allclose(w.data, value, rtol=1e-12)
    libraries = [step._latest.code._library for step in steps]
    assert libraries[0] is libraries[1]
    del libraries, steps, step
    w, step = made(0.5)
    assert step(np.zeros(300)).item() == pytest.approx(450)
