"""NumPy's operators and functions on Tensors, and Python's conversions (PROMISES E3, E4)."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats

import tensorgrad as tg
from tensorgrad.errors import GraphError, ShapeError

A = np.array([[1.0, 2.0], [3.0, 4.0]])
V = np.array([0.5, -1.5])


def leaf(values=V):
    return tg.Tensor(values, requires_grad=True)


RECORDED = {
    "ndarray + t": (lambda t: A + t, lambda v: A + v),
    "ndarray - t": (lambda t: A - t, lambda v: A - v),
    "ndarray * t": (lambda t: A * t, lambda v: A * v),
    "ndarray / t": (lambda t: A / t, lambda v: A / v),
    "ndarray ** t": (lambda t: A**t, lambda v: A**v),
    "ndarray @ t": (lambda t: A @ t, lambda v: A @ v),
    "np.float64 + t": (lambda t: np.float64(2) + t, lambda v: 2 + v),
    "np.float64 - t": (lambda t: np.float64(2) - t, lambda v: 2 - v),
    "np.float64 * t": (lambda t: np.float64(2) * t, lambda v: 2 * v),
    "np.float64 / t": (lambda t: np.float64(2) / t, lambda v: 2 / v),
    "np.float64 ** t": (lambda t: np.float64(2) ** t, lambda v: 2**v),
    "np.int64 * t": (lambda t: np.int64(2) * t, lambda v: 2 * v),
    "0-d array * t": (lambda t: np.array(2.0) * t, lambda v: 2 * v),
    "np.sin": (np.sin, np.sin),
    "np.exp": (np.exp, np.exp),
    "np.abs": (np.abs, np.abs),
    "np.negative": (np.negative, np.negative),
    "np.maximum": (lambda t: np.maximum(A, t), lambda v: np.maximum(A, v)),
    "np.matmul": (lambda t: np.matmul(A, t), lambda v: A @ v),
    "np.dot": (lambda t: np.dot(A, t), lambda v: A @ v),
    "np.sum": (
        lambda t: np.sum(A * t, axis=0, keepdims=True),
        lambda v: np.sum(A * v, axis=0, keepdims=True),
    ),
    "np.mean": (lambda t: np.mean(t * t), lambda v: np.mean(v * v)),
    "np.max": (np.max, np.max),
    "np.amax": (lambda t: np.amax(A * t, axis=1), lambda v: np.amax(A * v, axis=1)),
    "np.prod": (np.prod, np.prod),
    "np.std": (np.std, np.std),
    "np.cumsum": (np.cumsum, np.cumsum),
    "np.concatenate": (lambda t: np.concatenate([t, V, t]), lambda v: np.concatenate([v, V, v])),
    "np.stack": (lambda t: np.stack([t, V], axis=1), lambda v: np.stack([v, V], axis=1)),
    "np.reshape": (lambda t: np.reshape(t, (2, 1)), lambda v: np.reshape(v, (2, 1))),
    "np.transpose": (lambda t: np.transpose(A * t), lambda v: np.transpose(A * v)),
    "np.expand_dims": (lambda t: np.expand_dims(t, 0), lambda v: np.expand_dims(v, 0)),
    "np.broadcast_to": (lambda t: np.broadcast_to(t, (3, 2)), lambda v: np.broadcast_to(v, (3, 2))),
    "np.where": (lambda t: np.where(V > 0, t, 2 * t), lambda v: np.where(V > 0, v, 2 * v)),
    "np.clip": (lambda t: np.clip(t, -1.0, 1.0), lambda v: np.clip(v, -1.0, 1.0)),
    "np.einsum": (lambda t: np.einsum("ij,j->i", A, t), lambda v: A @ v),
    "np.zeros_like": (np.zeros_like, np.zeros_like),
    "np.add.reduce": (lambda t: np.add.reduce(A * t), lambda v: np.add.reduce(A * v)),
    "np.multiply.reduce": (lambda t: np.multiply.reduce(A * t, axis=1), lambda v: np.prod(A * v, axis=1)),
    "np.maximum.reduce": (lambda t: np.maximum.reduce(A * t, axis=None), lambda v: np.max(A * v)),
    "np.add.accumulate": (lambda t: np.add.accumulate(A * t), lambda v: np.cumsum(A * v, axis=0)),
    "np.multiply.accumulate": (lambda t: np.multiply.accumulate(A * t), lambda v: np.cumprod(A * v, axis=0)),
    "np.linalg.norm": (np.linalg.norm, np.linalg.norm),
    "np.linalg.det": (lambda t: np.linalg.det(A * t), lambda v: np.linalg.det(A * v)),
    "np.linalg.solve": (lambda t: np.linalg.solve(A, t), lambda v: np.linalg.solve(A, v)),
    "np.linalg.inv": (lambda t: np.linalg.inv(A * t), lambda v: np.linalg.inv(A * v)),
    "np.fft.fft": (lambda t: np.abs(np.fft.fft(t * A)), lambda v: np.abs(np.fft.fft(v * A))),
    "np.fft.irfft": (lambda t: np.fft.irfft(np.fft.rfft(t * A)), lambda v: np.fft.irfft(np.fft.rfft(v * A))),
    "np.matmul of two": (lambda t: np.matmul(t, t), lambda v: v @ v),
    "np.arctan2": (lambda t: np.arctan2(t, V + 1), lambda v: np.arctan2(v, V + 1)),
    "np.median": (lambda t: np.median(A * t), lambda v: np.median(A * v)),
    "np.sort": (lambda t: np.sort(A * t, axis=0), lambda v: np.sort(A * v, axis=0)),
    "np.pad": (lambda t: np.pad(t, 1), lambda v: np.pad(v, 1)),
    "np.tile": (lambda t: np.tile(t, 2), lambda v: np.tile(v, 2)),
    "np.trace": (lambda t: np.trace(A * t), lambda v: np.trace(A * v)),
    "np.kron": (lambda t: np.kron(A, t), lambda v: np.kron(A, v)),
    "np.convolve": (lambda t: np.convolve(t, V), lambda v: np.convolve(v, V)),
    "np.interp": (
        lambda t: np.interp(t, [-2.0, 0.0, 2.0], [1.0, 3.0, 0.0]),
        lambda v: np.interp(v, [-2.0, 0.0, 2.0], [1.0, 3.0, 0.0]),
    ),
    "sliding_window_view": (
        lambda t: np.lib.stride_tricks.sliding_window_view(A * t, 2, axis=0),
        lambda v: np.lib.stride_tricks.sliding_window_view(A * v, 2, axis=0),
    ),
    "scipy.special.erf": (scipy.special.erf, scipy.special.erf),
    "scipy.special.gammaln": (lambda t: scipy.special.gammaln(t + 3), lambda v: scipy.special.gammaln(v + 3)),
    "np.clip a_min": (lambda t: np.clip(t, a_min=0.0, a_max=1.0), lambda v: np.clip(v, 0.0, 1.0)),
    "np.var correction": (lambda t: np.var(A * t, correction=1), lambda v: np.var(A * v, correction=1)),
    "np.diff prepend": (lambda t: np.diff(t, prepend=0.0), lambda v: np.diff(v, prepend=0.0)),
    "np.sum by position": (
        lambda t: np.sum(A * t, 0, np.float64, None, True),
        lambda v: np.sum(A * v, 0, keepdims=True),
    ),
    "np.sum where": (
        lambda t: np.sum(A * t, axis=1, initial=2.0, where=A > 1),
        lambda v: np.sum(A * v, axis=1, initial=2.0, where=A > 1),
    ),
    "np.einsum sublists": (lambda t: np.einsum(A * t, [0, 1], [1, 0]), lambda v: (A * v).T),
    "np.einsum optimize": (
        lambda t: np.einsum("ij,j,j->i", A, t, t, optimize=True),
        lambda v: np.einsum("ij,j,j->i", A, v, v),
    ),
    "np.linspace": (lambda t: np.linspace(t, [1.0, 2.0], 5), lambda v: np.linspace(v, [1.0, 2.0], 5)),
    "np.logspace": (lambda t: np.logspace(0.0, t, 3, axis=-1), lambda v: np.logspace(0.0, v, 3, axis=-1)),
    "np.geomspace": (lambda t: np.geomspace(t, 2 * t, 3), lambda v: np.geomspace(v, 2 * v, 3)),
    "np.concatenate casting": (
        lambda t: np.concatenate([t, t], dtype=np.float64, casting="same_kind"),
        lambda v: np.concatenate([v, v]),
    ),
    "np.linalg.pinv rtol": (lambda t: np.linalg.pinv(A * t, rtol=1e-5), lambda v: np.linalg.pinv(A * v, rtol=1e-5)),
    "np.linalg.svd values": (
        lambda t: np.linalg.svd(A * t, compute_uv=False),
        lambda v: np.linalg.svd(A * v, compute_uv=False),
    ),
    "np.linalg.trace": (lambda t: np.linalg.trace(A * t), lambda v: np.trace(A * v)),
    "np.real_if_close": (lambda t: np.real_if_close(t + 0j), lambda v: v.copy()),
    "np.divmod": (lambda t: np.divmod(t, 0.7)[1], lambda v: np.divmod(v, 0.7)[1]),
    "np.modf": (lambda t: np.modf(3 * t)[0], lambda v: np.modf(3 * v)[0]),
    "np.copy": (np.copy, np.copy),
    "np.bincount": (lambda t: np.bincount([2, 2], weights=t), lambda v: np.bincount([2, 2], weights=v)),
    "np.unique": (lambda t: np.unique(t * [1.0, 2.0]), lambda v: np.unique(v * [1.0, 2.0])),
    "np.union1d": (lambda t: np.union1d(t, [7.0]), lambda v: np.union1d(v, [7.0])),
    "np.multiply.outer": (lambda t: np.multiply.outer(A, t), lambda v: np.multiply.outer(A, v)),
    "np.subtract.outer": (lambda t: np.subtract.outer(t, t), lambda v: np.subtract.outer(v, v)),
    "np.polymul": (lambda t: np.polymul(t, [1.0, 2.0]), lambda v: np.polymul(v, [1.0, 2.0])),
    "np.apply_along_axis": (
        lambda t: np.apply_along_axis(lambda row: row * row[0], 0, A * t),
        lambda v: np.apply_along_axis(lambda row: row * row[0], 0, A * v),
    ),
    "np.apply_over_axes": (
        lambda t: np.apply_over_axes(np.sum, A * t, [0, 1]),
        lambda v: np.apply_over_axes(np.sum, A * v, [0, 1]),
    ),
    "np.trim_zeros": (
        lambda t: np.trim_zeros(np.concatenate([[0.0], t, [0.0]])),
        lambda v: v.copy(),
    ),
    "np.add.at": (
        lambda t: (y := 2 * t, np.add.at(y, [0, 0], t))[0],
        lambda v: (y := 2 * v, np.add.at(y, [0, 0], v))[0],
    ),
    "np.put": (lambda t: (y := 2 * t, np.put(y, [1], t[0]))[0], lambda v: np.array([2 * v[0], v[0]])),
    "np.place": (
        lambda t: (y := A * t, np.place(y, A > 1, t))[0],
        lambda v: (y := A * v, np.place(y, A > 1, v))[0],
    ),
    "np.putmask": (
        lambda t: (y := A * t, np.putmask(y, A > 1, t))[0],
        lambda v: (y := A * v, np.putmask(y, A > 1, v))[0],
    ),
    "np.copyto": (
        lambda t: (y := tg.zeros((2, 2)), np.copyto(y, t, where=A > 1))[0],
        lambda v: (y := np.zeros((2, 2)), np.copyto(y, v, where=A > 1))[0],
    ),
    "tg.full": (lambda t: tg.full((3, 2), t), lambda v: np.full((3, 2), v)),
    "tg.full_like": (lambda t: tg.full_like(A, t), lambda v: np.full_like(A, v)),
    "dtype=None, out=None": (lambda t: np.mean(t, axis=0, dtype=None, out=None), np.mean),
}


@pytest.mark.promise("E3")
@pytest.mark.parametrize("case", RECORDED)
def test_numpy_on_a_tensor_is_recorded(case):
    f, reference = RECORDED[case]
    t = leaf()
    out = f(t)
    assert isinstance(out, tg.Tensor)
    assert out.requires_grad
    expected = reference(V)
    np.testing.assert_allclose(out.data, expected, rtol=1e-14, atol=1e-15)
    assert out.dtype == np.asarray(expected).dtype
    weights = np.cos(np.arange(np.size(expected), dtype=float)).reshape(np.shape(expected))
    out.backward(weights)
    for i in range(2):  # against finite differences of NumPy's own results
        step = np.eye(2)[i] * 1e-6
        difference = np.sum(weights * (np.asarray(reference(V + step)) - reference(V - step))) / 2e-6
        assert t.grad[i] == pytest.approx(difference, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("scalar", [np.float64(2), np.float32(2), np.int64(2), np.float16(2), 2.0, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scalars_do_not_decide_the_dtype(scalar, dtype):
    t = tg.Tensor(V, dtype=dtype, requires_grad=True)
    for f in (lambda: scalar * t, lambda: t * scalar, lambda: scalar - t, lambda: np.multiply(scalar, t)):
        assert f().dtype == dtype
    (scalar * t).sum().backward()
    assert t.grad.dtype == dtype


@pytest.mark.parametrize("compare", [np.less, np.equal, np.isfinite])
def test_comparisons_give_boolean_arrays(compare):
    args = (leaf(), V)[: compare.nin]
    out = compare(*args)
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.bool_
    assert isinstance(leaf() > V, np.ndarray)
    assert isinstance(leaf() > V, np.ndarray)


def test_facts_need_no_history():
    t = leaf(A)
    assert np.any(t, axis=1, where=A > 3).tolist() == [False, True]
    assert np.all(t, where=A < 0) == np.True_
    assert np.can_cast(t, np.float32) is False
    assert np.min_scalar_type(t) == np.float64
    assert np.histogram(t, bins=[0.0, 2.5, 5.0])[0].tolist() == [2, 2]
    assert np.shape(t) == (2, 2)
    assert np.ndim(t) == 2
    assert np.size(t) == 4
    assert np.size(t, 0) == 2


REFUSED = {
    "np.spacing": np.spacing,
    "np.add.reduceat": lambda t: np.add.reduceat(t, [0, 1]),
    "np.roots": np.roots,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_function_without_a_rule_names_itself(case):
    with pytest.raises(TypeError, match=rf"{case} has no derivative rule.*\.data"):
        REFUSED[case](leaf())


WITHOUT_HISTORY = {
    "np.nextafter": lambda t: np.nextafter(t, 1.0),
    "np.add.reduceat": lambda t: np.add.reduceat(t, [0, 1]),
    "np.multiply.outer": lambda t: np.multiply.outer(t, V),
    "np.unique": np.unique,
    "np.histogram": np.histogram,
    "np.percentile, another method": lambda t: np.percentile(t, 30, overwrite_input=True),
    "np.sin where": lambda t: np.sin(t, where=[True, True], out=np.zeros(2)),
    "np.sum dtype": lambda t: np.sum(t, dtype=np.float32, initial=3.0),
    "np.union1d": lambda t: np.union1d(t, [0.5, 7.0]),
    "np.polyadd": lambda t: np.polyadd(t, [1.0, 2.0]),
    "np.add.at": lambda t: (a := V.copy(), np.add.at(a, [0, 0], t))[0],
    "np.copyto": lambda t: (a := V.copy(), np.copyto(a, 2 * t))[0],
    "np.gradient": np.gradient,
    "np.roots": np.roots,
    "t.tolist()": lambda t: t.tolist(),
}


@pytest.mark.parametrize("case", WITHOUT_HISTORY)
def test_a_tensor_without_a_history_is_an_array(case):
    f = WITHOUT_HISTORY[case]
    expected, got = f(V), f(tg.Tensor(V))
    for a, b in zip(expected, got, strict=True) if isinstance(expected, tuple) else [(expected, got)]:
        np.testing.assert_array_equal(np.asarray(b), a)


def test_files_and_in_place_operators_take_a_tensor_without_a_history(tmp_path):
    t = tg.Tensor(V)
    np.save(tmp_path / "t.npy", t)
    np.savez(tmp_path / "t.npz", t, b=t)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), V)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npz")["b"], V)
    a = np.ones(2)
    a -= 0.1 * t
    np.testing.assert_allclose(a, 1 - 0.1 * V)
    with pytest.raises(GraphError, match="would cut the graph"):
        np.asarray(leaf())


def test_tests_of_closeness_give_booleans_whatever_the_history():
    for t in (tg.Tensor(V), leaf(), leaf() * 2 / 2):
        assert np.allclose(t, V) is True
        assert np.array_equal(t, V) is True
        assert np.isclose(t, V).tolist() == [True, True]
        assert not np.array_equal(V, t + 1)


def test_what_backward_has_freed_gives_its_number():
    x = leaf()
    y = (x * x).sum()
    for convert in (float, int, complex, math.log, np.asarray):
        with pytest.raises(GraphError, match="would cut the graph"):
            convert(y)
    y.backward()
    assert (float(y), int(y), complex(y), math.log(y)) == (2.5, 2, 2.5, math.log(2.5))
    np.testing.assert_array_equal(np.asarray([y, y]), [2.5, 2.5])
    assert np.mean([y, y]) == 2.5
    with pytest.raises(GraphError, match="would cut the graph"):
        np.asarray(x * x)
    z = (x * x).sum()
    z.backward(retain_graph=True)
    with pytest.raises(GraphError, match="would cut the graph"):
        float(z)


NESTS = {
    "tg.asarray": (tg.asarray, lambda v: np.array([[v[0], 1.0], [1.0, v[1]]])),
    "tg.sum": (tg.sum, lambda v: v[0] + v[1] + 2.0),
    "tg.exp": (tg.exp, lambda v: np.exp([[v[0], 1.0], [1.0, v[1]]])),
    "tg.linalg.det": (tg.linalg.det, lambda v: v[0] * v[1] - 1.0),
    "tg.matmul": (lambda m: tg.matmul(m, V), lambda v: np.array([[v[0], 1.0], [1.0, v[1]]]) @ V),
    "t * [[t, 1]]": (lambda m: tg.Tensor(A) * m, lambda v: A * np.array([[v[0], 1.0], [1.0, v[1]]])),
    "[[t, 1]] - t": (lambda m: m - tg.Tensor(A), lambda v: np.array([[v[0], 1.0], [1.0, v[1]]]) - A),
    "tg.where": (lambda m: tg.where(A > 2, m, 0.0), lambda v: np.where(A > 2, [[v[0], 1.0], [1.0, v[1]]], 0.0)),
    "both": (lambda m: tg.add(m, m), lambda v: 2 * np.array([[v[0], 1.0], [1.0, v[1]]])),
}


@pytest.mark.parametrize("case", NESTS)
def test_tensors_in_nested_lists_are_stacked(case):
    f, expected = NESTS[case]
    t = leaf()
    out = f([[t[0], 1.0], [1.0, t[1]]])
    np.testing.assert_allclose(out.data, expected(V))
    out.sum().backward()
    for i in range(2):
        step = np.eye(2)[i] * 1e-6
        slope = np.sum(expected(V + step) - expected(V - step)) / 2e-6
        assert t.grad[i] == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_numbers_in_nested_lists_take_the_dtype_of_the_tensors():
    t = tg.Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    assert tg.asarray([t[0], 1.0, 2]).dtype == np.float32
    with pytest.raises(ShapeError, match="stack"):
        tg.asarray([t, [1.0, 2.0, 3.0]])
    with pytest.raises(GraphError, match=r"tg\.asarray"):
        tg.Tensor([t[0], 1.0])
    for refused in (np.array, np.sum, np.linalg.det, np.exp):
        with pytest.raises(GraphError, match=r"tg\.stack"):
            refused([[t[0], t[1]], [t[1], t[0]]])


def test_what_the_functions_do_not_take():
    t = leaf()
    with pytest.raises(TypeError, match=r"np.add cannot write a Tensor to an ndarray, through out= .*a = a \+ t"):
        np.add(t, V, out=V.copy())
    a = V.copy()
    with pytest.raises(TypeError, match=r"np.add cannot write"):
        a += t
    with pytest.raises(TypeError, match=r"np.sin with where= leaves elements without a value.*tg.where"):
        np.sin(t, where=[True, False])
    with pytest.raises(TypeError, match=r"np.quantile on a Tensor is tensorgrad.quantile\(.*'weights'"):
        np.quantile(t, 0.5, weights=[1.0, 2.0], method="inverted_cdf")
    with pytest.raises(TypeError, match=r"np.histogram of a Tensor with a history.*: its weights.*tg.bincount"):
        np.histogram(V, weights=t)
    for write in (np.copyto, lambda a, t: np.put(a, [0, 1], t), lambda a, t: np.add.at(a, [0, 1], t)):
        with pytest.raises(TypeError, match=r"to an ndarray.*history would be lost.*tg.full_like"):
            write(V.copy(), t)
    with pytest.raises(ValueError, match="sequence") as caught:
        V.copy()[0] = t[0]  # NumPy's own sentence, after ours
    assert "tg.stack" in str(caught.value.__cause__)
    for ours, call in {
        "tg.full": lambda: np.full(3, t[0]),
        "tg.concatenate": lambda: np.r_[t, 1.0],
        "tg.column_stack": lambda: np.c_[t, t],
    }.items():
        with pytest.raises(GraphError, match=rf"write {ours}, which is recorded"):
            call()


CUT = {
    "math.sin": math.sin,
    "float": float,
    "np.asarray": np.asarray,
    "np.array": np.array,
    "np.array of a list": lambda t: np.array([t, t]),
    "np.float64": np.float64,
    "ndarray.dot": lambda t: np.ones(1).dot(t),
    "a[...] = t": lambda t: np.ones(1).__setitem__(..., t),
}


@pytest.mark.promise("E4")
@pytest.mark.parametrize("case", CUT)
def test_history_is_not_cut_silently(case):
    one = tg.Tensor([0.5], requires_grad=True)
    for t in (one, one * 2):
        with pytest.raises(GraphError, match=r"item\(\).*detach\(\)"):
            CUT[case](t)
    with pytest.raises(GraphError, match=r"int\(t\).*item\(\)"):
        int(one)


def test_without_history_everything_converts():
    t = tg.Tensor([0.5])
    assert math.sin(t) == math.sin(0.5)
    assert float(t) == 0.5
    assert int(tg.Tensor(3)) == 3
    assert np.asarray(t).dtype == np.float64
    assert np.asarray(t) is t.data
    assert np.array(t) is not t.data
    assert np.array([t, t]).shape == (2, 1)


@pytest.mark.promise("E3")
def test_no_array_of_objects_is_ever_made():
    t = leaf()
    for f in (lambda: np.array([t, 1.0], dtype=object), lambda: A * [t, t]):
        with pytest.raises((GraphError, TypeError, ValueError)):
            f()


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_array", "coo_array"])
def test_products_with_sparse_matrices(kind):
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    s = getattr(sparse, kind)(dense)
    x = np.arange(1.0, 7.0).reshape(3, 2)
    for f, plain, point in (
        (lambda t: s @ t, lambda v: dense @ v, x),
        (lambda t: s @ t, lambda v: dense @ v, x[:, 0]),
        (lambda t: t @ s, lambda v: v @ dense, x),
        (lambda t: t @ s, lambda v: v @ dense, x[0]),
        (lambda t: tg.matmul(s, t), lambda v: dense @ v, np.stack([x, -x])),
    ):
        t = tg.Tensor(point, requires_grad=True)
        out = f(t)
        np.testing.assert_allclose(out.data, plain(point))
        tg.testing.gradcheck(f, point)
        tg.testing.gradgradcheck(lambda t, f=f: f(t * t), point)
        step = tg.compile(tg.grad(lambda t, f=f: (f(t) ** 2).sum()))
        np.testing.assert_allclose(step(point), tg.grad(lambda t, f=f: (f(t) ** 2).sum())(point))
    np.testing.assert_allclose(tg.jacobian(lambda t: s @ t)(x[:, 0]), dense)
    np.testing.assert_allclose((s @ tg.Tensor(x)), dense @ x)
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit"):
        s @ tg.Tensor(dense, requires_grad=True)


SCIPY = {
    "tg.logsumexp": lambda t: scipy.special.logsumexp(t),
    "tg.linalg.solve_triangular": lambda t: scipy.linalg.solve_triangular(np.eye(2) * t, V),
    "tg.linalg.expm": lambda t: scipy.linalg.expm(np.eye(2) * t),
    "tg.linalg.cholesky": lambda t: scipy.linalg.cho_factor(np.eye(2) * t * t),
    "tg.stats.norm.logpdf": lambda t: scipy.stats.norm.logpdf(t),
    "tg.stats.gamma.pdf": lambda t: scipy.stats.gamma.pdf(t, 2.0),
}


@pytest.mark.parametrize("ours", SCIPY)
def test_where_scipy_would_cut_the_error_names_ours(ours):
    with pytest.raises((GraphError, TypeError), match=rf"write {ours}, which is recorded"):
        SCIPY[ours](leaf())


def test_what_a_histogram_would_cut_is_refused():
    x = leaf(np.array([1.0, 2.0, 4.0]))
    edges = np.array([0.0, 2.5, 5.0])
    assert np.histogram(x, bins=edges)[0].tolist() == [2, 1]
    assert np.histogram(x, bins=2, range=(0.0, 5.0))[0].tolist() == [2, 1]
    for call in (
        lambda: np.histogram(x, bins=2),
        lambda: np.histogram(x, bins=edges, density=True),
        lambda: np.histogram(edges, bins=x),
        lambda: np.histogram(edges, bins=edges, weights=x),
        lambda: np.histogram_bin_edges(x, bins=2),
    ):
        with pytest.raises(TypeError, match=r"would cut it|no derivative rule"):
            call()


def test_an_output_of_a_test_is_no_way_into_a_tensor():
    x = leaf()
    with pytest.raises(TypeError):
        np.isposinf(np.ones(2), x)
    np.testing.assert_array_equal(x.data, V)


def test_other_ufuncs_are_reduced_where_there_is_no_history():
    t = tg.Tensor(V)
    assert np.subtract.reduce(t) == V[0] - V[1]
    assert np.hypot.reduce(t) == np.hypot(*V)
    assert np.logical_or.reduce(leaf() > 0)
    assert np.logical_and.reduce(leaf())
    with pytest.raises(TypeError, match="history"):
        np.subtract.reduce(leaf())


def test_an_array_cannot_hold_what_differs_within_a_batch():
    rows = np.array([[1.0, 2.0, 4.0], [3.0, 1.0, 7.0]])

    def copied(v):
        d = np.zeros(3)
        np.copyto(d, v)
        return d

    def put(v):
        d = np.zeros(3)
        np.put(d, [0, 1, 2], v)
        return d

    for f in (copied, put):
        np.testing.assert_array_equal(tg.vmap(f)(rows), rows)


def test_sparse_products_in_a_batch():
    sparse = pytest.importorskip("scipy.sparse")
    s = sparse.csr_array(np.array([[0.0, 2.0], [1.0, 3.0]]))
    np.testing.assert_allclose(tg.vmap(lambda v: s @ v)(A), (s @ A.T).T)
    np.testing.assert_allclose(tg.vmap(lambda v: v @ s)(A), A @ s)


def test_linspace_of_integers_rounds_down_as_numpys():
    ends = np.array([1.0, -2.0, 0.0])
    np.testing.assert_array_equal(np.linspace(1, tg.Tensor(ends), 3, dtype=int), np.linspace(1, ends, 3, dtype=int))


def test_einsum_takes_a_path_as_a_list():
    t = leaf(A)
    path = ["einsum_path", (1, 2), (0, 1)]
    np.testing.assert_allclose(np.einsum("ij,jk,kl->il", t, A, A, optimize=path).data, A @ A @ A)


def test_stacking_leaves_no_cycle(no_collector):
    t = leaf()
    tg.asarray([[t[0], 1.0], [1.0, t[1]]]).sum().backward()
