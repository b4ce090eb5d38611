"""Embedding: rows of a learned table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional, init
from .._checks import count
from .._module import Module
from .._parameter import Parameter
from .weighted import drawn

__all__ = ["Embedding"]


class Embedding(Module):
    """Rows of a learned table, looked up by index.

    Shapes: indices (...), integers from 0; W (num_embeddings, embedding_dim); result (..., embedding_dim).

    Args:
        num_embeddings: number of rows.
        embedding_dim: length of a row.
        padding_idx: a row that is initially zero and gets no gradient (negative: counted from the end); None for no
            such row.
        init: as in :class:`Linear`.
        dtype: of the table.
        rng: generator or seed for W; None draws a fresh seed.

    Raises:
        DTypeError: indices are not integers.
        IndexError: an index is negative or not less than the number of rows.

    >>> import nn
    >>> nn.Embedding(10, 3, rng=0)([[1, 2], [4, 1]]).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        init: init.Init = "normal",
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = count("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = count("Embedding", "embedding_dim", embedding_dim)
        rows = self.num_embeddings
        if padding_idx is not None and not -rows <= count("Embedding", "padding_idx", padding_idx, -rows) < rows:
            raise ValueError(f"Embedding: padding_idx {padding_idx} is out of range for {rows} rows")
        self.padding_idx = None if padding_idx is None else int(padding_idx) % rows
        table = drawn("Embedding", (rows, self.embedding_dim), init, dtype, rng)
        self.W = Parameter(table, dtype=dtype, name="W")
        if self.padding_idx is not None:
            self.W.data[self.padding_idx] = 0

    def forward(self, indices: Any) -> tg.Tensor:
        return functional.embedding(indices, self.W, tg.watch(self, "padding_idx"))

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.num_embeddings}→{self.embedding_dim}"
