"""Tensor: what it accepts, dtypes and scalars, shapes and their errors (PROMISES E and F)."""

import copy
import datetime
import operator
import pickle
import re

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import DTypeError, GraphError, InplaceError, ShapeError

# --- what it accepts --------------------------------------------------------------------------------------


@pytest.mark.promise("E1")
@pytest.mark.parametrize("data", [1, [1, 2], True, np.arange(3), np.array([True])])
def test_only_floating_point_can_require_a_gradient(data):
    with pytest.raises(DTypeError, match=rf"floating point.*{np.asarray(data).dtype}.*dtype=np.float64"):
        tg.Tensor(data, requires_grad=True)
    t = tg.Tensor(data)
    with pytest.raises(DTypeError, match="floating point"):
        t.requires_grad = True
    assert tg.Tensor(np.real(data), dtype=np.float32, requires_grad=True).dtype == np.float32


@pytest.mark.promise("E2")
@pytest.mark.parametrize(
    ("data", "named"),
    [
        (np.array([1.0, None]), "object"),
        (np.array(["a"]), "<U1"),
        ("text", "<U4"),
        (b"bytes", "S5"),
        ([[1.0, 2.0], [3.0]], "cannot be made an array"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        (datetime.date(2020, 1, 1), "object"),
        (None, "object"),
        ({"a": 1}, "object"),
        (np.zeros(2, dtype=[("a", float)]), "'a'"),
    ],
)
def test_data_that_are_not_numbers_are_refused(data, named):
    with pytest.raises(DTypeError, match=re.escape(named)):
        tg.Tensor(data)
    if not isinstance(data, np.ndarray):
        with pytest.raises(DTypeError, match="multiply"):
            tg.Tensor([1.0, 2.0]) * data


def test_a_masked_array_is_refused():
    with pytest.raises(DTypeError, match=r"masked array.*filled"):
        tg.Tensor(np.ma.array([1.0, 2.0], mask=[True, False]))


@pytest.mark.promise("E10")
def test_big_endian_and_strided_arrays():
    t = tg.Tensor(np.array([1.0, 2.0], dtype=">f8"), requires_grad=True)
    assert t.dtype.isnative
    (t * t).sum().backward()
    assert t.grad.dtype.isnative
    base = np.arange(6.0)
    for array in (base[::-2], np.broadcast_to(2.0, (3,)), np.asfortranarray(base.reshape(2, 3))):
        x = tg.Tensor(array, requires_grad=True)
        np.testing.assert_array_equal(x.data, array)
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, 2 * array)
        assert x.data.flags.writeable


@pytest.mark.promise("E10")
def test_a_read_only_array_is_accepted():
    a = np.ones(2)
    a.flags.writeable = False
    x = tg.from_numpy(a, requires_grad=True)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    assert not a.flags.writeable


def test_from_numpy_shares_and_tensor_copies():
    a = np.zeros(2)
    shared, copied = tg.from_numpy(a), tg.Tensor(a)
    a[0] = 5.0
    assert shared.data[0] == 5.0
    assert copied.data[0] == 0.0
    with pytest.raises(TypeError, match="shares an ndarray's memory, got list"):
        tg.from_numpy([1.0])


# --- as a Python object -----------------------------------------------------------------------------------


@pytest.mark.promise("E5")
def test_truth():
    t = tg.Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"ambiguous.*\.any\(\)"):
        bool(t)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(t > 0)
    assert tg.Tensor(1.0)
    assert not tg.Tensor([[0.0]])
    assert tg.Tensor(2.0) > 1


@pytest.mark.promise("E5")
def test_membership_in_a_list_checks_identity_first():
    a, b = tg.Tensor([1.0, 2.0]), tg.Tensor([1.0, 2.0])
    assert a in [a, b]
    with pytest.raises(ValueError, match=r"ambiguous.*any\(\)"):
        [b].index(a)


def test_no_element_equals_none():
    t = tg.Tensor([[1.0, np.nan]], requires_grad=True)
    for found, expected in ((t == None, False), (t != None, True)):  # noqa: E711
        assert found.dtype == np.bool_
        np.testing.assert_array_equal(found, [[expected, expected]])
    with pytest.raises(DTypeError, match="less"):
        operator.lt(t, None)


@pytest.mark.promise("E6")
def test_hash_is_identity():
    a, b = tg.Tensor([1.0, 2.0]), tg.Tensor([1.0, 2.0])
    assert {a, b, a} == {b, a}
    assert len({a, b}) == 2
    assert {a: 1, b: 2}[b] == 2


def test_length_and_iteration():
    t = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(t) == 2
    first, second = t
    (first * second).sum().backward()
    np.testing.assert_array_equal(t.grad, [[3.0, 4.0], [1.0, 2.0]])
    for f in (len, iter):
        with pytest.raises(TypeError, match="0-d Tensor"):
            f(tg.Tensor(1.0))


def test_item_and_index():
    assert tg.Tensor([[2.5]], requires_grad=True).item() == 2.5
    with pytest.raises(ShapeError, match=r"exactly one element, got shape \(2,\)"):
        tg.Tensor([1.0, 2.0]).item()
    assert [10, 20, 30][tg.Tensor(2)] == 30
    with pytest.raises(DTypeError, match=r"integer.*float64"):
        [10, 20][tg.Tensor(1.0)]


def test_repr():
    x = tg.Tensor([1.0, 2.0], dtype="float32", requires_grad=True, name="x")
    assert repr(x) == "Tensor([1., 2.], dtype=float32, requires_grad=True, name='x')"
    assert repr(x * 2) == "Tensor([2., 4.], dtype=float32, op=multiply)"
    assert repr(tg.Tensor(3)) == "Tensor(3, dtype=int64)"
    hostile = tg.Tensor(1.0, name="<script>")
    assert "<script>" not in hostile._repr_html_()


def test_format():
    loss = (tg.Tensor([1.0, 2.0], requires_grad=True) / 3).sum()
    assert f"{loss:.3f}" == "1.000"
    assert f"{loss:>8.1e}" == " 1.0e+00"
    assert f"{loss}" == repr(loss)
    with pytest.raises(ShapeError, match=r"item\(\) needs exactly one element, got shape \(2,\)"):
        format(tg.Tensor([1.0, 2.0]), ".3f")


def test_flags_of_leaves_and_results():
    x = tg.Tensor(1.0, requires_grad=True)
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    assert y.requires_grad
    with pytest.raises(GraphError, match=r"multiply.*\.detach\(\)"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    assert y.detach().is_leaf


# --- dtypes -----------------------------------------------------------------------------------------------

SCALARS = [2.0, 2, True, np.float64(2), np.float32(2), np.int64(2), np.float16(2)]


@pytest.mark.promise("E7")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scalar", SCALARS)
def test_scalars_are_weak(dtype, scalar):
    x = tg.Tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    results = [x + scalar, scalar - x, x * scalar, scalar / x, x**scalar, tg.maximum(x, scalar)]
    for y in results:
        assert y.dtype == dtype
        x.grad = None
        y.sum().backward()
        assert x.grad.dtype == dtype


@pytest.mark.promise("E8")
def test_a_wider_constant_widens_the_result_but_not_the_gradient():
    x = tg.Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    y = x * np.array([2.0, 3.0])
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [2.0, 3.0])


@pytest.mark.promise("E9")
def test_results_without_axes_stay_arrays():
    x = tg.Tensor(3.0, requires_grad=True)
    for y in (
        x * x,
        tg.exp(x),
        x.sum(),
        tg.Tensor([1.0, 2.0]).sum(),
        tg.Tensor([1.0])[0],
        x @ x if x.ndim else x,
    ):
        assert isinstance(y.data, np.ndarray)
        assert y.shape == ()
    (x * x + x).backward()
    assert isinstance(x.grad, np.ndarray)
    assert x.grad.shape == ()
    (x * x).backward()
    assert isinstance(x.grad, np.ndarray)


def test_grad_can_be_set():
    x = tg.Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    x.grad = [3, 4]
    assert x.grad.dtype == np.float32
    (x * 1).sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 5.0])
    with pytest.raises(ShapeError, match=r"\(3,\), expected \(2,\)"):
        x.grad = np.ones(3)


# --- in place ---------------------------------------------------------------------------------------------

IN_PLACE = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
    "@=": operator.imatmul,
}


@pytest.mark.promise("C10")
@pytest.mark.parametrize("symbol", IN_PLACE)
def test_a_leaf_that_requires_grad_refuses_to_be_updated_while_recording(symbol):
    x = tg.Tensor(np.eye(2), requires_grad=True)
    with pytest.raises(GraphError, match=rf"{re.escape(symbol)}: .*\(2, 2\) is a leaf.*no_grad\(\)"):
        IN_PLACE[symbol](x, np.full((2, 2), 3.0))
    np.testing.assert_array_equal(x.data, np.eye(2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("symbol", IN_PLACE)
def test_a_leaf_is_updated_in_place_under_no_grad(symbol, dtype):
    start = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
    others = [np.array([[2.0, 1.0], [1.0, 3.0]]), tg.Tensor([[2.0, 1.0], [1.0, 3.0]]), [[2, 1], [1, 3]]]
    others += [] if symbol == "@=" else [2, 2.0, np.float64(2), np.array([2.0, 3.0])]
    for other in others:
        x = tg.Tensor(start, requires_grad=True)
        data, before = x.data, x
        with tg.no_grad():
            x = IN_PLACE[symbol](x, other)
        assert x is before
        assert x.data is data
        assert x.requires_grad
        expected = np.asarray(other.data if isinstance(other, tg.Tensor) else other, dtype=np.float64)
        expected = IN_PLACE[symbol](start.astype(np.float64), expected).astype(dtype)
        np.testing.assert_allclose(data, expected, rtol=2 * np.finfo(dtype).eps)
        assert data.dtype == dtype


def test_a_step_of_gradient_descent_by_hand():
    p = tg.Tensor([1.0, 2.0], requires_grad=True)
    alias = p
    (p * p).sum().backward()
    with tg.no_grad():
        p -= 0.25 * p.grad
    np.testing.assert_array_equal(alias.data, [0.5, 1.0])
    p.grad = None
    (p * p).sum().backward()
    np.testing.assert_array_equal(alias.grad, [1.0, 2.0])


def test_a_graph_from_before_an_update_is_stale():
    p = tg.Tensor([1.0, 2.0], requires_grad=True)
    loss = (p * p).sum()
    with tg.no_grad():
        p *= 2
    with pytest.raises(InplaceError, match=r"multiply.*\*= at .*test_tensor.py.*written to that memory"):
        loss.backward()


def test_what_does_not_fit_in_place_is_refused():
    p = tg.Tensor([1.0, 2.0], requires_grad=True)
    with tg.no_grad():
        for value, error, words in (
            (np.ones(3), ShapeError, r"\+=: .*\(2,\) and \(3,\).*lengths 2 and 3"),
            (np.ones((2, 2)), ShapeError, r"\+=: .*\(2,\) and \(2, 2\) do not give a result of shape \(2,\)"),
            (1j, DTypeError, r"\+=: .*float64.*complex"),
            ("text", DTypeError, r"\+=: got .*<U4"),
        ):
            with pytest.raises(error, match=words):
                p += value
        with pytest.raises(ShapeError, match=r"@=: .*\(2,\) and \(2, 3\)"):
            p @= np.ones((2, 3))
        array = np.ones(2)
        array.flags.writeable = False
        q = tg.from_numpy(array, requires_grad=True)
        with pytest.raises(InplaceError, match=r"-=: .*read-only"):
            q -= 1
    np.testing.assert_array_equal(p.data, [1.0, 2.0])


def test_results_and_constants_are_updated_in_place_and_recorded():
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    result, constant = x * 2, tg.Tensor([1.0, 2.0])
    memory = result.data
    for t in (result, constant):
        before = t
        t += x
        t *= x
        t -= 1.0
        t /= 2.0
        t **= 2.0
        assert t is before
        assert t.requires_grad
    assert result.data is memory
    np.testing.assert_array_equal(result.data, ((x.data * 3) * x.data - 1) ** 2 / 4)
    result.sum().backward()
    np.testing.assert_allclose(x.grad, (3 * x.data**2 - 1) * 6 * x.data / 2)
    x.grad = None
    constant.sum().backward()
    values = (np.array([1.0, 2.0]) + x.data) * x.data - 1
    np.testing.assert_allclose(x.grad, values * (np.array([1.0, 2.0]) + 2 * x.data) / 2)
    with tg.no_grad():
        before = constant
        constant -= 1
    assert constant is before


def test_an_in_place_matrix_product():
    x, w = tg.Tensor(np.eye(2) + 1, requires_grad=True), tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x * 1.0
    y @= w
    y.sum().backward()
    np.testing.assert_allclose(w.grad, np.full((2, 2), 3.0))
    np.testing.assert_allclose(x.grad, np.tile(w.data.sum(axis=1), (2, 1)))


@pytest.mark.promise("C7")
@pytest.mark.parametrize("f", [tg.exp, tg.tanh, lambda x: tg.sqrt(x) * 1.0 * x])
def test_an_in_place_update_of_a_saved_tensor_is_detected(f):
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = f(x)
    z = y * y
    y += 1.0
    with pytest.raises(InplaceError, match=r"(exp|tanh|multiply) .*saved.*\+= at .*version 1, expected 0"):
        (z + y).sum().backward()
    assert x.grad is None


@pytest.mark.promise("C8")
def test_an_in_place_update_of_an_unsaved_tensor_is_right():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = x + 1.0
    y *= 3.0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_what_does_not_fit_a_result_in_place_is_refused():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = x + 1.0
    with pytest.raises(ShapeError, match=r"\+=: .*\(3, 2\).*\(2,\).*x = x \+"):
        y += np.ones((3, 2))
    constant = tg.Tensor([1, 2])
    with pytest.raises(DTypeError, match=r"\*=: .*float64.*int64.*x = x \*"):
        constant *= x
    np.testing.assert_array_equal(y.data, [2.0, 3.0])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


# --- shapes -----------------------------------------------------------------------------------------------


@pytest.mark.promise("F1")
def test_matmul_names_what_does_not_fit():
    a, b = tg.Tensor(np.ones((4, 5))), tg.Tensor(np.ones((3, 2)))
    for f in (lambda: a @ b, lambda: tg.matmul(a, b), lambda: a.data @ b, lambda: np.matmul(a, b)):
        with pytest.raises(ShapeError, match=r"matmul.*\(4, 5\).*\(3, 2\).*5 != 3"):
            f()


BROADCASTING = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "maximum": tg.maximum,
    "minimum": tg.minimum,
    "logaddexp": tg.logaddexp,
    "where": lambda a, b: tg.where(True, a, b),
    "less": lambda a, b: a < b,
    "equal": lambda a, b: a == b,
}


@pytest.mark.promise("F2")
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("op", BROADCASTING)
def test_broadcasting_names_what_does_not_fit(op, grad):
    a, b = tg.Tensor(np.ones((4, 5)), requires_grad=grad), np.ones((3, 5))
    for other in (b, tg.Tensor(b)):
        with pytest.raises(ShapeError, match=rf"{op}: .*\(4, 5\).*\(3, 5\).*axis -2 has lengths 4 and 3"):
            BROADCASTING[op](a, other)


SHAPES = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (1, 2, 3)]


@pytest.mark.parametrize("one", SHAPES)
@pytest.mark.parametrize("two", SHAPES)
def test_gradients_of_broadcast_arguments(one, two):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=one), rng.normal(size=two)
    x, y = tg.Tensor(a, requires_grad=True), tg.Tensor(b, requires_grad=True)
    out = x * y + x - y
    weights = rng.normal(size=out.shape)
    out.backward(weights)
    for leaf, others_part in ((x, b + 1), (y, a - 1)):
        full = weights * np.broadcast_to(others_part, weights.shape)
        expected = np.zeros(leaf.shape)
        for index in np.ndindex(full.shape):  # every element of the result adds to the one it came from
            own = index[len(index) - leaf.ndim :]
            expected[tuple(i if n > 1 else 0 for i, n in zip(own, leaf.shape, strict=True))] += full[index]
        assert leaf.grad.shape == leaf.shape
        np.testing.assert_allclose(leaf.grad, expected, rtol=1e-12, atol=1e-14)


MISFITS = {
    "reshape": (lambda x: x.reshape(4, 2), "(2, 3)", "(4, 2)", "6 elements"),
    "transpose": (lambda x: x.transpose(0, 2), "axis 2", "2 dimensions"),
    "concat": (lambda x: tg.concat([x, np.ones((3, 2))]), "(3, 2)", "(2, 3)", "axis 0", "axis 1 has 2 and 3"),
    "stack": (lambda x: tg.stack([x, np.ones((3, 2))]), "array 1", "(3, 2)", "(2, 3)"),
    "split": (lambda x: tg.split(x, 2, axis=1), "axis 1", "(2, 3)", "length 3"),
    "getitem": (lambda x: x[5], "index 5", "axis 0", "size 2", "(2, 3)"),
    "sum": (lambda x: x.sum(axis=2), "axis 2", "2 dimensions"),
    "softmax": (lambda x: tg.softmax(x, axis=-3), "axis -3", "2 dimensions"),
    "squeeze": (lambda x: tg.squeeze(x, axis=0), "axis 0", "(2, 3)", "length 2"),
    "broadcast_to": (lambda x: tg.broadcast_to(x, (3, 3)), "(2, 3)", "(3, 3)", "axis -2"),
}


@pytest.mark.promise("F3")
@pytest.mark.parametrize("op", MISFITS)
def test_shapes_and_axes_that_do_not_fit_are_named(op):
    f, *pieces = MISFITS[op]
    with pytest.raises(IndexError if op == "getitem" else ShapeError) as caught:
        f(tg.Tensor(np.ones((2, 3)), requires_grad=True))
    assert str(caught.value).startswith(f"{op}: ")
    for piece in pieces:
        assert piece in str(caught.value)


@pytest.mark.promise("E12")
def test_empty_arrays():
    x = tg.Tensor(np.zeros((0, 3)), requires_grad=True)
    assert x.sum().item() == 0
    assert x.prod().item() == 1
    for name in ("mean", "max", "min", "var", "std"):
        with pytest.raises(ShapeError, match=rf"^{name}: shape \(0, 3\) has no elements"):
            getattr(tg, name)(x)
    m = tg.Tensor(np.ones((3, 2)), requires_grad=True)
    y = x @ m
    assert y.shape == (0, 2)
    y.sum().backward()
    assert x.grad.shape == (0, 3)
    np.testing.assert_array_equal(m.grad, np.zeros((3, 2)))
    inner = tg.Tensor(np.zeros((2, 0)), requires_grad=True) @ np.zeros((0, 4))
    np.testing.assert_array_equal(inner.data, np.zeros((2, 4)))


# --- copies -----------------------------------------------------------------------------------------------


def test_pickle_and_deepcopy_of_leaves():
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    (x * x).sum().backward()
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        np.testing.assert_array_equal(other.data, x.data)
        assert other.requires_grad
        assert other.name == "x"
        assert not np.shares_memory(other.data, x.data)
        (other * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_copies_of_results_have_no_history():
    y = tg.Tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        y = y * 1.0001
    for other in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert other.data == y.data
        assert not other.requires_grad


def test_a_copy_may_be_made_while_the_gradient_is_recorded():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    other = copy.deepcopy(x)
    np.testing.assert_array_equal(other.grad, x.grad.data)
    shared = copy.copy(x)
    assert shared.data is x.data


class Tagged(tg.Tensor):
    __slots__ = ("tag", "unset")
    tag: str


def test_a_copy_keeps_what_a_subclass_adds():
    x = Tagged([1.0, 2.0], requires_grad=True)
    x.tag = "mine"
    for other in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert type(other) is Tagged
        assert other.tag == "mine"
        assert other.node is not x.node


def test_remainders_by_operators():
    t = tg.Tensor([7.0, -7.0], requires_grad=True)
    assert (t % 3).data.tolist() == [1.0, 2.0]
    assert (t // 3).data.tolist() == [2.0, -3.0]
    assert [part.data.tolist() for part in divmod(t, 2.0)] == [[3.0, -4.0], [1.0, 1.0]]
    assert (5 % t).data.tolist() == [5.0, -2.0]
    assert (5 // t).data.tolist() == [0.0, -1.0]
    assert [part.data.tolist() for part in divmod(5, t)] == [[0.0, -1.0], [5.0, -2.0]]
    (t % 3 + t // 3).sum().backward()
    assert t.grad.tolist() == [1.0, 1.0]
    with tg.no_grad():
        t %= 4
        t //= 2
    assert t.data.tolist() == [1.0, 0.0]
    assert t.requires_grad


def test_replace_data_keeps_the_leaf_and_drops_its_gradient():
    w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    tg.replace_data(w, np.zeros(3, np.float32))
    assert (w.shape, w.dtype, w.requires_grad, w.name, w.grad) == ((3,), np.float32, True, "w", None)
    loss.backward()  # the graph has the old array, and its own leaf
    assert w.grad is None
    (w * 2.0).sum().backward()
    np.testing.assert_array_equal(w.grad, np.full(3, 2.0, np.float32))
    with pytest.raises(DTypeError, match="int64"):
        tg.replace_data(w, np.zeros(3, int))
    with pytest.raises(GraphError, match="takes a leaf"):
        tg.replace_data(w * 2.0, np.zeros(3))
    assert w.dtype == np.float32


def test_data_takes_an_array_of_the_same_shape_and_dtype_alone():
    w = tg.Tensor(np.ones((2, 3), np.float32), requires_grad=True, name="w")
    w.data = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(w.data, 0)
    with pytest.raises(ShapeError, match=r"'w' has shape \(2, 3\) and dtype float32, got shape \(3, 2\).*replace_data"):
        w.data = np.zeros((3, 2), np.float32)
    with pytest.raises(DTypeError, match=r"dtype float32, got shape \(2, 3\) and dtype float64.*replace_data"):
        w.data = np.zeros((2, 3))
    for wrong in ([1.0], w):
        with pytest.raises(TypeError, match="data must be an array, got"):
            w.data = wrong
        with pytest.raises(TypeError, match="replace_data expects an array, got"):
            tg.replace_data(w, wrong)
    constant = tg.Tensor([1.0])
    constant.data = np.zeros(3, int)  # nothing depends on it
    assert constant.shape == (3,)
