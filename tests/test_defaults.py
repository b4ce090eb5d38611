"""The defaults of arguments: NumPy's, or those of the table here, which are PyTorch's where it has them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg

# Defaults other than None of what NumPy does not have, and of what differs from NumPy on purpose.
EVERYWHERE = {"keepdims": False, "requires_grad": False}
OWN: dict[str, dict[str, Any]] = {
    "Drawing": {"color": "grad"},
    "Tensor.backward": {"retain_graph": False, "create_graph": False},
    "argsort": {"stable": True, "descending": False},
    "celu": {"alpha": 1.0},
    "compile": {"backend": "auto", "warn": True, "edits": True},
    "conv": {"stride": 1, "dilation": 1, "padding": 0, "groups": 1},
    "conv_input": {"stride": 1, "dilation": 1, "padding": 0, "groups": 1},
    "conv_weight": {"stride": 1, "dilation": 1, "padding": 0, "groups": 1},
    "draw": {"backward": False, "color": "grad"},
    "einsum": {"optimize": True},
    "elu": {"alpha": 1.0},
    "gelu": {"approximate": "none"},
    "glu": {"axis": -1},
    "grad": {"argnums": 0, "allow_unused": False, "has_aux": False},
    "gumbel_softmax": {"tau": 1.0, "hard": False, "axis": -1},
    "hardshrink": {"lambd": 0.5},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "hessian": {"argnums": 0},
    "host": {"early": False},
    "jacobian": {"argnums": 0},
    "leaky_relu": {"alpha": 0.01},
    "linalg.cross": {"axisa": -1, "axisb": -1, "axisc": -1},
    "linalg.diagonal": {"offset": 0},
    "linalg.solve_triangular": {"lower": False, "unit_diagonal": False},
    "log_softmax": {"axis": -1},
    "minimize": {"method": "L-BFGS-B"},
    "nanstd": {"correction": 0},
    "nanvar": {"correction": 0},
    "onnx_model": {"batch_axis": 0},
    "overlap_add": {"stride": 1, "dilation": 1, "padding": 0},
    "pad": {"constant_values": 0, "end_values": 0, "reflect_type": "even"},
    "per_sample_grad": {"argnums": 0, "in_axes": 0},
    "prelu": {"axis": 1},
    "put_along_axis": {"axis": -1},
    "rrelu": {"lower": 1 / 8, "upper": 1 / 3, "training": False},
    "safe_where": {"instead": 1.0},
    "scope": {"title": ""},
    "softmax": {"axis": -1},
    "softmin": {"axis": -1},
    "softplus": {"beta": 1.0},
    "softshrink": {"lambd": 0.5},
    "sort": {"stable": True, "descending": False},
    "std": {"correction": 0},
    "strided_windows": {"stride": 1, "dilation": 1, "padding": 0, "fill": 0.0},
    "testing.gradcheck": {"seed": 0},
    "testing.gradgradcheck": {"seed": 0},
    "topk": {"axis": -1, "largest": True, "sorted": True},
    "value_and_grad": {"argnums": 0, "allow_unused": False, "has_aux": False},
    "var": {"correction": 0},
    "vecdot": {"axis": -1},
    "vmap": {"in_axes": 0},
    "words.escaped": {"lines": False},
}
SPACES = {"": tg, "linalg": tg.linalg, "fft": tg.fft, "special": tg.special, "random": tg.random,
          "testing": tg.testing, "words": tg.words}  # fmt: skip
NUMPY: dict[str, Any] = {"": np, "linalg": np.linalg, "fft": np.fft, "random": np.random.Generator}
NAMES = {"axis": "dim", "alpha": "negative_slope"}  # PyTorch's


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a function, by argument, without None and without those that stand for no argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function written in C
        return {}
    return {
        p.name: p.default
        for p in parameters
        if isinstance(p.default, bool | int | float | str | tuple | complex) and p.default != ()
    }


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each public function, and each public method of Tensor that has a default of its own."""
    seen = set()
    for space, module in SPACES.items():
        for name in getattr(module, "__all__", None) or vars(module):
            function = getattr(module, name)
            if name.startswith("_") or isinstance(function, types.ModuleType) or not callable(function):
                continue
            scalar_type = isinstance(function, type) and issubclass(function, np.generic | BaseException)
            if not scalar_type and id(function) not in seen:
                seen.add(id(function))
                yield f"{space}.{name}".removeprefix("."), function
    yield "Tensor.backward", tg.Tensor.backward


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="older NumPy has fewer functions, and tells fewer signatures"
)
def test_each_default_is_numpys_or_in_the_table() -> None:
    ours: dict[str, dict[str, Any]] = {}
    compared = 0
    for name, function in public():
        space, _, short = name.rpartition(".")
        theirs = defaults(getattr(NUMPY.get(space), short, None) or (lambda: None))
        for argument, value in defaults(function).items():
            if argument in EVERYWHERE:
                assert value is EVERYWHERE[argument], (name, argument)
            elif argument in theirs and argument not in OWN.get(name, {}):
                assert (type(value), value) == (type(theirs[argument]), theirs[argument]), (name, argument)
                compared += 1
            else:
                ours.setdefault(name, {})[argument] = value
    assert ours == OWN
    assert compared > 100


@pytest.mark.peer
def test_the_tables_defaults_are_those_of_the_peer() -> None:
    functional = pytest.importorskip("torch").nn.functional
    compared = set()
    for name, arguments in OWN.items():
        theirs = defaults(getattr(functional, name)) if hasattr(functional, name) else {}
        if name in ("softmax", "softmin", "log_softmax"):  # PyTorch asks for the axis
            theirs = {}
        for argument, value in arguments.items():
            other = argument if argument in theirs else NAMES.get(argument, argument)
            if other in theirs:
                assert theirs[other] == value, (name, argument)
                compared.add(name)
    assert compared >= {"celu", "elu", "glu", "gumbel_softmax", "hardtanh", "leaky_relu", "rrelu"}
    solve = defaults(pytest.importorskip("scipy").linalg.solve_triangular)
    assert {"lower": solve["lower"], "unit_diagonal": solve["unit_diagonal"]} == OWN["linalg.solve_triangular"]


def test_the_defaults_of_arguments_that_are_passed_on() -> None:
    """NumPy takes these by name only, so they have no default in its signature."""
    x = np.array([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])
    np.testing.assert_array_equal(tg.pad(x, 1).data, np.pad(x, 1))
    np.testing.assert_array_equal(tg.pad(x, 1, mode="linear_ramp").data, np.pad(x, 1, mode="linear_ramp"))
    np.testing.assert_array_equal(tg.pad(x, 1, mode="reflect").data, np.pad(x, 1, mode="reflect"))
    np.testing.assert_allclose(tg.std(x).data, np.std(x), rtol=1e-14)
    np.testing.assert_allclose(tg.vecdot(x, x).data, np.vecdot(x, x), rtol=1e-14)
    np.testing.assert_allclose(tg.linalg.cross(x, x[::-1]).data, np.linalg.cross(x, x[::-1]), rtol=1e-14)
    np.testing.assert_array_equal(tg.linalg.diagonal(x).data, np.linalg.diagonal(x))
