"""Names with control characters, such as those of a file from someone else: they are never shown, or run, raw."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._training.notebook import curve

# Clear the screen; set the terminal's title; go back over what was printed; write from right to left.
HOSTILE = "\x1b[2J\x1b]0;owned\x07a\rb\n    c\x9b1m\u202e<script>alert"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        setattr(self, HOSTILE, nn.Linear(2, 2, rng=0))

    def forward(self, x: Any) -> Any:
        return next(self.children())(x)


def shown_model() -> dict[str, str]:
    net = Net()
    x = np.ones((3, 2), np.float32)
    out = net(x).sum()
    drawing = tg.draw(out)
    history = nn.History()
    history.append({HOSTILE: 1.0})
    tensor = tg.Tensor([1.0], requires_grad=True, name=HOSTILE)
    named = tg.draw((tensor * 2.0).sum(), backward=True)
    errors = []
    for act in (
        lambda: net(np.ones((3, 5), np.float32)),
        lambda: net.load_state_dict({}),
        lambda: net.load_state_dict({**net.state_dict(), HOSTILE: x}),
        lambda: history["loss"],
        lambda: nn.SGD([tensor, tensor], lr=0.1),
    ):
        with pytest.raises((ValueError, KeyError)) as error:
            act()
        errors.append(str(error.value))
    return {
        "repr": repr(net),
        "summary": str(net.summary((3, 2))),
        "summary as HTML": net.summary((3, 2))._repr_html_(),
        "drawing": str(drawing),
        "drawing in a notebook": drawing._repr_mimebundle_()["text/plain"],
        "DOT": drawing.dot,
        "SVG": drawing.svg or "",
        "page as HTML": drawing.interactive().html + named.steps().html if drawing.svg else "",
        "named": str(named) + named.dot + (named.svg or ""),
        "tensor": repr(tensor),
        "tensor as HTML": tensor._repr_html_(),
        "history": repr(history),
        "history as HTML": history._repr_html_(),
        "curve": curve({HOSTILE: [1.0, 2.0]}),
        "errors": "\n".join(errors),
    }


def test_names_are_shown_without_control_characters() -> None:
    for where, text in shown_model().items():
        raw = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"}
        assert not raw, (where, raw, text)
        if "HTML" in where or where in ("SVG", "curve"):
            assert "<script>alert" not in text, where
        elif text and where != "curve":
            assert r"\x1b[2J" in text, (where, text)  # as an escape; nothing is lost


def test_a_line_break_in_a_name_is_an_escape() -> None:
    assert r"a\rb\n    c" in repr(Net())
    assert tg.words.escaped("W\n") == r"W\n"
    assert tg.words.escaped("W\nV\x1b", lines=True) == "W\nV\\x1b"
    assert tg.words.escaped("Größe→ 模型 🙂") == "Größe→ 模型 🙂"
    assert tg.words.printable("a\x1b→b", io.TextIOWrapper(io.BytesIO(), "ascii")) == r"a\x1b->b"


@pytest.mark.promise("L1")
def test_no_name_becomes_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled step is a program whose comments say which module each part belongs to."""
    monkeypatch.setenv("TENSORGRAD_TEST_NAME", "unchanged")
    run = "__import__('os').environ['TENSORGRAD_TEST_NAME'] = 'code was run'"
    for name in (
        f"a\n    {run}\n    #",
        f"a\r    {run}\r    #",
        f"a\n{run}\n#",
        f"a\f\n    {run} #",
        f'"""\n    {run}\n',
    ):
        net = nn.Sequential(nn.Linear(2, 2, rng=0))
        outer = nn.Module()
        setattr(outer, name, net)
        for tensor in net.parameters():
            tensor.name = name
        outer.forward = lambda x, net=net: net(x)  # type: ignore[method-assign, misc]
        step = tg.compile(lambda x, outer=outer: outer(x).sum())
        x = np.ones((3, 2), np.float32)
        expected = step.function(x).item()
        for _ in range(3):
            assert step(x).item() == pytest.approx(expected)
        assert os.environ["TENSORGRAD_TEST_NAME"] == "unchanged"
        assert re.search(r"# a\\|# \"\"\"\\n", step.source)
