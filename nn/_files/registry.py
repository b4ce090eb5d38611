"""What a file may name: the public classes of nn, estimators among them, and NumPy's bit generators."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import tensorgrad as tg

__all__ = [
    "BIT_GENERATORS",
    "arguments_of",
    "fill",
    "is_estimator",
    "is_registered",
    "is_writer",
    "kind_named",
    "registry",
]

BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")

_ESTIMATORS = ("FNNClassifier", "FNNRegressor")  # imported on first use, because they need scikit-learn

# They write to a path that is one of their attributes: a file must not choose it.
_WRITERS = ("CSVLog", "Checkpoint", "TensorBoard")

_classes: dict[str, type] = {}


def fill(names: Mapping[str, Any]) -> None:
    """Register the classes among the public names of nn: once, when nn is imported.

    A class assigned to nn later, ``nn.Mine = Mine``, is the user's own, and no file can name it.
    """
    if not _classes:
        _classes.update(
            (name, value)
            for name, value in names.items()
            if isinstance(value, type)
            and value.__name__ == name
            and cast(Any, value).__new__ in (object.__new__, dict.__new__)
            and not issubclass(value, tg.Tensor)
            and name not in _WRITERS
        )


def registry() -> Mapping[str, type]:
    """The public classes whose objects consist of their state alone, by name.

    Creating an object without the constructor runs no code and allocates nothing.
    """
    return MappingProxyType(_classes)


def kind_named(name: Any) -> type | None:
    """The public class of nn with a name, or None. Raises ImportError for an estimator without scikit-learn."""
    if name in _ESTIMATORS:
        import nn

        return cast(type, getattr(nn, name))
    return _classes.get(name)


def is_estimator(kind: type) -> bool:
    """Whether this is one of nn's estimators."""
    module = sys.modules.get("nn._estimators")
    return module is not None and kind.__name__ in _ESTIMATORS and getattr(module, kind.__name__) is kind


def is_registered(kind: type) -> bool:
    """Whether this is a public class of nn, not a user's class of the same name."""
    return _classes.get(kind.__name__) is kind or is_estimator(kind)


def is_writer(kind: type) -> bool:
    """Whether this is one of the callbacks that write files."""
    return kind.__name__ in _WRITERS and kind.__module__.startswith("nn.")


def arguments_of(kind: type[Any]) -> set[str]:
    """The names of the arguments of a constructor."""
    return set(inspect.signature(kind).parameters)
