"""Functions of Tensors as models of ONNX, compared with onnxruntime: every operation, batches of every size."""

import sys

import numpy as np
import pytest

import tensorgrad as tg

from .ops.cases import CASES

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(model, *inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {value.name: x for value, x in zip(session.get_inputs(), inputs, strict=True)})


def flat(tree):
    return [leaf for part in tree for leaf in flat(part)] if isinstance(tree, tuple | list) else [np.asarray(tree)]


# --- every operation ------------------------------------------------------------------------------------

# Those without an ONNX form, at least for their first sample.
LACKING = """
angle argpartition bincount bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift
bitwise_xor choose convolve correlate cross cummax cummin cumprod cumulative_prod diag diagflat fft.fft fft.fft2
fft.fftn fft.fftshift fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ifftshift fft.ihfft fft.irfft fft.irfft2 fft.irfftn
fft.rfft fft.rfft2 fft.rfftn fill_diagonal gumbel_softmax i0 imag interp intersect1d isin kron ldexp linalg.cholesky
linalg.cond linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh linalg.expm linalg.inv linalg.lstsq
linalg.matrix_rank linalg.pinv linalg.qr linalg.slogdet linalg.solve linalg.solve_triangular linalg.sqrtm linalg.svd
linalg.svdvals linalg.tensorinv linalg.tensorsolve logcumsumexp median nancumprod nextafter nonzero overlap_add
partition percentile poly polyfit polymul put_along_axis quantile random.bernoulli random.dirichlet random.exponential
random.gamma random.gumbel random.laplace random.logistic random.normal random.permutation random.uniform resize
scatter_add searchsorted setdiff1d setxor1d special.beta special.betainc special.betaln special.digamma special.entr
special.erfcx special.erfinv special.exp1 special.gamma special.gammainc special.gammaincc special.gammaln special.i0
special.i0e special.i1 special.i1e special.iv special.ive special.j0 special.j1 special.jv special.log_ndtr
special.logit special.multigammaln special.ndtri special.polygamma special.rel_entr special.spence special.zeta
union1d unique unique_all unique_counts unique_inverse unique_values unwrap vander
"""


def differentiable(case):
    """The first sample that has arrays of real numbers, in float32."""
    for sample in case.samples:
        if sample.arrays and all(a.dtype.kind == "f" and a.size for a in sample.arrays):
            return sample, [a.astype(np.float32) for a in sample.arrays]
    return None


@pytest.mark.parametrize("case", [case for case in CASES if differentiable(case)], ids=lambda case: case.name)
def test_every_operation_gives_the_same_or_is_refused_by_name(case):
    sample, arrays = differentiable(case)

    def function(*tensors):
        return sample.apply(case.op, tensors)

    want = flat(function(*arrays))
    if case.name in LACKING.split() or any(array.dtype.kind == "c" for array in want):
        with pytest.raises((TypeError, tg.GraphError), match=r"^ONNX export: .*\.py:\d+"):
            tg.onnx_model(function, *arrays, batch_axis=None)
        return
    for a, b in zip(run(tg.onnx_model(function, *arrays, batch_axis=None), *arrays), want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


# --- how often and where --------------------------------------------------------------------------------


def floats(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


# Functions of a batch, of shape (n, 3, 4).
OF_BATCHES = {
    "rows less the first and the last": lambda x: x - x[0] - x[-1] - x[x.shape[0] - 1],
    "mean of the batch": lambda x: x.mean(axis=0),
    "mean of everything": lambda x: x.mean(),
    "sum over the size": lambda x: x.sum() / x.shape[0] + x.size,
    "times one over the size": lambda x: x * (1 / x.shape[0]),
    "standard deviation of the batch": lambda x: x.std(axis=0, ddof=1),
    "flat": lambda x: x.reshape(-1),
    "all but one axis joined": lambda x: x.reshape(x.shape[0] * 3, 4),
    "transposed": lambda x: x.T,
    "its size as an array": lambda x: x * np.float32(x.shape[0]) + np.asarray([x.shape[0]], np.float32),
    "repeated": lambda x: tg.broadcast_to(x[:, None], (x.shape[0], 2, 3, 4)),
    "pairs": lambda x: x[:, None] - x[None],
    "reversed": lambda x: x[::-1],
    "doubled": lambda x: tg.concatenate([x, x], axis=0),
    "padded": lambda x: tg.pad(x, ((1, 2), (0, 0), (3, 0)), constant_values=7.0),
    "padded by reflection": lambda x: tg.pad(x, ((0, 0), (1, 2), (0, 0)), "reflect"),
    "sorted along the batch": lambda x: tg.sort(x, axis=0),
    "picked": lambda x: x[:, [2, 0], [1, 1]],
    "picked by another": lambda x: tg.take_along_axis(x, tg.argsort(x, axis=1), axis=1),
    "largest": lambda x: (x.argmax(axis=1), x.max(axis=0)),
    "running": lambda x: tg.cumsum(x, axis=0),
    "products": lambda x: (
        tg.einsum("bij,bkj->bik", x, x),
        x @ tg.swapaxes(x, 1, 2),
        tg.tensordot(x, x, ([1, 2], [1, 2])),
    ),
    "comparisons": lambda x: (x > 0) & (x < 1) | ~(x == x),
    "whole numbers": lambda x: (tg.astype(x * 9, np.int64) // 4, tg.astype(x * 9, np.int64) % -4),
    "a constant beside": lambda x: (x, tg.Tensor([1.0, 2.0]), x),
}


@pytest.mark.parametrize("name", OF_BATCHES)
def test_batches_of_any_size(name):
    function = OF_BATCHES[name]
    model = tg.onnx_model(function, floats(1, 3, 4))
    for batch in (2, 5, 20):
        x = floats(batch, 3, 4)
        for got, want in zip(run(model, x), flat(function(tg.Tensor(x))), strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("n", [3, 5])
def test_what_follows_from_no_input_is_computed_once(n):
    w = tg.Tensor(floats(3, n))
    model = tg.onnx_model(lambda x: x @ tg.exp(w) + tg.exp(w).sum(axis=0), floats(1, 3), names={"w": w})
    assert [node.op_type for node in model.graph.node] == ["Gemm"]
    assert [array.name for array in model.graph.initializer] == ["constant", "constant_1"]


def test_without_a_batch():
    model = tg.onnx_model(lambda x: x * x.shape[0], floats(3, 4), batch_axis=None)
    assert [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim] == [3, 4]
    np.testing.assert_allclose(run(model, floats(3, 4))[0], floats(3, 4) * 3, rtol=1e-6)


def test_names_are_unique():
    model = tg.onnx_model(lambda x, y: {"x": x + y, "y": x - y}, floats(1, 2), floats(1, 2), input_names=["x", "y"])
    assert [value.name for value in model.graph.input] == ["x", "y"]
    assert [value.name for value in model.graph.output] == ["x_1", "y_1"]
    with pytest.raises(ValueError, match="input_names must be 2 different names"):
        tg.onnx_model(lambda x, y: x + y, floats(1, 2), floats(1, 2), input_names=["x", "x"])


def test_a_function_that_looks_at_values_for_speed_only_is_gone_through():
    @tg.indivisible
    def doubled(x):
        return np.multiply(x, 2)

    model = tg.onnx_model(lambda x: tg.Tensor(doubled(tg.array_of(x))), floats(1, 2))
    assert [node.op_type for node in model.graph.node] == ["Mul"]


def test_what_is_not_needed_may_lack_a_form():
    def function(x):
        tg.linalg.eigvalsh(x @ x.T)
        return x + 1

    assert [node.op_type for node in tg.onnx_model(function, floats(3, 3), batch_axis=None).graph.node] == ["Add"]


def test_results_that_are_no_arrays():
    with pytest.raises(TypeError, match="the function returned str, expected Tensors"):
        tg.onnx_model(lambda x: "x", floats(1, 2))


def test_masked_rows_are_refused_also_where_the_example_has_none():
    with pytest.raises(TypeError, match="a boolean mask: the shape of the result depends on values"):
        tg.onnx_model(lambda x: x[x > 0], np.zeros((1, 2)))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_extreme_numbers(scale):
    x = (np.array([[-3.0, 0.0, 2.0]]) * scale).astype(np.float32)
    for function in (
        tg.expm1,
        tg.log1p,
        tg.logsumexp,
        lambda t: tg.linalg.norm(t, axis=-1),
        lambda t: tg.hypot(t, 2 * t),
    ):
        (got,) = run(tg.onnx_model(function, x), x)
        np.testing.assert_allclose(got, np.asarray(function(tg.Tensor(x))), rtol=1e-5, atol=1e-37)


def test_not_finite_numbers():
    x = np.array([[np.nan, 1, -np.inf, np.inf, 0.0]], np.float32)
    for function in (
        *(tg.relu, tg.leaky_relu, tg.elu, tg.selu, tg.softplus, tg.mish, tg.silu, tg.softsign, tg.sigmoid, tg.log1p),
        *(tg.expm1, tg.cbrt, tg.sign, tg.hardtanh, tg.log_softmax, tg.softmax, tg.isfinite, tg.argmax, tg.any),
        *(tg.max, tg.nanmax, tg.logsumexp, lambda t: tg.clip(t, -1, 1), lambda t: tg.fmax(t, t[:, ::-1])),
        *(lambda t: tg.logaddexp(t, t[:, ::-1]), lambda t: tg.arctan2(t, t[:, ::-1]), lambda t: tg.minimum(t, 0.5)),
        lambda t: tg.hypot(t, t[:, ::-1]),
    ):
        (got,) = run(tg.onnx_model(function, x, batch_axis=None), x)
        with np.errstate(invalid="ignore"):
            want = np.asarray(function(tg.Tensor(x)))
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_float64_keeps_its_digits():
    x = np.linspace(-3, 3, 7)[None]
    for function in (lambda t: tg.leaky_relu(t, 0.1), lambda t: t.mean(axis=1), tg.expm1, tg.log_softmax, tg.logsumexp):
        (got,) = run(tg.onnx_model(function, x), x)
        np.testing.assert_allclose(got, np.asarray(function(tg.Tensor(x))), rtol=1e-13)


def test_without_onnx_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[onnx\]'"):
        tg.onnx_model(lambda x: x, floats(1, 2))
