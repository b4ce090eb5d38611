"""The exceptions of tensorgrad: each is also the built-in exception that a NumPy user would expect.

Messages are built only on failure; they say what was got, what was expected and what to write instead.
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
    """An axis does not exist."""


class DTypeError(TypeError):
    """A dtype (or a Python type) does not fit the operation."""


class CheckpointError(ValueError):
    """A model file is damaged, or does not fit the model."""


class GraphError(RuntimeError):
    """The computation graph does not allow what was asked for."""


class Unbatchable(GraphError):
    """Python code, or a function that takes ndarrays only, needs a single value but got a whole batch."""


class InplaceError(GraphError):
    """An array that a derivative needs was written to."""


class NonFiniteError(FloatingPointError):
    """A NaN or an infinity appeared where it is not allowed."""


class NeedsEager(Exception):
    """A compiled run came to what only the uncompiled step can do; its message says what. Never reaches a user."""


class Observed(NeedsEager):
    """A hook is about to see the numbers of a step that is being traced. Never reaches a user."""
