"""Reading through an index, and writing through one."""

import re

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import GraphError, InplaceError


def leaf(*values):
    return tg.Tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.promise("D12")
def test_repeated_indices_add_up():
    rng = np.random.default_rng(3)
    x = tg.Tensor(rng.normal(size=(5, 4)), requires_grad=True)
    rows, columns = rng.integers(-5, 5, (6, 7)), rng.integers(-4, 4, 7)
    weights = rng.normal(size=(6, 7))
    (x[rows, columns] * weights).sum().backward()
    expected = np.zeros((5, 4))
    np.add.at(expected, (rows, columns), weights)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-15)


def test_tensors_are_indices():
    x = leaf()
    x[tg.Tensor([2, 2])].sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 2.0]
    x.grad = None
    x[tg.Tensor([True, False, True])].sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 1.0]
    x.grad = None
    x[tg.Tensor(1)].backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    x.grad = None
    x[tg.Tensor(1) : tg.Tensor(3)].sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("read", [lambda x, i: x[i], lambda x, i: x.take(i), lambda x, i: tg.take_along_axis(x, i)])
def test_a_later_write_to_the_index_changes_nothing(read):
    x = leaf()
    index = np.array([0, 0])
    y = read(x, index)
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0]


def test_a_later_write_to_a_tensor_index_is_detected():
    x, index = leaf(), tg.Tensor([0, 0])
    y = x[index]
    index[0] = 2
    with pytest.raises(InplaceError, match="getitem"):
        y.sum().backward()


def test_slices_are_views():
    x = tg.from_numpy(np.arange(6.0).reshape(2, 3), requires_grad=True)
    for view in (
        x[0],
        x[:, ::-1],
        x.T,
        x.reshape(3, 2),
        x[None],
        x.squeeze(),
        x.ravel(),
        x.swapaxes(0, 1),
        x.flip(),
    ):
        assert np.shares_memory(view.data, x.data)


def test_iteration_over_rows():
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    (first, second) = x
    (first * 2 + second).sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]


# --- writing --------------------------------------------------------------------------------------------


@pytest.mark.promise("C11")
def test_a_write_to_a_result():
    x = leaf()
    y = 2 * x
    y[0] = 7.0
    assert y.data.tolist() == [7.0, 4.0, 6.0]
    (y * y).sum().backward()
    assert x.grad.tolist() == [0.0, 16.0, 24.0]


def test_an_augmented_write_to_a_part():
    x, w = leaf(), leaf(10.0)
    y = 2 * x
    y[1:] += w * 3
    (y * y).sum().backward()
    assert y.data.tolist() == [2.0, 34.0, 36.0]
    assert x.grad.tolist() == [8.0, 136.0, 144.0]
    assert w.grad.tolist() == [6 * 34.0 + 6 * 36.0]


def test_a_write_into_a_constant():
    given = np.zeros(3)
    shared, v = tg.from_numpy(given), leaf(5.0)
    earlier = shared * v
    shared[1] = v[0] * 2
    shared[2] = v[0]
    (shared * shared).sum().backward()
    assert v.grad.tolist() == [2 * 4 * 5.0 + 2 * 5.0]
    assert shared.data.tolist() == [0.0, 10.0, 5.0]
    assert given.tolist() == [0.0, 0.0, 0.0]  # it now has memory of its own, and the old memory is unchanged
    v.grad = None
    earlier.sum().backward()
    assert v.grad.tolist() == [0.0]


def test_a_write_to_a_scalar_keeps_the_value_of_the_old_node():
    x = leaf(3.0)
    y = x.sum()
    old = y.node
    y[()] = x[0] * x[0]
    assert float(old.value) == 3.0
    y.backward()
    assert x.grad.tolist() == [6.0]


def test_second_derivatives_through_a_write():
    def f(x):
        y = x * x
        y[[0, 1, 1]] = x[2] * y[2] * x[1:4] + y[1:4]
        return (y * y).sum()

    x = np.array([1.5, -0.5, 2.0, 0.75])
    tg.testing.gradcheck(f, x)
    tg.testing.gradgradcheck(f, x)


@pytest.mark.parametrize("more", [1, 2])
@pytest.mark.parametrize(
    "key",
    [slice(None), Ellipsis, (Ellipsis,), [0, 1, 2], [2, 0, 1], slice(None, None, -1), (slice(None), None), [0, 0, 1]],
    ids=str,
)
def test_a_value_with_more_axes_than_its_place(key, more):
    v = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = v * 1.0
    value = (v if np.shape(y.data[key]) == (3,) else v[:1])[(None,) * more]
    plain = y.data.copy()
    plain[key] = value.data
    y[key] = value
    np.testing.assert_array_equal(y.data, plain)
    (y * y).sum().backward()

    def f(t):
        z = t * 1.0
        z[key] = t if np.shape(t.data[key]) == (3,) else t[:1]
        return (z * z).sum()

    np.testing.assert_array_equal(v.grad, np.asarray(tg.grad(f)(v.data)))


def test_the_last_of_several_writes_to_one_element_has_the_gradient():
    y, v = +leaf(), leaf(7.0, 8.0, 9.0)
    y[[1, 1, 0]] = v
    assert y.data.tolist() == [9.0, 8.0, 3.0]
    y.sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0]


def test_name_and_retained_gradient_are_kept():
    x = leaf()
    y = 2 * x
    y.name = "y"
    y.retain_grad()
    y[0] = 1.0
    assert y.name == "y"
    (3 * y).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("op", "make"),
    [
        ("exp", lambda x: tg.exp(x)),
        ("tanh", lambda x: tg.tanh(x)),
        ("sigmoid", lambda x: tg.sigmoid(x)),
        ("sqrt", lambda x: tg.sqrt(x)),
    ],
)
def test_a_result_that_backward_needs(op, make):
    x = leaf()
    y = make(x)
    y[0] = 7.0
    with pytest.raises(InplaceError) as caught:
        y.sum().backward()
    for text in (op, "its result", "setitem", "version 1, expected 0", "test_indexing.py:"):
        assert text in str(caught.value)
    assert x.grad is None


def test_an_input_that_backward_needs():
    x = leaf()
    y = 2 * x
    z = y * y
    y[0] = 7.0
    with pytest.raises(InplaceError, match=re.escape("multiply (called at")) as caught:
        z.sum().backward()
    assert "setitem" in str(caught.value)
    assert "version 1, expected 0" in str(caught.value)


@pytest.mark.parametrize("make", [lambda x: x + 1, lambda x: -x, lambda x: x - 1, lambda x: x.cumsum()])
def test_a_value_that_nothing_saved(make):
    x = leaf()
    y = make(x)
    y[2] = 7.0
    assert y.data[2] == 7.0
    y[:2].sum().backward()
    assert x.grad[2] == 0
    assert x.grad[1] != 0


@pytest.mark.promise("C10")
def test_a_leaf():
    x = leaf()
    with pytest.raises(GraphError, match="leaf") as caught:
        x[0] = 7
    assert "no_grad()" in str(caught.value)
    assert x.data.tolist() == [1.0, 2.0, 3.0]
    with tg.no_grad():
        x[0] = 7
    assert x.data.tolist() == [7.0, 2.0, 3.0]
    (x * x).sum().backward()
    assert x.grad.tolist() == [14.0, 4.0, 6.0]


def test_a_leaf_that_was_saved():
    x = leaf()
    z = x * x
    with tg.no_grad():
        x[0] = 7
    with pytest.raises(InplaceError, match="setitem"):
        z.sum().backward()


VIEWS = {
    "getitem": lambda y: y[0:2],
    "transpose": lambda y: y.T,
    "reshape": lambda y: y.reshape(3, 2),
    "ravel": lambda y: y.ravel(),
    "expand_dims": lambda y: y.expand_dims(0),
    "squeeze": lambda y: y.squeeze(),
    "swapaxes": lambda y: y.swapaxes(0, 1),
    "moveaxis": lambda y: y.moveaxis(0, 1),
    "permute_dims": lambda y: tg.permute_dims(y, (1, 0)),
    "matrix_transpose": lambda y: y.mT,
    "flip": lambda y: y.flip(0),
    "broadcast_to": lambda y: y.broadcast_to((2, 2, 3)),
    "einsum": lambda y: tg.einsum("ij->ji", y),
}


@pytest.mark.parametrize("op", VIEWS)
def test_a_view_in_use_is_not_made_stale(op):
    x = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = 2 * x
    view = VIEWS[op](y)
    line = "test_indexing.py:"
    with pytest.raises(InplaceError, match=f"made by {op}") as caught:
        y[0] = 1.0
    assert line in str(caught.value)
    assert y.data[0, 1] == 2.0
    further = view[0:1]
    del view
    with pytest.raises(InplaceError, match="made by getitem"):
        y[0] = 1.0
    del further
    y[0] = 1.0  # no view is left
    y.sum().backward()
    assert x.grad.tolist() == [[0.0] * 3, [2.0] * 3]


@pytest.mark.parametrize("op", VIEWS)
@pytest.mark.parametrize("of", ["a result", "a leaf", "a dead leaf", "a freed graph"])
def test_a_view_is_not_written_to(op, of):
    x = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    base = 2 * x if of in ("a result", "a freed graph") else x
    view = VIEWS[op](base)
    if of == "a dead leaf":
        del x, base
    elif of == "a freed graph":
        view.sum().backward()
    before = view.data.copy()
    with pytest.raises(InplaceError, match=f"view, made by {op}"):
        view[0] = 1.0
    np.testing.assert_array_equal(view.data, before)


def test_a_copy_by_a_shape_operation_is_not_a_view():
    x = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    copy = x.T.reshape(6)
    copy[0] = 9.0
    part = copy[1:]
    with pytest.raises(InplaceError, match="made by getitem"):
        copy[1] = 9.0
    del part
    (copy * copy).sum().backward()
    assert x.grad.tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]


def test_a_write_through_a_view_of_a_constant_would_be_lost():
    buffer, w = tg.Tensor(np.zeros((2, 3))), leaf(1.0)
    with pytest.raises(InplaceError, match="shares the memory of another"):
        buffer[0][1] = w[0]
    buffer[0, 1] = w[0]
    buffer.sum().backward()
    assert w.grad.tolist() == [1.0]


@pytest.mark.promise("C12")
def test_memory_that_cannot_be_written():
    constant = tg.broadcast_to(tg.Tensor([1.0]), (3,))
    with pytest.raises(InplaceError, match="read-only"):
        constant[0] = 2.0


@pytest.mark.promise("C13")
def test_writing_through_either_of_two_views_is_seen_by_a_graph():
    for write in (lambda x, v: x.__setitem__(0, 9.0), lambda x, v: v.__setitem__(0, 9.0)):
        x = leaf()
        view = x[0:2]
        z = (view * view).sum() + (x * x).sum()
        with tg.no_grad():
            write(x, view)
        with pytest.raises(InplaceError, match="multiply"):
            z.backward()


def test_a_refused_write_leaves_no_trace():
    x = leaf()
    y = 2 * x
    z = y * y
    for key, value in ((5, 1.0), (slice(None), np.ones(2)), (0, 1j)):
        with pytest.raises((IndexError, ValueError, TypeError)):
            y[key] = value
    z.sum().backward()
    assert x.grad.tolist() == [8.0, 16.0, 24.0]


def test_dead_views_are_forgotten():
    y = 2 * leaf()
    for _ in range(1000):
        y[0:2]
    assert len(y.node.extra.views) < 20


def test_writes_leave_nothing_to_collect(no_collector):
    for _ in range(20):
        x = leaf()
        y = 2 * x
        y[[0, 1]] = x[1:] * 3
        view = y[1:]
        view.sum().backward()
        del x, y, view


@pytest.mark.parametrize("value", [2.0, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_python_number_is_added_at_every_index(value, dtype):
    x = tg.Tensor(np.arange(6).reshape(3, 2), dtype=dtype, requires_grad=True)
    added = tg.scatter_add(x, ([0, 0, 2], [1, 1, 0]), value)
    assert added.dtype == dtype
    assert added.data.tolist() == [[0, 5], [2, 3], [6, 5]]
    added.sum().backward()
    assert x.grad.tolist() == [[1, 1]] * 3
