"""The checker itself: planted wrong rules are rejected, correct ones accepted."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.engine.record import record
from tensorgrad.errors import DTypeError
from tensorgrad.testing import GradcheckError, gradcheck, gradgradcheck

RNG = np.random.default_rng(20)
V = RNG.uniform(0.5, 2.0, 4)
W = RNG.uniform(0.5, 2.0, 4)
M = RNG.uniform(0.5, 2.0, (3, 4))
SQUARE = RNG.uniform(0.5, 2.0, (3, 3))


def planted(forward, *rules):
    """A function that is recorded with these rules, one per argument."""
    return lambda *inputs: record("planted", forward, inputs, rules)


def one_element_off(xp, g, x):
    result = 2 * g * x
    result[..., 2] += 1e-6
    return result


def writes_into_g(xp, g, y):
    g *= y
    return g


def writes_into_g_of_others(xp, g, x):
    result = g * x
    g[...] = 0
    return result


def writes_into_saved(xp, g, x, y):
    y *= g
    return y


def writes_into_out(xp, g, out):
    np.multiply(out, g, out=out)
    return out


def only_diagonal(xp, g, out):
    return g * out * (1 - out)


def softmax(a):
    e = np.exp(a - np.max(a))
    return e / np.sum(e)


WRONG_VALUES = {
    "factor 1.001": (planted(np.tanh, lambda xp, g, out: 1.001 * g * (1 - out * out)), [V]),
    "sign": (planted(np.cos, lambda xp, g, x: g * xp.sin(x)), [V]),
    "no sum over a broadcast axis": (
        planted(lambda a: np.broadcast_to(a, (3, 4)), lambda xp, g: g[0]),
        [V],
    ),
    "no sum over an axis kept with length 1": (
        planted(np.add, lambda xp, g: g, lambda xp, g: g[:, :1]),
        [M, M[:, :1].copy()],
    ),
    "transposed": (planted(lambda a: a * a, lambda xp, g, x: xp.transpose(2 * g * x)), [SQUARE]),
    "not transposed": (
        planted(np.matmul, lambda xp, g, y: g @ y, lambda xp, g, x: x.T @ g),
        [SQUARE, SQUARE + 1],
    ),
    "wrong index": (planted(lambda a: a[[0, 2]], lambda xp, g: xp.scatter(g, ([0, 1],), (4,))), [V]),
    "repeated index not added": (
        planted(
            lambda a: a[[1, 1]],
            lambda xp, g: np.put_along_axis(z := np.zeros(4), np.array([1, 1]), g, 0) or z,
        ),
        [V],
    ),
    "one element off by a millionth": (planted(np.square, one_element_off), [M]),
    "arguments swapped": (planted(np.multiply, lambda xp, g, x: g * x, lambda xp, g, y: g * y), [V, W]),
    "gradient forgotten": (planted(np.exp, lambda xp, g, out: 1 * out), [V]),
    "chain rule forgotten": (planted(lambda a: np.sin(3 * a), lambda xp, g, x: g * xp.cos(3 * x)), [V]),
    "only the diagonal of a Jacobian": (planted(softmax, only_diagonal), [V]),
    "mean without 1/n": (planted(np.mean, lambda xp, g: xp.broadcast_to(g, (3, 4))), [M]),
    "always zero": (planted(np.exp, lambda xp, g: xp.zeros_like(g)), [V]),
    "NaN": (planted(np.square, lambda xp, g, x: g * x * np.nan), [V]),
    "second argument only": (
        planted(np.divide, lambda xp, g, y: g / y, lambda xp, g, y, out: g * out / y),
        [V, W],
    ),
}


@pytest.mark.promise("M1")
@pytest.mark.parametrize("method", [None, "complex", "central"])
@pytest.mark.parametrize("case", WRONG_VALUES)
def test_a_wrong_rule_is_rejected_and_its_worst_element_named(case, method):
    f, inputs = WRONG_VALUES[case]
    with pytest.raises(GradcheckError, match=r"input \d at index \(.*analytic .*numeric .*error .*tolerance"):
        gradcheck(f, *inputs, method=method)


WRONG_MANNERS = {
    "writes into g": (
        planted(np.multiply, writes_into_g, lambda xp, g, x: g * x),
        [V, W],
        "input 0 wrote to the gradient g",
    ),
    "writes into g after use": (
        planted(np.square, lambda xp, g, x: 2 * writes_into_g_of_others(xp, g, x)),
        [V],
        "wrote to the gradient g",
    ),
    "writes into what it saved": (
        planted(np.multiply, writes_into_saved, lambda xp, g, x: g * x),
        [V, W],
        "wrote to its saved argument y",
    ),
    "writes into its result": (planted(np.exp, writes_into_out), [V], "wrote to its saved argument out"),
    "returns what it saved": (
        planted(lambda a: a * a / 2, lambda xp, g, x: x),
        [V],
        "returned an array that it saved",
    ),
    "returns a view of it": (
        planted(lambda a: a * a / 2, lambda xp, g, x: x[::-1]),
        [V],
        "returned an array that it saved",
    ),
    "wrong shape": (
        planted(np.exp, lambda xp, g, out: (g * out)[:3]),
        [V],
        r"returned shape \(3,\), expected \(4,\)",
    ),
    "wrong dtype": (planted(np.exp, lambda xp, g: np.ones(4, dtype=np.int64)), [V], "returned dtype int64"),
    "a list": (planted(np.exp, lambda xp, g: [1.0] * 4), [V], "returned list"),
    "None": (planted(np.exp, lambda xp, g: None), [V], "returned NoneType"),
    "forward writes to its input": (
        planted(lambda a: np.exp(a, out=a), lambda xp, g, out: g * out),
        [V],
        "wrote to its input 0",
    ),
}


@pytest.mark.promise("M1")
@pytest.mark.parametrize("case", WRONG_MANNERS)
def test_a_rule_that_misbehaves_is_rejected_and_named(case):
    f, inputs, words = WRONG_MANNERS[case]
    with pytest.raises(GradcheckError, match=words):
        gradcheck(f, *inputs)


def test_the_message_names_the_worst_of_several_wrong_elements():
    off = np.zeros((3, 4))
    off[0, 1], off[1, 2] = 1e-3, 5e-3
    f = planted(lambda a: 2.0 * a, lambda xp, g: g * (2 + off))
    with pytest.raises(GradcheckError, match=r"wrong in 2 of 12 elements.*index \(1, 2\).*ratio 1.0025"):
        gradcheck(f, M)


def test_the_argument_is_named_by_its_position():
    f = planted(lambda a, b: a * b, lambda xp, g, y: g * y, lambda xp, g, x: 1.1 * g * x)
    with pytest.raises(GradcheckError, match="input 1 at index"):
        gradcheck(f, V, W)


def frozen(x):
    return x.detach() if isinstance(x, tg.Tensor) else x


WRONG_AT_SECOND_ORDER = {
    "a factor taken for constant": (planted(lambda a: a**3, lambda xp, g, x: 3 * g * x * frozen(x)), [V]),
    "g taken for constant": (planted(np.square, lambda xp, g, x: 2 * frozen(g) * x), [V]),
    "the whole rule taken for constant": (planted(np.exp, lambda xp, g, out: frozen(g * out)), [V]),
    "another function under Tensors": (
        planted(np.sin, lambda xp, g, x: g * xp.cos(x) if not hasattr(x, "node") else g * (1 - x * x / 2)),
        [V],
    ),
}


@pytest.mark.promise("M1")
@pytest.mark.parametrize("case", WRONG_AT_SECOND_ORDER)
def test_right_at_first_order_and_wrong_at_second(case):
    f, inputs = WRONG_AT_SECOND_ORDER[case]
    gradcheck(f, *inputs)
    with pytest.raises(GradcheckError, match=r"first derivative of .*analytic .*numeric"):
        gradgradcheck(f, *inputs)


RIGHT = {
    "tanh": (tg.tanh, [V], "complex"),
    "quotient that broadcasts": (tg.divide, [M, W], "complex"),
    "matmul": (tg.matmul, [M, M.T.copy()], "complex"),
    "composed": (lambda x, y: tg.exp(-x) * tg.sin(x * y) + x**y, [V, W], "complex"),
    "indexed": (lambda x: x[[0, 2, 2]], [V], "complex"),
    "scalar": (lambda x: x * x, [np.float64(1.5)], "complex"),
    "several results": (lambda x, y: (x * y, tg.exp(y)), [V, W], "complex"),
    "does not depend on one": (lambda x, y: x * x, [V, W], "complex"),
    "column-major": (lambda x: x * x, [np.asfortranarray(M)], "complex"),
    "strided": (lambda x: x * x, [M[:, ::-2]], "complex"),
    "empty": (lambda x: x * x, [np.zeros((0, 3))], "complex"),
    "abs is not analytic": (abs, [V - 1.2], "central"),
    "maximum": (lambda x, y: tg.maximum(x, y) ** 2, [V, W], "central"),
    "chosen by a comparison": (lambda x: tg.where(x.data.real > 1, x * x, tg.sin(x)), [V], "complex"),
    "through a value that is cut": (lambda x: x * x.detach().data.real, [V], None),
}


@pytest.mark.parametrize("case", [case for case in RIGHT if RIGHT[case][2]])
def test_a_right_rule_is_accepted_at_both_orders(case):
    f, inputs, method = RIGHT[case]
    found = gradcheck(f, *inputs)
    assert found.method == method
    assert found.elements == sum(np.size(a) for a in inputs)
    assert found.error < (1e-14 if method == "complex" else 1e-9)
    second = gradgradcheck(f, *inputs)
    assert second.error < (1e-13 if second.method == "complex" else 1e-8)


def test_history_cut_inside_f_is_found():
    f, inputs, _ = RIGHT["through a value that is cut"]
    with pytest.raises(GradcheckError, match="is wrong in 4 of 4"):
        gradcheck(f, *inputs)


def test_each_method_accepts_correct_rules():
    for method in ("complex", "central"):
        assert gradcheck(tg.exp, V, method=method).method == method
        assert gradgradcheck(tg.exp, V, method=method).method == method


def test_the_caller_sets_the_tolerances():
    f, inputs = WRONG_VALUES["factor 1.001"]
    assert gradcheck(f, *inputs, rtol=2e-3).error == pytest.approx(0.001, rel=0.9)
    with pytest.raises(GradcheckError):
        gradcheck(f, *inputs, rtol=1e-4)
    assert gradcheck(f, *inputs, rtol=0, atol=1e-2).elements == 4


def test_the_same_seed_gives_the_same_check():
    assert gradcheck(tg.sin, M, seed=3) == gradcheck(tg.sin, M, seed=3)


@pytest.mark.promise("M2")
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.bool_])
def test_only_float64_can_be_checked(check, dtype):
    with pytest.raises(DTypeError, match=rf"input 1 has dtype {np.dtype(dtype)}, expected float64.*astype"):
        check(tg.multiply, V, W.astype(dtype))


@pytest.mark.promise("M2")
def test_a_random_function_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="two different results"):
        gradcheck(lambda x: x * rng.random(4), V)


@pytest.mark.promise("M2")
@pytest.mark.parametrize("f", [abs, tg.relu, lambda x: tg.maximum(x, 0.0), lambda x: x * tg.sign(x)])
@pytest.mark.parametrize("at", [0.0, 2e-5, -7e-5, 1.3e-4])
def test_a_kink_within_the_step_is_refused(f, at):
    point = np.array([1.0, at, -1.0])
    with pytest.raises(GradcheckError, match=r"kink or a jump at input 0, index \(1,\).*right.*left"):
        gradcheck(f, point)


@pytest.mark.parametrize("f", [tg.floor, tg.sign, lambda x: tg.where(x > 0, 1.0 + x, x)])
def test_a_jump_within_the_step_is_refused(f):
    with pytest.raises(GradcheckError, match=r"kink or a jump at input 0, index \(1,\)"):
        gradcheck(f, np.array([0.5, 0.0]))


def test_strong_curvature_is_not_a_kink():
    assert gradcheck(lambda x: tg.exp(x) * x**4, np.array([5.0, -3.0])).method == "complex"
    assert gradcheck(lambda x: 1 / x, np.array([0.1, -0.05])).method == "complex"


def test_a_point_outside_the_domain_is_refused():
    with pytest.raises(GradcheckError, match=r"log is nan at index \(1,\) of result 0"):
        gradcheck(tg.log, np.array([1.0, -1.0]))
    with pytest.raises(GradcheckError, match=r"log is not finite around input 0, index \(1,\) = 0.0001"):
        gradcheck(tg.log, np.array([1.0, 1e-4]))


@pytest.mark.promise("M2")
def test_overlapping_inputs_are_refused():
    a = RNG.uniform(size=6)
    with pytest.raises(ValueError, match="inputs 0 and 1 share memory"):
        gradcheck(tg.multiply, a[:4], a[2:])
    with pytest.raises(ValueError, match="elements of input 0 share memory"):
        gradcheck(tg.exp, np.broadcast_to(V, (3, 4)))


def test_inputs_are_not_changed():
    a = V.copy()
    t = tg.Tensor(V, requires_grad=True)
    gradcheck(tg.multiply, a, t)
    gradgradcheck(tg.multiply, a, t)
    np.testing.assert_array_equal(a, V)
    np.testing.assert_array_equal(t.data, V)
    assert t.grad is None


def test_f_must_return_tensors():
    with pytest.raises(TypeError, match="returned a ndarray"):
        gradcheck(lambda x: x.data, V)
    with pytest.raises(TypeError, match="at least one input"):
        gradcheck(lambda: tg.Tensor(1.0))


def test_parameters_that_f_closes_over_get_no_gradient():
    w = tg.Tensor(W, requires_grad=True)
    gradcheck(lambda x: w * x * x, V)
    gradgradcheck(lambda x: w * x * x, V)
    assert w.grad is None


# --- functions of any size --------------------------------------------------------------------------------

SIZES = [1e-100, 1e-30, 1e-13, 1e-7, 1e7, 1e30]
APART = np.array([0.7, -1.2, 2.0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("f", [abs, tg.tanh, lambda x: tg.softmax(x)])
def test_a_right_rule_is_accepted_at_any_size(f, size):
    gradcheck(lambda x: f(x) * size, APART)
    gradgradcheck(lambda x: f(x) * size, APART)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [0.0, 3.0, 1.00001])
@pytest.mark.parametrize("name", ["abs", "tanh"])
def test_a_wrong_rule_is_rejected_at_any_size(name, factor, size):
    f = {
        "abs": planted(lambda a: np.abs(a) * size, lambda xp, g, x: factor * size * g * xp.sign(x)),
        "tanh": planted(lambda a: np.tanh(a) * size, lambda xp, g, x: factor * size * g / xp.cosh(x) ** 2),
    }[name]
    for method in (None, "central"):
        with pytest.raises(GradcheckError, match="is wrong in 3 of 3"):
            gradcheck(f, APART, method=method)


def test_a_small_wrong_element_is_rejected_next_to_a_large_right_one():
    small = planted(lambda a: np.abs(a) * 1e-9, lambda xp, g, x: xp.zeros_like(g))
    with pytest.raises(GradcheckError, match=r"wrong in 1 of 2 elements.*index \(1,\)"):
        gradcheck(lambda x: tg.concat([x[:1] ** 2, small(x[1:])]), np.array([0.5, 0.7]))


@pytest.mark.parametrize("size", [1e-13, 1e-7, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("at", [0.0, 2e-5, -7e-5, 1.3e-4])
def test_a_kink_is_refused_at_any_size(at, offset, size):
    for f in (abs, tg.relu):
        with pytest.raises(GradcheckError, match=r"kink or a jump at input 0, index \(1,\)"):
            gradcheck(lambda x, f=f: (f(x) + offset) * size, np.array([1.0, at]))


@pytest.mark.parametrize("at", [1e-2, 1e-3, -1e-3, 5e-4])
def test_strong_curvature_near_a_kink_is_not_a_kink(at):
    f = planted(lambda a: np.sqrt(np.abs(a)), lambda xp, g, x, out: 0.5 * g * xp.sign(x) / out)
    wrong = planted(lambda a: np.sqrt(np.abs(a)), lambda xp, g, x, out: 0.500001 * g * xp.sign(x) / out)
    assert gradcheck(f, np.array([at])).method == "central"
    gradgradcheck(f, np.array([at]))
    with pytest.raises(GradcheckError, match="is wrong in 1 of 1"):
        gradcheck(wrong, np.array([at]))


@pytest.mark.parametrize("power", range(2, 9))
@pytest.mark.parametrize("method", [None, "complex", "central"])
def test_a_flat_point_is_not_a_kink(power, method):
    gradcheck(lambda x: x**power, np.zeros(1), method=method)
    gradgradcheck(lambda x: x**power, np.zeros(1), method=method)


def test_a_derivative_that_cancels_is_accepted():
    for method in (None, "central"):
        gradcheck(lambda x: tg.softmax(x).sum(), APART, method=method)
        gradgradcheck(lambda x: tg.softmax(x).sum(), APART, method=method)
        gradcheck(lambda x: tg.softmax(x).sum() - 1, APART, method=method, atol=1e-9)


# --- points where terms cancel ----------------------------------------------------------------------------

ONES = np.ones((3, 3))
CANCELLING = {
    "the determinant of ones": (tg.linalg.det, np.linalg.det, ONES),
    "the determinant of a matrix of rank 1": (tg.linalg.det, np.linalg.det, np.outer([0.3, 0.7, 1.1], [1.0, 2.0, 0.7])),
    "a product of zeros": (tg.prod, np.prod, np.zeros(3)),
    "a difference of squares": (lambda x: x[0] ** 2 - x[1] ** 2, lambda a: a[0] ** 2 - a[1] ** 2, np.full(2, 0.3)),
    "a square of a difference": (lambda x: (x[0] - x[1]) ** 2, lambda a: (a[0] - a[1]) ** 2, np.full(2, 0.3)),
    "zero": (lambda x: (0 * x).sum(), lambda a: np.sum(0 * a), V),
}


def off_by(error, f, forward):
    """The operation, with a gradient that is wrong by ``error`` in one element."""

    def rule(xp, g, x):
        gradient = np.array(tg.array_of(tg.grad(f)(x)))
        gradient.flat[-1] += error
        return g * gradient

    return planted(forward, rule)


@pytest.mark.parametrize("method", [None, "central"])
@pytest.mark.parametrize("case", CANCELLING)
def test_where_terms_cancel_a_rounding_error_passes_and_a_small_mistake_does_not(case, method):
    f, forward, point = CANCELLING[case]
    gradcheck(f, point, method=method)
    gradgradcheck(f, point, method=method)
    if case != "zero":  # of a function that is zero all around, nothing is lost by rounding
        gradcheck(off_by(1e-16, f, forward), point, method=method)
    for error in (1e-6, -1e-6):
        with pytest.raises(GradcheckError, match="is wrong in 1 of "):
            gradcheck(off_by(error, f, forward), point, method=method)


@pytest.mark.parametrize("size", SIZES)
def test_where_terms_cancel_the_tolerance_goes_with_the_size_of_the_function(size):
    for error in (1e-16, 1e-6):
        f = lambda x, e=error: off_by(e, tg.linalg.det, np.linalg.det)(x) * size
        if error < 1e-15:
            gradcheck(f, ONES, method="central")
        else:
            with pytest.raises(GradcheckError, match="is wrong in 1 of 9"):
                gradcheck(f, ONES, method="central")


def test_the_size_of_a_function_is_not_sought_outside_its_domain():
    """What is further off may be out of it; only what is finite there counts."""
    assert gradcheck(lambda x: tg.log(x) * tg.sqrt(1.1 - x), np.array([1.0, 1e-3])).elements == 2
    assert gradcheck(lambda x: tg.linalg.cholesky(x), np.array([[1.0, 0.0], [0.999, 1.0]])).elements == 4
    with pytest.raises(GradcheckError, match="is wrong in 1 of 2"):
        gradcheck(off_by(1e-6, lambda x: tg.log(x).sum(), lambda a: np.sum(np.log(a))), np.array([1.0, 1e-3]))
