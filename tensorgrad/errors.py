"""The exceptions of tensorgrad: each is also the built-in exception a NumPy user would expect.

Messages are built on failure only, and say what was got, what was expected and what to write instead.
"""

__all__ = [
    "AxisError",
    "CheckpointError",
    "DTypeError",
    "GraphError",
    "InplaceError",
    "NonFiniteError",
    "ShapeError",
    "Unbatchable",
]


class ShapeError(ValueError):
    """Shapes or axes do not fit the operation."""


class AxisError(ShapeError, IndexError):
    """There is no such axis."""


class DTypeError(TypeError):
    """A dtype (or a Python type) does not fit the operation."""


class CheckpointError(ValueError):
    """A file of a model is damaged, or does not fit."""


class GraphError(RuntimeError):
    """The computation graph cannot do what was asked of it."""


class Unbatchable(GraphError):
    """Python code, or a function that knows ndarrays only, asked for the one value of a whole batch."""


class InplaceError(GraphError):
    """Memory that a derivative needs was written to."""


class NonFiniteError(FloatingPointError):
    """A NaN or an infinity where one must not be."""
