"""Other libraries' words and what to write instead; what completion shows; text for streams of any encoding."""

from __future__ import annotations

import importlib
import inspect
import io
import re
import sys
import traceback
from typing import Any

import numpy as np
import pytest

import nn
import nn._words
import tensorgrad as tg

T = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
TABLES = {
    "tg": (tg, tg.words.FUNCTIONS),
    "Tensor": (T, tg.words.METHODS),
    "nn": (nn, nn._words.LAYERS),
    "nn.functional": (nn.functional, nn._words.FUNCTIONS),
    "nn.init": (nn.init, nn._words.INITIALISERS),
    "Module": (nn.ReLU(), nn._words.MODULES),
}
ROWS = [
    pytest.param(owner, name, text, id=f"{table}.{name}")
    for table, (owner, words) in TABLES.items()
    for name, text in words.items()
]


@pytest.mark.parametrize(("owner", "name", "text"), ROWS)
def test_each_word_is_foreign_and_what_to_write_is_there(owner: Any, name: str, text: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert str(caught.value).endswith(f"has no {name!r}; write {text}")
    for module, dotted in re.findall(r"\b(tg|nn|np|t)\.([A-Za-z_][\w.]*)", text):
        found: Any = {"tg": tg, "nn": nn, "np": np, "t": T}[module]
        for part in dotted.rstrip(".").split("."):
            if part == "data" and isinstance(found, tg.Tensor):
                break
            found = getattr(found, part)


def test_misspelt_names_get_the_nearest() -> None:
    layer = nn.Linear(2, 3)
    for owner, name, near in (
        (tg, "sigmod", "sigmoid"),
        (tg, "Relu", "relu"),
        (tg, "tensr", "Tensor"),
        (nn, "ReLu", "ReLU"),
        (nn, "Drouput", "Dropout"),
        (nn.functional, "crossentropy", "cross_entropy"),
        (nn.init, "glorot_normall", "glorot_normal"),
        (layer, "in_feature", "in_features"),
    ):
        with pytest.raises(AttributeError, match=rf"has no '{name}'; did you mean '{near}'\?") as caught:
            getattr(owner, name)
        shown = "".join(traceback.format_exception(caught.value))
        assert shown.rstrip().endswith(str(caught.value))  # and Python suggests nothing after it
    with pytest.raises(AttributeError, match=r"^module tensorgrad has no 'qqqqqq'$"):
        tg.qqqqqq
    assert not hasattr(tg, "__wrapped__")
    assert getattr(T, "qqqqqq", None) is None
    assert not hasattr(T, "view")
    assert not hasattr(tg.Tensor, "view")
    assert "view" not in dir(T)
    assert "reshape" in dir(T)


KEYWORDS = {
    "sum dim": (lambda: tg.sum(T, dim=0), "sum has no parameter dim=; write axis="),
    "t.sum dim": (lambda: T.sum(dim=0), "sum has no parameter dim=; write axis="),
    "keepdim": (lambda: T.mean(axis=0, keepdim=True), "mean has no parameter keepdim=; write keepdims="),
    "softmax": (lambda: tg.softmax(T, dim=1), "softmax has no parameter dim=; write axis="),
    "unbiased": (lambda: tg.std(T, unbiased=False), "std has no parameter unbiased=; write ddof="),
    "clip": (lambda: tg.clip(T, a_min=0.0), "clip has no parameter a_min=; write min="),
    "size": (lambda: tg.zeros(size=(2,)), "zeros has no parameter size=; write shape="),
    "generator": (
        lambda: tg.random.normal(0.0, 1.0, (2,), generator=1),
        "normal has no parameter generator=; write rng=",
    ),
    "misspelt": (lambda: tg.sum(T, axs=0), r"sum has no parameter axs=; did you mean axis=\?"),
    "unknown": (lambda: tg.sum(T, qqq=0), "sum has no parameter qqq=; it takes axis=, dtype=, keepdims="),
    "linalg": (lambda: tg.linalg.norm(T, dim=0), "norm has no parameter dim=; write axis="),
    "fft": (lambda: tg.fft.fft(T, dim=0), "fft has no parameter dim=; write axis="),
}


@pytest.mark.parametrize("case", KEYWORDS)
def test_keywords(case: str) -> None:
    call, message = KEYWORDS[case]
    with pytest.raises(TypeError, match=message):
        call()


def test_errors_inside_a_function_stay_as_they_are() -> None:
    with pytest.raises(TypeError, match="required positional argument"):
        tg.concatenate()
    with pytest.raises((TypeError, ValueError)) as caught:
        tg.sum(T, axis="x")
    assert "has no parameter" not in str(caught.value)


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian, tg.vmap, tg.vjp])
def test_a_transform_takes_a_function(transform: Any) -> None:
    name = transform.__name__
    with pytest.raises(TypeError, match=rf"{name} takes a function, got a Tensor.*tg\.{name}\(f\)\(x\).*backward"):
        transform((T**2).sum(), T)
    with pytest.raises(TypeError, match=f"{name} takes a function, got int"):
        transform(3)


def test_a_device() -> None:
    with pytest.raises(TypeError, match=r"to: got 'cuda', expected np.float32 or np.float64, or a library of arrays"):
        nn.Linear(2, 3).to("cuda")


# --- completion -----------------------------------------------------------------------------------------


PUBLIC_MODULES = {
    "tensorgrad": ["fft", "linalg", "random", "special", "stats", "testing", "words"],
    "nn": ["functional", "init", "metrics", "parallel"],
}
MODULES = [*PUBLIC_MODULES, *(f"{package}.{name}" for package, names in PUBLIC_MODULES.items() for name in names)]


@pytest.mark.parametrize("name", MODULES)
def test_completion_shows_what_is_public(name):
    module = importlib.import_module(name)
    shown = [each for each in dir(module) if not each.startswith("_")]
    values = {each: getattr(module, each) for each in shown}  # all of them are there
    modules = [each for each, value in values.items() if inspect.ismodule(value)]
    assert modules == PUBLIC_MODULES.get(name, [])
    assert not {"TYPE_CHECKING", "Any", "annotations", "np", "sys"} & set(shown)
    assert {"__doc__", "__name__"} <= set(dir(module))
    if hasattr(module, "__all__"):
        assert shown == sorted(module.__all__)
    else:  # a package, which imports nothing else by such a name
        own = {each for each, value in vars(module).items() if inspect.isfunction(value) or inspect.isclass(value)}
        assert {each for each in own if not each.startswith("_")} <= set(shown)


def test_completion_of_small_modules():
    def shown(module):
        return [each for each in dir(module) if not each.startswith("_")]

    assert shown(tg.testing) == ["Check", "GradcheckError", "gradcheck", "gradgradcheck"]
    assert shown(tg.random) == sorted(tg.random.__all__)
    assert {"FNNClassifier", "FNNRegressor", "Linear"} <= set(dir(nn))
    assert "Tensor" in dir(tg)
    assert "tensor" not in dir(tg)


# --- streams that cannot encode everything --------------------------------------------------------------


def printed(text_of, encoding, monkeypatch):
    """What ``print`` writes to a stream of an encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        print(text_of())
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16"])
def test_summaries_and_drawings_print_to_any_stream(encoding, monkeypatch):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    summary = printed(lambda: network.summary((1, 1, 4, 4)), encoding, monkeypatch)
    unicode = encoding.startswith("utf")
    assert ("Linear 8→2" if unicode else "Linear 8->2") in summary
    assert ("3×3" if encoding not in ("ascii", "cp437") else "3x3") in summary
    *table, _ = summary.splitlines()
    assert len({len(line) for line in table}) == 1  # still aligned
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True, name="gewöhnlich αβγ")
    tree = printed(lambda: tg.draw((x * x).sum()), encoding, monkeypatch)
    branch = "└─ " if unicode or encoding == "cp437" else "`- "
    assert branch in tree
    assert ("αβγ" if unicode else "\\u03b3") in tree
    assert ("gewöhnlich" if encoding != "ascii" else "gew\\xf6hnlich") in tree


def test_text_for_a_stream_without_an_encoding_stays(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert tg.words.printable("a→b") == "a→b"
    assert tg.words.printable("a→b", io.StringIO()) == "a→b"
    assert tg.words.printable("\ud800", io.TextIOWrapper(io.BytesIO(), "utf-8")) == "\\ud800"
