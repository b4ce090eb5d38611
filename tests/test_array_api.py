"""Code written against the array API standard runs with tensorgrad as ``xp``, and can be differentiated."""

import inspect

import numpy as np
import pytest

import tensorgrad as tg

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def softmax(x):
    xp = x.__array_namespace__()
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def standardised(x):
    xp = x.__array_namespace__()
    mean = xp.mean(x, axis=0, keepdims=True)
    return (x - mean) / xp.sqrt(xp.mean(xp.square(x - mean), axis=0, keepdims=True) + xp.asarray(1e-3, dtype=x.dtype))


def haversine(x):
    xp = x.__array_namespace__()
    a = xp.sin(x[0, :] / 2) ** 2 + xp.cos(x[0, :]) * xp.cos(x[1, :]) * xp.sin(x[1, :] / 2) ** 2
    return 2 * xp.asin(xp.sqrt(xp.clip(xp.abs(a), 0.0, 1.0)))


def distances(x):
    xp = x.__array_namespace__()
    squares = xp.sum(xp.pow(x, xp.asarray(2.0)), axis=1)
    gram = xp.matmul(x, xp.matrix_transpose(x))
    d = xp.expand_dims(squares, axis=0) + xp.expand_dims(squares, axis=1) - 2 * gram
    return xp.where(d > 1e-9, xp.sqrt(xp.maximum(d, xp.asarray(1e-9))), xp.zeros_like(d))


def ridge(x):
    xp = x.__array_namespace__()
    y = xp.linspace(0.0, 1.0, x.shape[0], dtype=xp.float64)
    return xp.linalg.solve(xp.matmul(xp.permute_dims(x, (1, 0)), x) + xp.eye(x.shape[1]), xp.matmul(x.T, y))


@pytest.mark.parametrize("f", [softmax, standardised, haversine, distances, ridge])
def test_code_for_the_standard_is_differentiated(f):
    leaf = tg.Tensor(X, requires_grad=True)
    out = f(leaf)
    assert isinstance(out, tg.Tensor)
    np.testing.assert_allclose(out.data, f(X), rtol=1e-13, atol=1e-15)
    tg.testing.gradcheck(f, X, method="central")


def test_the_namespace_is_the_package():
    t = tg.Tensor(1.0)
    assert t.__array_namespace__() is tg
    assert t.__array_namespace__(api_version="2023.12") is tg
    assert t.device == "cpu"


def test_creation_matches_numpy():
    calls = {
        "zeros": ((2, 3),),
        "ones": (2,),
        "full": ((2,), 7.0),
        "arange": (0.0, 1.0, 0.25),
        "linspace": (0.0, 1.0, 5),
        "eye": (2, 3),
        "ones_like": (X,),
        "full_like": (X, 2.0),
        "zeros_like": (X,),
    }
    for name, args in calls.items():
        ours, theirs = getattr(tg, name)(*args), getattr(np, name)(*args)
        assert isinstance(ours, tg.Tensor)
        np.testing.assert_array_equal(ours.data, theirs)
        assert ours.dtype == theirs.dtype
    assert tg.empty((2, 3)).shape == (2, 3)
    for name in ("zeros", "ones", "full", "arange", "linspace"):
        args = calls[name]
        assert getattr(tg, name)(*args, dtype=tg.float32, requires_grad=True).requires_grad


def test_asarray_copies_only_where_it_must():
    a = np.ones(2)
    assert np.shares_memory(tg.asarray(a).data, a)
    assert not np.shares_memory(tg.asarray(a, copy=True).data, a)
    t = tg.Tensor(a, requires_grad=True)
    assert tg.asarray(t) is t
    assert tg.asarray(t, dtype=tg.float32).requires_grad
    with pytest.raises(ValueError, match=r"list .*copy=False"):
        tg.asarray([1.0], copy=False)
    with pytest.raises(ValueError, match=r"float32.*copy=False"):
        tg.asarray(a, dtype=tg.float32, copy=False)
    with pytest.raises(ValueError, match=r"'cpu'.*'gpu'"):
        tg.asarray(a, device="gpu")


def test_names_of_the_standard():
    for name in ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "pow", "concat", "permute_dims"):
        assert inspect.isfunction(getattr(tg, name))
    assert tg.isdtype(tg.float32, "real floating")
    assert tg.result_type(tg.float32, tg.Tensor(1.0)) == np.float64
    assert (tg.pi, tg.newaxis) == (np.pi, None)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "cumsum", "cumprod", "cumulative_sum", "cumulative_prod"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "bool"])
def test_results_have_the_dtype_that_was_asked_for(name, dtype):
    values = np.array([3.0, 2.0, 70.0])
    if (name, dtype) == ("mean", "bool"):
        return  # NumPy has no answer
    got, expected = (
        getattr(tg, name)(tg.Tensor(values), dtype=dtype),
        getattr(np, name.replace("cumulative_", "cum"))(values, dtype=dtype),
    )
    assert got.dtype == expected.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got.data, expected)


def test_a_wrong_axis_is_an_index_error_too():
    for call in (lambda: tg.sum(X, axis=2), lambda: tg.flip(X, axis=-3), lambda: tg.concat([X, X], axis=5)):
        with pytest.raises(IndexError) as caught:
            call()
        assert isinstance(caught.value, tg.ShapeError)


def test_copies_and_devices():
    t = tg.Tensor(X, requires_grad=True)
    assert tg.astype(t, tg.float64, copy=False) is t
    assert t.to_device("cpu") is t
    assert np.shares_memory(tg.reshape(t, (3, 2)).data, t.data)
    assert not np.shares_memory(tg.reshape(t, (3, 2), copy=True).data, t.data)
    with pytest.raises(ValueError, match="without a copy"):
        tg.reshape(t.T, (6,), copy=False)
    for call in (
        lambda: t.to_device("gpu"),
        lambda: tg.zeros(2, device="gpu"),
        lambda: tg.astype(t, "f4", device="gpu"),
    ):
        with pytest.raises(ValueError, match=r"'cpu'.*'gpu'"):
            call()
    assert tg.asarray(np.array([True, False]), copy=True).data.tolist() == [True, False]
    if hasattr(np, "__array_namespace_info__"):  # from NumPy 2.1 on
        assert tg.__array_namespace_info__().default_device() == "cpu"
