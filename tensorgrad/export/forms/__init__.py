"""The ONNX nodes of each NumPy function, and of the engine's own functions on arrays."""

from __future__ import annotations

from typing import Any

from .elementwise import ELEMENTWISE
from .indexing import INDEXING
from .products import PRODUCTS
from .reducing import REDUCING
from .shaping import SHAPING
from .windows import WINDOWS

__all__ = ["FORMS"]

FORMS: dict[Any, Any] = {**ELEMENTWISE, **INDEXING, **PRODUCTS, **REDUCING, **SHAPING, **WINDOWS}
