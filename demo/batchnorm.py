"""The backward of batch norm: derived by machine, and as the textbooks give it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

EPS = 1e-5


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    """The forward. Nothing here says how to differentiate it."""
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc**2).mean(axis=0)
    sigma = tg.sqrt(var + EPS)
    xhat = xc / sigma
    return gamma * xhat + beta


def closed_form(x: Any, gamma: Any, beta: Any, dy: Any) -> tuple[Any, Any, Any]:
    """The backward by Ioffe and Szegedy (2015), simplified, in plain NumPy."""
    N = len(x)
    sigma = np.sqrt(x.var(axis=0) + EPS)
    xhat = (x - x.mean(axis=0)) / sigma
    dxhat = dy * gamma
    dx = (N * dxhat - dxhat.sum(0) - xhat * (dxhat * xhat).sum(0)) / (N * sigma)
    dgamma = (dy * xhat).sum(0)
    dbeta = dy.sum(0)
    return dx, dgamma, dbeta


def arguments(rng: np.random.Generator, x: Any) -> tuple[Any, ...]:
    """``x`` in float64, with random gamma, beta and upstream gradient."""
    x = np.asarray(x, np.float64)
    columns = x.shape[1]
    return x, rng.normal(1.0, 0.3, columns), rng.normal(size=columns), rng.normal(size=x.shape)


class Comparison:
    """The derived backward, and for each gradient both formulas and their largest difference."""

    def __init__(self, x: Any, gamma: Any, beta: Any, dy: Any) -> None:
        self.derived = tg.derive(batch_norm, x, gamma, beta)
        ours = self.derived.function(x, gamma, beta, dy)
        theirs = closed_form(x, gamma, beta, dy)
        self.rows = [
            (name, formula(name, self.derived.source), formula(name, closed_form), float(np.abs(a - b).max()))
            for name, a, b in zip(("dx", "dgamma", "dbeta"), ours, theirs, strict=True)
        ]
        self.largest = max(difference for *_, difference in self.rows)

    def __str__(self) -> str:
        lines = [str(self.derived), ""]
        for name, derived, by_hand, difference in self.rows:
            lines += [
                f"  {name:8}derived      {derived}",
                f"  {'':8}closed form  {by_hand}",
                f"  {'':8}             largest difference {difference:.1e}",
            ]
        return "\n".join([*lines, f"largest difference {self.largest:.1e}"])


def formula(name: str, source: str | Callable[..., Any]) -> str:
    """The line of a source that computes ``name``, without the name and the comment."""
    text = source if isinstance(source, str) else inspect.getsource(source)
    (line,) = re.findall(rf"^ *{name} = (.*?) *(?:#.*)?$", text, re.MULTILINE)
    return line
