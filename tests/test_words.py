"""Other libraries' words: an error says which of ours to write."""

from __future__ import annotations

import re
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
        with pytest.raises(AttributeError, match=rf"has no '{name}'; did you mean '{near}'\?"):
            getattr(owner, name)
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
    with pytest.raises(TypeError, match=r"to: got 'cuda', expected np.float32 or np.float64; there is no device"):
        nn.Linear(2, 3).to("cuda")
