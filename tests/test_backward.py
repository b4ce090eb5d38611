"""backward(): its protocol, and writes to memory that it needs (PROMISES B and C)."""

import re

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.engine import writes
from tensorgrad.engine.record import record
from tensorgrad.errors import DTypeError, GraphError, InplaceError, ShapeError


def leaf(*values, **how):
    return tg.Tensor(values[0] if len(values) == 1 else values, dtype=np.float64, requires_grad=True, **how)


# --- protocol -------------------------------------------------------------------------------------------


@pytest.mark.promise("B1")
def test_backward_twice_is_an_error_that_names_both_places():
    x = leaf(1.0, 2.0)
    loss = tg.exp(x).sum()
    loss.backward()
    with pytest.raises(GraphError, match=r"second time.*test_backward.py:\d+.*retain_graph=True"):
        loss.backward()
    np.testing.assert_array_equal(x.grad, np.exp([1.0, 2.0]))


def test_going_through_a_freed_part_is_an_error_too():
    x = leaf(3.0)
    shared = x * x
    (2 * shared).backward()
    with pytest.raises(GraphError, match=r"through multiply.*second time"):
        (5 * shared).backward()


@pytest.mark.promise("B2")
def test_retain_graph():
    x = leaf(1.0, 2.0)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, [4.0, 8.0])
    loss.backward()
    np.testing.assert_array_equal(x.grad, [6.0, 12.0])
    with pytest.raises(GraphError, match="second time"):
        loss.backward()


@pytest.mark.promise("B3")
def test_two_losses_on_one_subgraph():
    x = leaf(3.0)
    square = x * x
    (2 * square).backward(retain_graph=True)
    (5 * square).backward()
    assert x.grad == 42.0


@pytest.mark.promise("B4")
def test_fresh_graphs_accumulate():
    x = leaf(3.0)
    (x * x).backward()
    first = x.grad
    (x * x).backward()
    assert x.grad == 12.0
    assert first == 6.0  # the earlier gradient does not change
    x.grad = None
    (x * x).backward()
    assert x.grad == 6.0


@pytest.mark.promise("B5")
def test_the_root_must_be_a_scalar():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"scalar.*\(2,\).*backward\(gradient="):
        (x * 2).backward()
    (x * 2).backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad, [2.0, 20.0])
    (x.sum() * leaf([[1.0]])).backward()  # one element is enough


@pytest.mark.promise("B6")
@pytest.mark.parametrize("gradient", [np.ones(3), np.ones((1, 2)), 1.0, [[1.0], [1.0]]])
def test_the_gradient_given_must_have_the_roots_shape(gradient):
    with pytest.raises(ShapeError, match=rf"{re.escape(str(np.shape(gradient)))}, expected \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(gradient)


@pytest.mark.promise("B7")
def test_a_root_that_requires_no_grad_says_why():
    with pytest.raises(GraphError, match=r"does not require grad: .*requires_grad=False"):
        tg.Tensor(1.0).backward()
    with tg.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(GraphError, match=r"does not require grad: .*no_grad\(\)"):
        y.backward()
    with pytest.raises(GraphError, match=r"does not require grad: .*integer"):
        tg.Tensor(1).backward()


@pytest.mark.promise("B8")
@pytest.mark.parametrize("raised", [RuntimeError("boom"), KeyboardInterrupt()])
def test_an_exception_in_the_middle_changes_nothing(raised):
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    fail = True

    def rule(xp, g):
        if fail:
            raise raised
        return g

    loss = (record("fragile", lambda a: a * 1, (tg.exp(x),), (rule,)) * w).sum()
    with pytest.raises(type(raised)) as caught:
        loss.backward()
    assert caught.value is raised
    assert any("backward of fragile" in note and "test_backward.py" in note for note in raised.__notes__)
    assert x.grad is None
    assert w.grad is None
    fail = False
    loss.backward()  # the graph is unchanged
    np.testing.assert_array_equal(x.grad, np.exp([1.0, 2.0]) * [3.0, 4.0])


@pytest.mark.promise("B9")
def test_the_gradient_of_a_result():
    x = leaf(3.0)
    y = x * x
    with pytest.raises(GraphError, match=r"multiply.*retain_grad\(\)"):
        y.grad
    y.retain_grad()
    assert y.grad is None
    (2 * y).backward()
    assert y.grad == 2.0
    assert isinstance(y.grad, np.ndarray)


@pytest.mark.promise("B10")
def test_changing_the_given_gradient_afterwards_does_not_matter():
    for f in (lambda x: x * 1.0, lambda x: x + 0.0, lambda x: x.reshape(2), lambda x: x[:], lambda x: x):
        x = leaf(1.0, 2.0)
        g = np.ones(2)
        f(x).backward(g)
        g[:] = 7
        np.testing.assert_array_equal(x.grad, [1.0, 1.0])


SHARING = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "reshape": lambda a, b: a.reshape(2, 1) + b.reshape(2, 1),
    "sum": lambda a, b: a.sum() + b.sum(),
    "concatenate": lambda a, b: tg.concatenate([a, b]),
    "stack": lambda a, b: tg.stack([a, b]),
    "broadcast": lambda a, b: tg.broadcast_to(a, (3, 2)) + b,
    "slices": lambda a, b: a[::-1] + b,
}


@pytest.mark.promise("B11")
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("case", SHARING)
def test_gradients_share_no_memory_and_can_be_written_to(case, create_graph):
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    out = SHARING[case](a, b)
    g = np.ones(out.shape)
    out.backward(g, create_graph=create_graph)
    ga, gb = (x.grad.data if create_graph else x.grad for x in (a, b))
    for one, other in ((ga, gb), (ga, g), (gb, g), (ga, a.data), (gb, b.data)):
        assert not np.shares_memory(one, other)
    ga += 1
    gb += 1


@pytest.mark.promise("B12")
def test_one_tensor_in_several_places():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad == 6.0
    m = leaf([[1.0, 2.0], [3.0, 4.0]])
    (m @ m.T).sum().backward()
    np.testing.assert_array_equal(m.grad, 2 * np.array([[4.0, 6.0], [4.0, 6.0]]))
    v = leaf(1.0, 2.0)
    (tg.concatenate([v, v]) * np.arange(4.0)).sum().backward()
    np.testing.assert_array_equal(v.grad, [2.0, 4.0])
    v.grad = None
    (tg.where([True, False], v, v) * [2.0, 3.0]).sum().backward()
    np.testing.assert_array_equal(v.grad, [2.0, 3.0])


@pytest.mark.promise("B13")
def test_a_leaf_as_root():
    x = leaf(3.0)
    x.backward()
    assert x.grad == 1.0
    assert not np.shares_memory(x.grad, x.data)
    v = leaf(1.0, 2.0)
    g = np.ones(2)
    v.backward(g)
    assert not np.shares_memory(v.grad, g)


@pytest.mark.promise("B15")
def test_equal_leaves_are_not_the_same():
    a, b = leaf(1.0, name="a"), leaf(1.0, name="b")
    (2 * a + 3 * b).backward()
    assert (a.grad, b.grad) == (2.0, 3.0)


@pytest.mark.promise("B16")
def test_tensors_that_are_cut_off_get_no_gradient():
    x, unused, cut = leaf(2.0), leaf(2.0), leaf(2.0)
    side = unused * 3
    with tg.no_grad():
        island = cut * 5
    (x * side.detach() + x * island).backward()
    assert x.grad == 6.0 + 10.0
    assert unused.grad is None
    assert cut.grad is None
    x.grad = None
    (x + 0.0 * unused).backward()
    assert unused.grad == 0.0


# --- hooks ----------------------------------------------------------------------------------------------


@pytest.mark.promise("B18")
def test_a_hook_may_write_to_its_gradient():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)

    def hook(g):
        g *= 100

    a.register_hook(hook)
    y = a + b
    y.register_hook(hook)
    y.sum().backward()
    np.testing.assert_array_equal(a.grad, [1.0, 1.0])
    np.testing.assert_array_equal(b.grad, [1.0, 1.0])


def test_what_a_hook_returns_replaces_the_gradient():
    x = leaf(1.0, 2.0)
    mine = np.array([5.0, 6.0])
    remove = x.register_hook(lambda g: mine)
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [5.0, 6.0])
    assert not np.shares_memory(x.grad, mine)
    remove()
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_a_hook_sees_the_whole_gradient_once():
    x = leaf(2.0)
    seen = []
    y = x * x
    y.register_hook(lambda g: seen.append(float(g)))
    (y + 3 * y).backward()
    assert seen == [4.0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_may_return_an_array_or_a_tensor(create_graph):
    for made in (
        lambda g: 2 * np.ones(2),
        lambda g: tg.Tensor([2.0, 2.0]),
        lambda g: np.ones(2, np.float32) * 2,
    ):
        x = leaf(1.0, 2.0)
        x.register_hook(made)
        (x * 3).sum().backward(create_graph=create_graph)
        grad = x.grad.data if create_graph else x.grad
        assert isinstance(x.grad, tg.Tensor if create_graph else np.ndarray)
        assert grad.dtype == np.float64
        np.testing.assert_array_equal(grad, [2.0, 2.0])


def test_the_hook_of_a_leaf_runs_while_backward_goes_on():
    first, twice, last = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    seen = []
    for name, tensor in {"first": first, "twice": twice, "last": last}.items():
        tensor.register_hook(lambda g, name=name: seen.append((name, g.tolist())))
    a = first * twice
    b = a * a
    b.register_hook(lambda g: seen.append(("b", g.tolist())))
    (b * last * twice).sum().backward()
    assert seen == [
        ("last", (b * twice).data.tolist()),
        ("b", (last * twice).data.tolist()),
        ("twice", twice.grad.tolist()),  # complete where it was used first
        ("first", first.grad.tolist()),
    ]
    np.testing.assert_array_equal(twice.grad, 3 * (first * first * twice * twice * last).data)


def test_the_hook_of_a_leaf_gets_its_gradient_once_however_often_it_is_used():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seen = []
    w.register_hook(lambda g: seen.append(g) or 10 * g)
    y = x
    for _ in range(4):
        y = y + w * x
    (y.sum() + w.sum()).backward()
    np.testing.assert_array_equal(seen, [[5.0, 9.0]])
    np.testing.assert_array_equal(w.grad, [50.0, 90.0])


def test_a_hook_without_a_copy_gets_the_gradient_itself():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    itself, copies = [], []
    x.register_hook(itself.append, copy=False)
    y.register_hook(copies.append)
    (x * y * 2).sum().backward()
    assert np.shares_memory(itself[0], x.grad)
    assert not np.shares_memory(copies[0], y.grad)
    np.testing.assert_array_equal(copies[0], y.grad)


def test_a_hook_is_called_again_with_a_gradient_that_was_repaired():
    x, w = leaf(0.0, 4.0), leaf(1.0, 1.0)
    seen = {"x": [], "w": []}
    x.register_hook(lambda g: seen["x"].append(g.tolist()))
    w.register_hook(lambda g: seen["w"].append(g.tolist()))
    (tg.sqrt(x) * w * np.array([0.0, 1.0])).sum().backward()  # zero times an infinite derivative
    np.testing.assert_array_equal(seen["x"], [[np.nan, 0.25], [0.0, 0.25]])
    np.testing.assert_array_equal(seen["w"], [[0.0, 2.0]] * 2)
    np.testing.assert_array_equal(x.grad, [0.0, 0.25])


def test_a_hook_that_returns_another_shape():
    x = leaf(1.0, 2.0, name="weights")
    x.register_hook(lambda g: g[:1])
    with pytest.raises(ShapeError, match=r"hook on weights .*\(1,\).*\(2,\)"):
        x.sum().backward()
    assert x.grad is None


# --- malformed rules --------------------------------------------------------------------------------------

WRONG_RULES = {
    "shape": (lambda xp, g: np.ones(3), ShapeError, r"rule of mine for input 0 .*\(3,\).*\(2,\)"),
    "None": (lambda xp, g: None, TypeError, r"rule of mine for input 0 returned NoneType.*\(2,\)"),
    "float": (lambda xp, g: 1.0, TypeError, "rule of mine for input 0 returned float"),
    "complex": (lambda xp, g: 1j * g, DTypeError, "rule of mine for input 0 .*complex128.*float64"),
    "its own AttributeError": (lambda xp, g: g.nothing, AttributeError, "nothing"),
}


@pytest.mark.promise("B17")
@pytest.mark.parametrize("case", WRONG_RULES)
def test_a_rule_that_returns_no_gradient(case):
    rule, error, words = WRONG_RULES[case]
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match=words):
        record("mine", lambda a: a * 1, (x,), (rule,)).sum().backward()
    assert x.grad is None


def test_the_second_of_two_equal_inputs_is_named():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    good, bad = (lambda xp, g: g), (lambda xp, g: g[:, None])
    with pytest.raises(ShapeError, match="input 1"):
        record("mine", np.add, (x, y), (good, lambda xp, g: np.ones(5))).sum().backward()
    with pytest.raises(ValueError, match=r"mine: expected one rule per input \(2\), got 1"):
        record("mine", np.add, (x, y), (good,))
    with pytest.raises(GraphError, match=r"parameters after .*'saved'"):
        record("mine", np.exp, (x,), (lambda xp, g, saved: g,))
    with pytest.raises(ShapeError, match="input 1"):
        record("mine", np.add, (x, y), (good, bad)).sum().backward()


# --- writes to memory -------------------------------------------------------------------------------------


@pytest.mark.promise("C1")
def test_the_array_given_to_tensor_is_copied():
    a = np.ones(2)
    x = tg.Tensor(a, requires_grad=True)
    y = (x * x).sum()
    a[:] = 7
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])


@pytest.mark.promise("C5")
def test_rebinding_data_keeps_the_old_values_for_backward():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x.data = np.array([10.0, 20.0])
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


SAVING = {
    "exp": (lambda x: tg.exp(x), "result"),
    "tanh": (lambda x: tg.tanh(x), "result"),
    "sigmoid": (lambda x: tg.sigmoid(x), "result"),
    "sqrt": (lambda x: tg.sqrt(x), "result"),
}


@pytest.mark.promise("C7")
@pytest.mark.parametrize("case", SAVING)
def test_writing_to_a_saved_result(case):
    f, what = SAVING[case]
    y = f(leaf(1.0, 2.0))
    loss = y.sum()
    tg.writes_to(y, by="my update")[...] = 0
    message = (
        rf"{case} \(called at .*test_backward.py:\d+\) saved its {what}"
        r".*my update has written.*version 1, expected 0"
    )
    with pytest.raises(InplaceError, match=message):
        loss.backward()


@pytest.mark.parametrize("operand", [0, 1])
def test_writing_to_a_saved_input(operand):
    a, b = tg.exp(leaf(1.0, 2.0)), tg.log(leaf(3.0, 4.0))
    loss = (a * b).sum()
    tg.writes_to((a, b)[operand], by="my update")[...] = 0
    with pytest.raises(InplaceError, match=r"saved its input '(exp|log)'|saved its result"):
        loss.backward()


def test_writing_through_the_engines_own_setitem():
    x = leaf(1.0, 2.0)
    y = tg.exp(x)
    loss = (y * y).sum()
    y[0] = 7.0
    with pytest.raises(InplaceError, match="setitem"):
        loss.backward()


@pytest.mark.promise("C13")
def test_writing_through_a_view():
    y = tg.exp(leaf([[1.0, 2.0], [3.0, 4.0]]))
    loss = y.sum()
    tg.writes_to(y.data[0], by="my update")[...] = 0
    with pytest.raises(InplaceError, match="version 1, expected 0"):
        loss.backward()


def test_a_result_that_was_needed_names_the_copy_to_write():
    x = leaf([1.0, 2.0])
    s = np.exp(x)
    s -= x
    with pytest.raises(InplaceError, match=r"exp .*saved its result.*write to a copy, s = s - x instead of s -= x"):
        s.sum().backward()


@pytest.mark.promise("C8")
def test_writing_to_an_array_that_nothing_saved():
    x = leaf(1.0, 2.0)
    y = x + 1
    loss = y.sum()
    tg.writes_to(y, by="my update")[...] = 0
    loss.backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


def test_writing_before_it_is_saved():
    x = leaf(1.0, 2.0)
    tg.writes_to(x, by="my update")[...] = 5
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [10.0, 10.0])


@pytest.mark.promise("C9")
def test_an_optimiser_step_before_backward():
    w = leaf(1.0, 2.0, name="w")
    loss = (w * w).sum()
    tg.writes_to(w, by="optimizer.step()")[...] -= 0.1
    with pytest.raises(InplaceError, match=r"multiply .*input 'w'.*optimizer.step\(\).*version 1, expected 0"):
        loss.backward()
    with pytest.raises(InplaceError, match=r"optimizer.step\(\)"):
        loss.backward(create_graph=True)
    assert w.grad is None


def test_many_writes_are_counted():
    w = leaf(1.0, 2.0)
    for _ in range(100):
        tg.writes_to(w, by="early")[...] = 1
    loss = (w * w).sum()
    for _ in range(3):
        tg.writes_to(w, by="late")[...] = 1
    with pytest.raises(InplaceError, match=r"late has written .*version 103, expected 100"):
        loss.backward()


@pytest.mark.promise("C12")
@pytest.mark.parametrize("fail", [False, True])
def test_arrays_are_writable_as_before(fail):
    a, locked = np.ones(3), np.ones(3)
    locked.flags.writeable = False
    x, y = tg.from_numpy(a, requires_grad=True), tg.from_numpy(locked, requires_grad=True)

    def rule(xp, g):
        if fail:
            raise RuntimeError("boom")
        return g

    out = record("mine", lambda v: v * 1, (x * y,), (rule,)).sum()
    assert a.flags.writeable
    if fail:
        with pytest.raises(RuntimeError):
            out.backward()
    else:
        out.backward()
    del out
    assert a.flags.writeable
    assert x.data.flags.writeable
    assert not locked.flags.writeable


@pytest.mark.parametrize("younger", ["a", "b"])
def test_one_gradient_for_two_results_one_of_which_is_used_again(younger):
    x, z = leaf(2.0, 3.0), leaf(5.0, 7.0)
    w = np.array([1.0, 10.0])
    a, b = x * 1.0, z * 1.0
    f = (a if younger == "a" else b) * 2.0
    ((a + b + f) * w).sum().backward()
    np.testing.assert_array_equal(x.grad, w * (3 if younger == "a" else 1))
    np.testing.assert_array_equal(z.grad, w * (3 if younger == "b" else 1))


def test_an_error_class_of_ones_own_in_a_forward_comes_out_as_it_is():
    class Strange(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    @tg.differentiable
    def f(x):
        raise Strange(1, 2)

    f.backward(lambda g, x, out: g)
    with pytest.raises(Strange, match="1 and 2"):
        f(leaf(1.0, 2.0))


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[1:], lambda a: np.lib.stride_tricks.as_strided(a, (2,))])
def test_writes_to_memory_that_is_not_numpys_are_seen(view):
    """Such an array's base is not an array; a window view's base is an object whose own base is an array."""
    array = view(np.frombuffer(bytearray(np.arange(3.0)), np.float64))
    x = tg.from_numpy(array, requires_grad=True)
    y = (x * x).sum()
    tg.writes_to(x, by="the test")[...] = 5.0
    with pytest.raises(InplaceError, match="the test has written"):
        y.backward()


# --- writes to saved arrays, as they are seen at a glance ------------------------------------------------


def views(a):
    return {
        "itself": a,
        "part": a[1:],
        "transposed": a.T,
        "of a view": a[1:][:, ::2],
        "broadcast": np.broadcast_to(a, a.shape),
    }


@pytest.mark.parametrize("writer", ["once", "again and again"])
@pytest.mark.parametrize("saved", ["itself", "part", "transposed", "of a view", "broadcast"])
@pytest.mark.parametrize("target", ["itself", "part", "transposed", "of a view"])
def test_a_glance_sees_what_a_look_sees(saved, target, writer):
    a, other = np.zeros((3, 4)), np.zeros(2)
    pairs = ((other, 2.0), (views(a)[saved],), ())
    owner = type("Owner", (), {})()
    if writer == "once":
        write = lambda: writes.written(views(a)[target], "test")
    else:
        write = writes.Writer("test", [views(a)[target]], owner).wrote
    write()
    now = writes.tick()
    assert writes.unwritten(pairs, now)
    writes.written(np.zeros(5), "test")  # to something else
    assert writes.unwritten(pairs, now)
    write()
    assert not writes.unwritten(pairs, now)
    assert writes.unwritten(pairs, writes.tick())
    del owner, write  # a writer that is gone has written all the same
    another = type("Owner", (), {})()
    writes.Writer("another", [a], another)
    assert not writes.unwritten(pairs, now)
    assert writes.later_writes(views(a)[saved], now).by == "test"


def test_a_glance_is_not_enough_for_other_memory():
    now = writes.tick()
    memory = np.frombuffer(bytearray(16))  # whose owner is not an array
    assert not writes.unwritten([(memory,)], now)
    assert not writes.unwritten([(np.ma.zeros(2),)], now)
    assert writes.later_writes(memory, now) is None


def test_running_statistics_that_a_graph_saved_must_not_be_written_to():
    layer = nn.BatchNorm(3)
    x = tg.Tensor(np.random.default_rng(0).normal(size=(4, 3)), dtype=np.float32, requires_grad=True)
    fine = (layer(x) * 2).sum()
    distance = (x * layer.running_mean).sum()
    layer(x)
    fine.backward()
    with pytest.raises(InplaceError, match=r"multiply .*saved its input 'running_mean'.*BatchNorm.forward has written"):
        distance.backward()
