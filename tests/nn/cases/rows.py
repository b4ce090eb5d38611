"""A row of the table of nn.functional, and a short way to write one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nn
from tests.ops.cases import rows
from tests.ops.cases.rows import Sample


@dataclass(frozen=True)
class Case(rows.Case):
    peer: Callable[..., Any] | None = None  # called with torch.nn.functional and a sample's arguments as torch.Tensors
    random: bool = False  # a second call, or a replay, draws different numbers


def also_single(oracle: Any, axes: int) -> Any:
    """Make an oracle for arrays of so many axes, batch first, also take one sample, which has no batch axis."""

    def called(x: Any, *args: Any, **keywords: Any) -> Any:
        if np.ndim(x) == axes:
            return oracle(x, *args, **keywords)
        return oracle(x[None], *args, **keywords)[0]

    return called


def C(name: str, oracle: Any, *samples: Sample, peer: Any = None, op: Any = None, **rest: Any) -> Case:
    """Make a row; ``peer`` is a name in torch.nn.functional, or a function of that module and the arguments."""
    if isinstance(peer, str):
        called = peer

        def peer(F: Any, *args: Any, **keywords: Any) -> Any:
            return getattr(F, called)(*args, **keywords)

    rest.setdefault("method", "central")
    return Case(name, oracle, samples, op or getattr(nn.functional, name), peer=peer, **rest)
