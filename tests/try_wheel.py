"""What an installed wheel must do with nothing else: draw, train and derive. ``make dist`` runs it.

It is run with ``python -I`` in an empty environment, so that nothing comes from the checkout, and prints what it did.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

import numpy as np

import nn
import tensorgrad as tg


def draw() -> str:
    """A drawing as SVG, by the layout program that was installed with the wheel."""
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = (tg.tanh(x) * x).sum()
    loss.backward()
    svg = tg.draw(loss).svg
    if not svg or "tanh" not in svg:
        raise SystemExit(f"no drawing: {svg!r}")
    return f"a drawing of {len(svg):,} bytes"


def train() -> str:
    """A network that learns to tell two spirals apart."""
    rng = np.random.default_rng(0)
    turn = rng.uniform(0.5, 3.0, 400)
    side = rng.integers(0, 2, 400)
    angle = 2 * turn + np.pi * side
    X = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) + rng.normal(0.0, 0.05, (400, 2))
    model = nn.Model(nn.MLP([2, 64, 64, 2], rng=0), optimizer={"name": "adam", "lr": 0.01}, metrics=["accuracy"], rng=0)
    history = model.fit(X, side, epochs=60, progress=False)
    accuracy = history["accuracy"][-1]
    if accuracy < 0.95:
        raise SystemExit(f"the network did not learn: accuracy {accuracy:.3f}")
    return f"two spirals to an accuracy of {accuracy:.3f}"


def derive() -> str:
    """The backward of a softmax."""

    def softmax(z: tg.Tensor) -> tg.Tensor:
        e = tg.exp(z)
        return e / e.sum(axis=1, keepdims=True)

    derived = tg.derive(softmax, np.random.default_rng(0).normal(size=(4, 3)))
    if derived.deviation > 1e-12:
        raise SystemExit(f"the derived backward deviates by {derived.deviation}")
    return str(derived)


def main() -> None:
    """Run all, and say where from."""
    place = Path(tg.__file__).resolve()
    if Path(sys.prefix).resolve() not in place.parents or Path(nn.__file__).resolve().parents[1] != place.parents[1]:
        raise SystemExit("this is not the installed wheel")
    for package in ("tensorgrad", "nn"):
        if not Path(importlib.import_module(package).__file__ or "").with_name("py.typed").exists():
            raise SystemExit(f"{package} has lost its py.typed")
    if importlib.metadata.version("tensorgrad-np") != tg.__version__:
        raise SystemExit("the metadata have another version than the package")
    print(tg.report())
    print("draws:  ", draw())
    print("trains: ", train())
    print("derives:", derive(), sep="\n")


if __name__ == "__main__":
    main()
