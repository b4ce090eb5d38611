"""Products with SciPy's sparse matrices, which are constants: the gradient is the dense factor's."""

from __future__ import annotations

import sys
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, record
from ..engine.staging import indivisible
from ..errors import ShapeError
from .axes import swapaxes
from .views import shaped

__all__: list[str] = []


def is_sparse(value: Any) -> bool:
    """Is this a sparse matrix or array of SciPy's? Does not import SciPy to know."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))


def sparse_product(x: Any, y: Any) -> Tensor:
    """``x @ y``, where one of the two is sparse."""
    if is_sparse(y):
        dense = shaped(x, "matmul")
        _require_fit(dense.shape[-1:] == y.shape[:1], dense, y)
        return _times(dense, y)
    dense = shaped(y, "matmul")
    _require_fit(dense.shape[-2:][:1] == x.shape[1:], x, dense)
    if len(dense.shape) == 1:
        return _times(dense, x.T)
    return swapaxes(_times(swapaxes(dense, -1, -2), x.T), -1, -2)


def _require_fit(fits: bool, x: Any, y: Any) -> None:
    if not fits:
        raise ShapeError(f"matmul: shapes {x.shape} and {y.shape} do not fit: the inner lengths must be equal")


def _times(x: Any, matrix: Any) -> Any:
    """``x @ matrix`` for a dense x: read on Tensors it is recorded, on arrays it is computed."""
    if not isinstance(x, Handle):
        return _computed(x, matrix)
    return record("matmul", partial(_computed, matrix=matrix), (x,), (lambda xp, g: _times(g, matrix.T),))


def _computed(x: Any, matrix: Any) -> Any:
    @indivisible
    def product(x: Any) -> Any:
        rows = np.reshape(np.asarray(x), (prod(x.shape[:-1]), x.shape[-1]))  # for a batch, one by one
        return np.reshape(np.asarray(rows @ matrix), (*x.shape[:-1], matrix.shape[1]))

    return product(x)
