"""The typed program: its types, its passes, each against the interpreter, and the code printed from it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.compiler import passes
from tensorgrad.compiler.interpreter import interpret
from tensorgrad.compiler.passes import Plan
from tensorgrad.engine.readings import require_finite
from tensorgrad.engine.staging import only_if_not_finite
from tensorgrad.errors import NeedsEager

from .programs import RandomStep, same

PASSES = [passes.remove_dead, passes.fold_constants, passes.merge_common, passes.clean_up, passes.merge_checks]


def compiled_once(step: Any, *arguments: Any) -> Any:
    compiled = tg.compile(step)
    compiled(*arguments)
    return compiled


def functions(program: Any) -> list[Any]:
    return [i.function for i in program.instructions]


def checked(program: Any, arguments: list[Any], captured: list[Any], expected: Any) -> None:
    got = interpret(program, arguments, captured)
    for one, other in zip(got.outputs, expected.outputs, strict=True):
        same(one, other)
    for one, other in zip(got.captured, expected.captured, strict=True):
        same(one, other)


def plan_is_legal(program: Any) -> None:
    """No instruction writes to a buffer whose value is still needed by a later one."""
    plan = Plan.of(program)
    holder: dict[int, Any] = {}
    for instruction in program.instructions:
        for variable in instruction.reads:
            if variable.owner in plan.places:
                assert holder[plan.places[variable.owner]] is variable.owner
        for variable in instruction.results:
            if variable in plan.places:
                holder[plan.places[variable]] = variable


@pytest.mark.parametrize("seed", range(60))
def test_random_steps(seed, monkeypatch):
    """Eager, the interpreter before and after every pass, and the printed code agree in every bit."""
    step = RandomStep(seed)
    seen: list[Any] = []

    def stepwise(program: Any) -> None:
        # The first run has written to the state already: start from what it was, in every interpretation.
        sources = [next(a for a in (*step.state, step.part) if a is v.source) for v in program.captured]
        step.reset()
        start = list(sources)
        arguments = [np.array(v.value) for v in program.arguments]
        expected = interpret(program, arguments, start)
        for change in PASSES:
            change(program)
            checked(program, arguments, start, expected)
            plan_is_legal(program)
        seen.append((program, expected))

    monkeypatch.setattr("tensorgrad.compiler.building.optimise", stepwise)
    arguments = step.arguments()
    eager = step(*[a.copy() for a in arguments])
    kept = [np.array(a) for a in eager]
    step.reset()
    compiled = tg.compile(step)
    compiled(*[a.copy() for a in arguments])
    ((program, expected),) = seen
    if len(expected.outputs) == 3:  # nothing was returned twice
        for one, other in zip(kept, expected.outputs, strict=True):
            same(one, other)
    for array in (arguments, step.arguments()):
        for _ in range(2):
            step.reset()
            eager = [np.array(a) for a in step(*[a.copy() for a in array])]
            after = [a.copy() for a in step.state]
            step.reset()
            got = compiled(*[a.copy() for a in array])
            for one, other in zip(got, eager, strict=True):
                same(one, other)
            for one, other in zip(step.state, after, strict=True):
                same(one, other)
    assert compiled.traces == 1
    assert program.instructions is compiled.program.instructions


def test_types_and_text():
    layer = nn.Linear(4, 3, rng=0)

    def step(x):
        h = layer(x)
        h.sum().backward()
        return tg.relu(h - h.mean(axis=0))

    compiled = compiled_once(step, np.ones((5, 4), np.float32))
    text = str(compiled.program)
    (x,) = compiled.program.arguments
    product = next(i for i in compiled.program.instructions if i.function is np.matmul)
    weights = product.args[1]
    labels = compiled.program.labels()
    assert labels[product.results[0]] == (labels[x][0], labels[weights][1])
    assert labels[x][1] == labels[weights][0]
    assert len({*labels[x], *labels[weights]}) == 3
    assert f"%{x.number}: float32[a=5, b=4] in r0 = argument" in text
    assert "elementwise maximum(" in text
    assert "reduction add.reduce(" in text
    assert text.splitlines()[-1].startswith("return %")
    with pytest.raises(tg.GraphError, match="first call"):
        _ = tg.compile(step).program


def test_memory_from_outside_that_is_shared_is_one_region_and_writes_count():
    whole = np.zeros(6)
    part = whole[2:4]

    def step(x):
        np.add(tg.array_of(whole), x, out=tg.array_of(whole))
        return tg.array_of(part) * 2.0

    program = compiled_once(step, np.ones(6)).program
    regions = {v.region for v in program.captured}
    assert len(regions) == 1
    (region,) = regions
    assert region.version == 1
    assert [i.versions.get(region) for i in program.instructions] == [0, 1]


def test_common_subexpressions_are_merged_and_not_across_a_write():
    state = np.zeros(3)

    def step(x):
        first = np.multiply(x, tg.array_of(state))
        again = np.multiply(x, tg.array_of(state))
        np.add(tg.array_of(state), x, out=tg.array_of(state))
        later = np.multiply(x, tg.array_of(state))
        return first + again + later

    compiled = compiled_once(step, np.ones(3))
    assert functions(compiled.program).count(np.multiply) == 2
    state[...] = 0
    for k in range(3):
        np.testing.assert_array_equal(compiled(np.ones(3)), np.full(3, 3 * k + 1.0))


def test_what_is_written_to_or_returned_is_not_merged_or_folded():
    def step(x):
        one, two = np.square(x), np.square(x)
        one[0] = 5.0
        ones = np.ones_like(x)
        ones[1] = 7.0
        return one, two, np.square(x), np.square(x), ones, np.ones_like(x)

    compiled = compiled_once(step, np.arange(3.0))
    for _ in range(3):
        results = compiled(np.arange(3.0))
        one, two, three, four, ones, fresh = results
        assert [one.tolist(), two.tolist(), ones.tolist()] == [[5, 1, 4], [0, 1, 4], [1, 7, 1]]
        assert three is not four
        assert not np.shares_memory(three, four)
        fresh += 1  # must not reach the next run
    assert compiled(np.arange(3.0))[5].tolist() == [1, 1, 1]


def test_a_constant_that_is_written_to_begins_anew_in_every_run():
    def step(x):
        ones = np.ones_like(x)
        ones += x
        first = np.zeros_like(x)[:1]
        first += 2.0
        return np.add(ones, 1.0), np.add(first, 1.0)

    compiled = compiled_once(step, np.arange(2.0))
    for _ in range(3):
        assert [result.tolist() for result in compiled(np.arange(2.0))] == [[2, 3], [3]]


def test_a_view_of_state_is_made_once_and_a_view_of_an_argument_in_each_run():
    state = np.ones((2, 3))
    compiled = compiled_once(lambda x: np.add(tg.array_of(state).T, x.T), np.ones((2, 3)))
    head, _, body = compiled.source.partition("def step")
    assert "state.T" in head
    assert body.count(".T") == 1
    state[:] = 2.0
    np.testing.assert_array_equal(compiled(np.ones((2, 3))), np.full((3, 2), 3.0))


def test_zeros_of_different_sign_are_different_constants():
    step = tg.compile(lambda x: (np.copysign(1.0, np.multiply(x, 0.0)), np.copysign(1.0, np.multiply(x, -0.0))))
    for _ in range(2):
        one, other = step(np.ones(2))
        assert (one.tolist(), other.tolist()) == ([1, 1], [-1, -1])


def test_a_product_with_one_is_its_operand_until_that_is_written_to():
    def step(x):
        y = np.square(x)
        same = np.multiply(y, 1.0)
        kept = np.add(np.multiply(1.0, same), 1.0)
        np.add(y, 10.0, out=y)
        z = np.square(x)
        before = np.multiply(z, 1.0)
        np.add(z, 10.0, out=z)
        return kept, before + z

    compiled = compiled_once(step, np.ones(2))
    assert functions(compiled.program).count(np.multiply) == 1
    for _ in range(2):
        kept, both = compiled(np.ones(2))
        assert (kept.tolist(), both.tolist()) == ([2, 2], [12, 12])


def test_a_product_with_one_of_an_argument_that_is_state_as_well():
    state = np.ones(2)

    def step(x):
        old = np.multiply(x, 1.0)
        np.add(tg.array_of(state), 1.0, out=tg.array_of(state))
        return np.add(old, 0.5)

    compiled = compiled_once(step, np.ones(2))
    compiled(np.ones(2))
    now = state.copy()
    np.testing.assert_array_equal(compiled(state), now + 0.5)


def test_constants_are_computed_once_and_dead_code_goes():
    def step(x):
        np.exp(x)  # not used
        return x * np.sum(np.ones_like(x))

    program = compiled_once(step, np.ones(3)).program
    assert np.exp not in functions(program)
    assert np.ones_like not in functions(program)


def test_passes_take_linear_time():
    def step(x):
        for _ in range(2000):
            x = np.multiply(np.add(x, 0.5), 1.0)
        return x

    compiled = compiled_once(step, np.ones(3))
    assert len(compiled.program.instructions) <= 2001
    np.testing.assert_array_equal(compiled(np.zeros(3)), np.full(3, 1000.0))


def test_the_text_names_checks_writes_and_axes_of_length_one() -> None:
    w = tg.Tensor([[1.0, 2.0]], requires_grad=True)

    @tg.compile
    def step(x: Any) -> Any:
        w.grad = None
        ((w * x) ** 2).sum().backward()
        memory = tg.writes_to(w, by="step")
        memory -= 0.1 * w.grad
        return w * 1.0

    step(np.ones((1, 2)))
    assert step._latest is not None
    lines = str(step._latest.program).splitlines()
    assert re.fullmatch(r"%0: float64\[1, a=2\] in r0 = argument", lines[0])
    (check,) = (line for line in lines if line.startswith("check "))
    assert re.fullmatch(r"check require_finite\(%\d+\)", check)
    (write,) = (line for line in lines if " store " in line)
    assert re.fullmatch(r"r1\.1 = store subtract\(%1, %\d+, out=%1\)", write)
    assert re.search(r"= elementwise multiply\(%1\.1, 1\.0\)$", lines[-2])  # the written one


def test_the_programs_for_two_lengths_are_compiled_once():
    w = tg.Tensor([1.0, -2.0], requires_grad=True, name="literal0")

    @tg.compile(backend="numpy")
    def step(x, y):
        w.grad = None
        hit = nn.functional.one_hot(y, 2)
        loss = tg.mean(tg.where(x * w > -np.inf, hit * x * w, 0.0)) * 0.3
        loss.backward()
        return loss, w.grad

    rng = np.random.default_rng(0)
    sources, codes = set(), set()
    for rows in (5, 4, 5):
        x, y = rng.normal(size=(rows, 2)), rng.integers(0, 2, rows)
        for _ in range(2):
            loss, gradient = step(x, y)
        expected, wanted = step.function(x, y)
        assert loss.item() == expected.item()
        assert np.array_equal(gradient, wanted)
        sources.add(step.source)
        codes.add(step._last().code.run.__code__)
        assert f"({rows}, 2)" in step.source
        assert "literal0" in step.source
        assert "\0" not in step.source
    assert (len(sources), len(codes), step.traces) == (2, 1, 2)


@tg.indivisible
@only_if_not_finite(returns=0.0)
def bad(*arrays: Any) -> float:
    """How many numbers are not finite."""
    return float(sum(np.count_nonzero(~np.isfinite(array)) for array in arrays))


@tg.indivisible
@only_if_not_finite(returns=None)
def both_finite(left: Any, right: Any) -> None:
    for name, array in (("left", left), ("right", right)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")


def checks(program: Any) -> list[Any]:
    return [i for i in program.instructions if passes.finite_check(i)]


def test_arrays_that_are_joined_are_checked_where_they_are_joined_and_once():
    def step(x, y):
        a, b = np.square(x), np.add(y, 1.0)
        require_finite(a, b, x)
        joined = np.concatenate([b, a], axis=None)
        return np.add(joined, bad(joined, a.T, b))

    compiled = compiled_once(step, np.ones(2), np.ones((2, 3)))
    (check,) = checks(compiled.program)
    joined = functions(compiled.program).index(np.concatenate)
    assert check.function.__name__ == "require_finite"
    assert check.reads == [compiled.program.arguments[0], *compiled.program.instructions[joined].results]
    assert compiled.program.instructions.index(check) == joined + 1
    expected = np.concatenate([np.full(6, 2.0), np.full(2, 1.0)])
    np.testing.assert_array_equal(compiled(np.ones(2), np.ones((2, 3))), expected)
    for x, y in ((np.array([np.nan, 1.0]), np.ones((2, 3))), (np.ones(2), np.full((2, 3), np.inf))):
        with pytest.raises(NeedsEager, match="a gradient was not finite"):
            compiled(x, y)


def test_a_check_stays_before_a_write_and_what_is_written_is_checked_again():
    state = np.ones(2)

    def step(x):
        memory, a = tg.array_of(state), np.square(x)
        require_finite(a, memory)
        np.add(memory, a, out=memory)
        joined = np.concatenate([a, memory], axis=None)
        return np.add(joined, bad(joined))

    program = compiled_once(step, np.ones(2)).program
    first, second = checks(program)
    writes = [i for i in program.instructions if i.writes is not None]
    assert program.instructions.index(first) < program.instructions.index(writes[0])
    assert len(first.reads) == 2
    assert second.function.__name__ == "bad"


def test_a_check_of_what_is_not_known_to_be_finite_stays():
    table = np.ones(2)

    def step(x, k):
        a = np.square(x)
        require_finite(a)
        return a + bad(a, k) + bad(a * 1e300) + bad(a, table)

    program = compiled_once(step, np.ones(2), 1.0).program
    assert len(checks(program)) == 4


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_other_checks_get_what_they_were_given_in_their_order_and_prove_nothing(backend):
    if backend == "native":
        pytest.importorskip("llvmlite")

    def step(x, y):
        a, b = np.square(x), np.multiply(y, 3.0)
        both_finite(a, b)
        joined = np.concatenate([a, b], axis=None)
        return joined + bad(joined)

    compiled = tg.compile(step, backend=backend, warn=False)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(np.ones(2), np.ones(1)), [1.0, 1.0, 3.0])
    with pytest.raises(ValueError, match="right is not finite"):
        compiled(np.ones(2), np.array([np.nan]))

    def counted(x, y):
        a, b = np.square(x), np.multiply(y, 3.0)
        twice = bad(a), bad(a)
        require_finite(b)
        both_finite(a, b)
        return np.concatenate([b, a], axis=None), *twice

    compiled = tg.compile(counted, backend=backend, warn=False)
    for _ in range(2):
        assert [float(n) for n in compiled(np.ones(2), np.ones(1))[1:]] == [0, 0]
    with pytest.raises(ValueError, match="left is not finite"):
        compiled(np.array([np.inf, 1.0]), np.ones(1))


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_no_other_check_keeps_nan_from_the_optimisers_check(backend):
    if backend == "native":
        pytest.importorskip("llvmlite")
    w = nn.Parameter([1.0, 2.0])
    optimizer = nn.SGD([w], lr=0.1)

    def step(scale):
        optimizer.zero_grad()
        tg.sum(w * w).backward()
        gradient = tg.array_of(w.grad) * tg.array_of(scale)
        w.grad = gradient
        count = bad(gradient)
        optimizer.step()
        return tg.Tensor(gradient * count)

    compiled = tg.compile(step, backend=backend, warn=False)
    compiled(tg.Tensor(1.0))
    before = w.data.copy()
    with pytest.raises(tg.NonFiniteError):
        compiled(tg.Tensor(np.nan))
    np.testing.assert_array_equal(w.data, before)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_a_gradient_is_repaired_before_an_optimiser_looks_at_it(backend):
    """Its infinite part belongs to a term that is 0; the check of the first group comes after that of backward."""
    if backend == "native":
        pytest.importorskip("llvmlite")
    a, b, c = nn.Parameter([1.0, 4.0]), nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = nn.SGD([{"params": [a]}, {"params": [b, c]}], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = tg.sum(tg.sqrt(a * x) * (x > 1)) + tg.sum(b * c)
        loss.backward()
        a.grad = a.grad / 2
        optimizer.step()
        return loss

    compiled = tg.compile(step, backend=backend, warn=False)
    compiled(tg.Tensor([2.0, 2.0]))
    a.data[:] = [0.0, 4.0]
    compiled(tg.Tensor([1.0, 2.0]))
    assert a.data[0] == 0
    assert np.isfinite(a.data).all()


def test_what_the_interpreter_refuses_and_what_comes_from_outside():
    sizes = iter([3, 3, 4])

    def step(x):
        made = tg.zeros(3)
        made += x
        return tg.array_of(made) * tg.host(lambda: np.ones(next(sizes)))

    program = compiled_once(step, np.ones(3)).program
    assert [i.kind for i in program.instructions if i.comes_from_outside] == ["host"]
    interpret(program, [np.ones(3)], [np.zeros(3) for _ in program.captured])
    with pytest.raises(NeedsEager, match=r"an array had shape \(4,\)"):
        interpret(program, [np.ones(3)], [np.zeros(3) for _ in program.captured])
