"""Saving models and loading them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._checks import AnyPath, file_name
from .._module import Module
from .._optim.optimizer import Optimizer
from . import npz, safetensor
from .atomic import descriptor, replace_file
from .decode import Decoder
from .encode import Encoder, members
from .header import DTYPES
from .registry import is_estimator
from .restore import Change, Pair, changes_of_arrays, changes_of_objects, pairs_of
from .source import Source
from .values import Unsaved

if TYPE_CHECKING:
    from .._estimators import FNNClassifier, FNNRegressor

__all__ = ["Loaded", "extra_of", "load", "named", "save"]

_FORMATS = {".npz": npz, ".safetensors": safetensor}


class Loaded(NamedTuple):
    """The contents of a file written by :func:`save`.

    Attributes:
        model: the model, in the mode (training or not) it was saved in; or an estimator, or a dict of arrays, if such
            was saved.
        optimizer: the optimiser that was saved with it, for this model's parameters, or None. Also None if only
            ``model=`` was given and the optimiser cannot be rebuilt, say because its class is your own.
        extra: what the caller added, or None.
    """

    model: Any
    optimizer: Any
    extra: dict[str, Any] | None


def save(
    path: AnyPath,
    model: Module | FNNClassifier | FNNRegressor | Mapping[str, Any],
    optimizer: Optimizer | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a model to one file: architecture, weights, statistics, generators and all other attributes that are data.

    The file appears whole or not at all: if the program is killed at any moment, the old file is still there. Gradients
    are not saved. A model with parts that are not data, such as a class of your own or a function, is saved too; it can
    be loaded into a model that was built the same way.

    Args:
        path: ends in ".npz" or ".safetensors" (``pip install 'tensorgrad-np[safetensors]'``; no complex numbers). A
            replaced file keeps its permissions, and a symbolic link stays one; other hard links keep the old file.
        model: the model; or a fitted estimator, all of whose arguments must be data; or arrays by name, such as a
            ``state_dict``.
        optimizer: saved with its state and options, so that training can resume bit for bit. One that the model holds
            is saved anyway.
        extra: plain data of your own, such as the epoch: None, bool, int, float, str, arrays, generators, and lists,
            tuples and dicts of these. A dict has at most 1,000 keys that are neither strings nor integers below 2**48.

    Raises:
        ValueError: the path has another ending, or a NUL character. Attributes and extra take more than 16 MiB, not
            counting arrays, or have more than 1,048,576 lists, tuples and dicts. Parameters have more than four
            optimisers each, or generators have seeds of more than 65,536 words in all.
        TypeError: model, optimizer or extra has the wrong type.
        DTypeError: the format does not support the dtype of a tensor.
        OSError: the file cannot be written, or exists and is write-protected; the old one is unchanged.

    >>> import nn, os, tempfile
    >>> model = nn.MLP([2, 8, 1], norm="batch", rng=0)
    >>> optimizer = nn.AdamW(model.parameters(), lr=0.01)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     nn.save(path, model, optimizer, {"epoch": 3})
    ...     model, optimizer, extra = nn.load(path)
    >>> optimizer.lr, extra
    (0.01, {'epoch': 3})

    The weights alone, by name:

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.npz")
    ...     nn.save(path, model.state_dict())
    ...     list(nn.load(path).model)[:2]
    ['layers.0.W', 'layers.1.gamma']
    """
    if isinstance(path, Module):
        raise TypeError("nn.save: path must come first; write nn.save(path, model)")
    name, file_format = named(path, "nn.save")
    estimator = is_estimator(type(model))
    arrays = _arrays_of(model) if isinstance(model, Mapping) else None
    if not estimator and arrays is None:
        _require(model, Module, "nn.save: model must be a Module, an estimator of nn, or a mapping of names to arrays")
    if estimator and not hasattr(model, "model_"):
        raise ValueError(f"nn.save: this {type(model).__name__} is not fitted; call fit first")
    if optimizer is not None and (estimator or arrays is not None):
        raise TypeError(
            "nn.save: an optimizer is saved together with its model, a Module; leave it out: an estimator holds its own"
        )
    if optimizer is not None:
        _require(optimizer, Optimizer, "nn.save: optimizer must be an Optimizer or None")
    if extra is not None:
        _require(extra, dict, "nn.save: extra must be a dict or None")
    encoder = Encoder()
    root: Any = getattr(model, "model_", None) if estimator else model
    header = {
        "state": [[where, encoder.add(value, where)] for where, value in _members(root).items()],
        "modules": [[where, encoder.add(part, where)] for where, part in _modules(root).items()],
        "model": encoder.add(model if arrays is None else arrays, ""),
        "optimizer": encoder.add(optimizer, "optimizer"),
    }
    if estimator:
        _require_data([header["model"], *encoder.objects], "give an estimator names, numbers and other plain data")
    before = len(encoder.objects)
    header |= {"extra": encoder.add(extra, "extra"), "objects": encoder.objects}
    _require_data([header["extra"], *encoder.objects[before:]], "extra must be plain data")
    replace_file(name, lambda file: file_format.write(file, header, encoder.arrays))


def _members(root: Any) -> dict[str, Any]:
    return members(root) if isinstance(root, Module) else {}


def _modules(root: Any) -> dict[str, Module]:
    return dict(root.named_modules()) if isinstance(root, Module) else {}


def _arrays_of(state: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a mapping. Raises TypeError or DTypeError unless it maps names to arrays of numbers."""
    found = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"nn.save: a mapping must have names as keys, got {name!r}")
        if not isinstance(value, tg.Tensor) and not hasattr(value, "__array__"):
            raise TypeError(
                f"nn.save: {name!r} must be an array, got {type(value).__name__}; an optimiser is saved together with "
                "its model, nn.save(path, model, optimizer), and other data as extra"
            )
        array = value.data if isinstance(value, tg.Tensor) else np.asarray(value)
        if array.dtype.str not in DTYPES:
            raise tg.DTypeError(f"nn.save: {name!r} has dtype {array.dtype}, expected bool or numbers of up to 64 bits")
        found[name] = array
    return found


def load(path: AnyPath, model: Module | None = None, optimizer: Optimizer | None = None) -> Loaded:
    """Load a file written by :func:`save`: rebuild the model and the optimiser, or load their state into those given.

    Whoever wrote the file, no code in it is run, and it names no path to write to. All is checked before anything
    changes, and Ctrl-C waits while objects that were given are written to. Every tensor must have the checksum that it
    was saved with. Time grows linearly with the size of the file. So does memory: at most three times the bytes of the
    tensors (16 times if each parameter has four optimisers), 64 bytes for each byte of the header, which has at most 16
    MiB, and 32 MiB. A checksum shows damage, not who wrote the file: weights, and the settings of a model that is
    rebuilt, are the file's. See SECURITY.md.

    Args:
        path: the file.
        model: built the same way as the one that was saved; leave it out for an estimator. Its parameters, buffers,
            generators, optimisers and histories get the file's contents, in place; its other attributes stay. Needed if
            the file holds classes of your own. A .safetensors file of another program, which has only tensors and
            perhaps notes, needs it too. Arrays that were saved by name are loaded into it as by ``load_state_dict``.
        optimizer: the same for the optimiser. If it is needed and only ``model`` is given, the model is loaded, and
            the result's optimizer is None.

    Raises:
        ValueError: the path has another ending, or a NUL character.
        CheckpointError: the file is damaged, or does not fit ``model`` or ``optimizer``: then the message lists all
            that is missing, unexpected, or of another shape or dtype, and nothing was changed. Or the file holds
            something that can only be loaded into a given ``model=`` or ``optimizer=``.
        TypeError: ``optimizer`` is given without ``model``.
        OSError: the path is not a regular file, or cannot be read.

    >>> import nn, os, tempfile
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.out = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.npz")
    ...     nn.save(path, Net())
    ...     net = nn.load(path, model=Net()).model
    """
    if isinstance(path, Module):
        raise TypeError("nn.load: path must come first; write nn.load(path, model)")
    name, file_format = named(path, "nn.load")
    if model is not None:
        if is_estimator(type(model)):
            raise TypeError(
                f"nn.load: model must be a Module or None, got {type(model).__name__}; an estimator is rebuilt from "
                "its file: write nn.load(path).model"
            )
        _require(model, Module, "nn.load: model must be a Module or None")
    if optimizer is not None:
        _require(optimizer, Optimizer, "nn.load: optimizer must be an Optimizer or None")
        if model is None:
            raise TypeError(
                "nn.load: an optimizer is loaded together with its model; write nn.load(path, model, optimizer)"
            )
    source, header, arrays = _read(name, file_format)
    with source.blamed("the header does not describe a model"):
        if header is None:
            return _loaded_arrays(source, arrays, model, optimizer)
        decoder = Decoder(header["objects"], arrays)
        if model is None:
            return _rebuilt(source, header, decoder)
        if "dict" in header["model"]:
            extra = _value(source, decoder, header["extra"], "nn.load(path)")
            arrays = decoder.value(header["model"])
            return _loaded_arrays(source, arrays, model, optimizer)._replace(extra=extra)
        return _loaded(source, header, decoder, model, optimizer)


def extra_of(path: AnyPath) -> Any:
    """Load what was saved as ``extra``, without the model. Raises what :func:`load` raises."""
    source, header, arrays = _read(*named(path, "nn.load"))
    with source.blamed("the header does not describe a model"):
        return None if header is None else Decoder(header["objects"], arrays).value(header["extra"])


def _read(name: str, file_format: Any) -> tuple[Source, Any, Any]:
    """Read a file: itself, its header (None if another program wrote it) and its arrays."""
    # A pipe without a writer would block for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with descriptor(name, flags) as handle:
        try:
            file = open(handle, "rb", closefd=False)  # noqa: SIM115
        except OSError as error:  # a folder
            raise OSError(error.errno, error.strerror, name) from None
        source = Source(file, name)
        with source.blamed("was not written by nn.save"):
            return source, *file_format.read(source)


def _rebuilt(source: Source, header: dict[str, Any], decoder: Decoder) -> Loaded:
    model = _value(source, decoder, header["model"], "nn.load(path, model=...) with a model built the same way")
    if not isinstance(model, Module | dict) and not is_estimator(type(model)):
        raise TypeError(f"the model must be a Module, an estimator or a dict of arrays, got {type(model).__name__}")
    return _with_the_rest(source, header, decoder, model)


def _loaded(
    source: Source, header: dict[str, Any], decoder: Decoder, model: Module, optimizer: Optimizer | None
) -> Loaded:
    modules = dict(model.named_modules())
    for where, reference in header["modules"]:
        if where in modules:
            decoder.substitute(reference, modules[where])
    pairs, unequal = pairs_of(header["state"], model)
    if optimizer is not None and header["optimizer"] is None:
        unequal.append("missing: optimizer")
    elif optimizer is not None:
        pairs.append(Pair("optimizer", header["optimizer"], optimizer))
    changes, wrong = changes_of_objects(decoder, pairs)
    _require_fit(source, unequal + wrong, model)
    try:
        decoder.value(header["optimizer"])
    except Unsaved:
        header["optimizer"] = None  # the caller did not ask for it
    result = _with_the_rest(source, header, decoder, model)
    _carry_out(changes)
    return result


def _with_the_rest(source: Source, header: dict[str, Any], decoder: Decoder, model: Module) -> Loaded:
    hint = "nn.load(path, model=..., optimizer=...)"
    return Loaded(model, *(_value(source, decoder, header[key], hint) for key in ("optimizer", "extra")))


def _loaded_arrays(source: Source, arrays: dict[str, Any], model: Module | None, optimizer: Optimizer | None) -> Loaded:
    if model is None or optimizer is not None:
        raise source.fail("holds tensors and nothing else; write nn.load(path, model=...) to load them into a model")
    changes, wrong = changes_of_arrays(arrays, model)
    _require_fit(source, wrong, model)
    _carry_out(changes)
    return Loaded(model, None, None)


def _carry_out(changes: list[Change]) -> None:
    with tg.uninterrupted():  # Ctrl-C finds what was there before, or what is in the file
        for change in changes:
            change()


def _require_fit(source: Source, wrong: list[str], model: Module) -> None:
    if wrong:
        places = "1 place" if len(wrong) == 1 else f"{len(wrong)} places"
        raise source.fail(
            f"does not fit {type(model).__name__} in {places}; nothing was loaded:\n  " + "\n  ".join(wrong)
        )


def _value(source: Source, decoder: Decoder, given: Any, hint: str) -> Any:
    try:
        return decoder.value(given)
    except Unsaved as error:
        raise source.fail(f"cannot be rebuilt from the file alone: {error}; write {hint}") from None


def named(path: AnyPath, by: str) -> tuple[str, Any]:
    """A path as text, and the format that its ending stands for. Raises ValueError for another ending."""
    name = file_name(by, path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{by}: path must end with {' or '.join(_FORMATS)}, got {name!r}")
    return name, _FORMATS[suffix]


def _require(value: Any, kind: type, message: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{message}, got {type(value).__name__}")


def _require_data(given: Any, hint: str) -> None:
    """Raise TypeError if part of what was encoded is not data."""
    waiting = [given]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            if "unsaved" in item:
                raise TypeError(f"nn.save: {item['unsaved']}; {hint}")
            waiting += item.values()
