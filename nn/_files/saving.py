"""Saving models and loading them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from .._module import Module
from .._optim.optimizer import Optimizer
from . import npz, safetensor
from .atomic import replace_file
from .decode import Decoder
from .encode import Encoder, members
from .restore import Pair, changes_of_arrays, changes_of_objects, pairs_of
from .source import Source
from .values import Unsaved

__all__ = ["Loaded", "extra_of", "format_of", "load", "save"]

_FORMATS = {".npz": npz, ".safetensors": safetensor}


class Loaded(NamedTuple):
    """What a file of :func:`save` holds.

    Attributes:
        model: the model, in the mode (training or not) it was saved in.
        optimizer: the optimiser that was saved beside it, of this model's parameters; or None. Also None where only
            ``model=`` was given, and the optimiser cannot be rebuilt, because its class is your own, say.
        extra: what the caller added; or None.
    """

    model: Any
    optimizer: Any
    extra: dict[str, Any] | None


def save(
    path: str | os.PathLike[str],
    model: Module,
    optimizer: Optimizer | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a model to one file: architecture, weights, statistics, generators and all other attributes that are data.

    The file appears whole or not at all: killed at any moment, the old one is still there. Gradients are not saved. A
    model with parts that are no data, such as a class of your own or a function, is saved too; it can be loaded into a
    model that was built the same way.

    Args:
        path: ends with ".npz", or with ".safetensors" (``pip install 'tensorgrad-np[safetensors]'``; it has no complex
            numbers).
        model: the model.
        optimizer: its state and options, so that training can go on bit for bit. One that the model holds is saved
            anyway.
        extra: plain data of yours, such as the epoch: None, bool, int, float, str, arrays, generators, and lists,
            tuples and dicts of them.

    Raises:
        ValueError: the path ends otherwise, or attributes and extra are longer than 16 MiB, arrays apart.
        TypeError: model, optimizer or extra is something else.
        DTypeError: the format does not have the dtype of a parameter.
        OSError: the file cannot be written, or is there and may not be written to; the old one is as it was.

    >>> import nn, os, tempfile
    >>> model = nn.MLP([2, 8, 1], norm="batch", rng=0)
    >>> optimizer = nn.AdamW(model.parameters(), lr=0.01)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     nn.save(path, model, optimizer, {"epoch": 3})
    ...     model, optimizer, extra = nn.load(path)
    >>> optimizer.lr, extra
    (0.01, {'epoch': 3})
    """
    if isinstance(path, Module):
        raise TypeError("nn.save: path must come first; write nn.save(path, model)")
    name = os.fspath(path)
    file_format = format_of(name, "nn.save")
    _require(model, Module, "nn.save: model must be a Module")
    if optimizer is not None:
        _require(optimizer, Optimizer, "nn.save: optimizer must be an Optimizer or None")
    if extra is not None:
        _require(extra, dict, "nn.save: extra must be a dict or None")
    encoder = Encoder()
    header = {
        "state": [[where, encoder.add(value, where)] for where, value in members(model).items()],
        "modules": [[where, encoder.add(module, where)] for where, module in model.named_modules()],
        "model": encoder.add(model, ""),
        "optimizer": encoder.add(optimizer, "optimizer"),
    }
    before = len(encoder.objects)
    header |= {"extra": encoder.add(extra, "extra"), "objects": encoder.objects}
    _require_data([header["extra"], *encoder.objects[before:]])
    replace_file(name, lambda file: file_format.write(file, header, encoder.arrays))


def load(path: str | os.PathLike[str], model: Module | None = None, optimizer: Optimizer | None = None) -> Loaded:
    """Read a file of :func:`save`; the model and the optimiser are built anew, or those given take over its state.

    No code in a file is run, whoever has written it. Memory is taken for tensors that the file has the bytes of, and
    for a header of 16 MiB at most. Every tensor must have the checksum it was saved with.

    Args:
        path: the file.
        model: built the same way as the one that was saved. Its parameters, buffers, generators, optimisers and
            histories take over the file's, in place; its other attributes stay. Needed where the file holds classes of
            your own. A .safetensors file of another program, which has tensors and notes at most, needs it too.
        optimizer: the same for the optimiser. Where it is needed and only ``model`` is given, the model is loaded, and
            the result's optimizer is None.

    Raises:
        ValueError: the path has another ending.
        CheckpointError: the file is damaged, or does not fit ``model`` or ``optimizer``: then all that is missing,
            unexpected, of another shape or dtype is listed, and nothing was changed. Or the file holds what only
            ``model=`` or ``optimizer=`` can bring.
        TypeError: ``optimizer`` without ``model``.
        OSError: the file cannot be read.

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
    name = os.fspath(path)
    file_format = format_of(name, "nn.load")
    if model is not None:
        _require(model, Module, "nn.load: model must be a Module or None")
    if optimizer is not None:
        _require(optimizer, Optimizer, "nn.load: optimizer must be an Optimizer or None")
        if model is None:
            raise TypeError(
                "nn.load: an optimizer is loaded together with its model; write nn.load(path, model, optimizer)"
            )
    source, header, arrays = _read(name, file_format)
    with source.suspected("the header describes no model"):
        if header is None:
            return _loaded_arrays(source, arrays, model, optimizer)
        decoder = Decoder(header["objects"], arrays)
        if model is None:
            return _rebuilt(source, header, decoder)
        return _loaded(source, header, decoder, model, optimizer)


def extra_of(path: str | os.PathLike[str]) -> Any:
    """What was saved as ``extra``, without the model. Raises as :func:`load` does."""
    name = os.fspath(path)
    source, header, arrays = _read(name, format_of(name, "nn.load"))
    with source.suspected("the header describes no model"):
        return None if header is None else Decoder(header["objects"], arrays).value(header["extra"])


def _read(name: str, file_format: Any) -> tuple[Source, Any, Any]:
    """The file, its header (None where another program has written it) and its arrays."""
    with open(name, "rb") as file:
        source = Source(file, name)
        with source.suspected("is no file of nn.save"):
            return source, *file_format.read(source)


def _rebuilt(source: Source, header: dict[str, Any], decoder: Decoder) -> Loaded:
    model = _value(source, decoder, header["model"], "nn.load(path, model=...) with a model built the same way")
    _require(model, Module, "the model must be a Module")
    return _with_the_rest(source, header, decoder, model)


def _loaded(
    source: Source, header: dict[str, Any], decoder: Decoder, model: Module, optimizer: Optimizer | None
) -> Loaded:
    modules = dict(model.named_modules())
    for where, reference in header["modules"]:
        if where in modules:
            decoder.stands_for(reference, modules[where])
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
        header["optimizer"] = None  # nobody has asked for it
    result = _with_the_rest(source, header, decoder, model)
    for change in changes:
        change()
    return result


def _with_the_rest(source: Source, header: dict[str, Any], decoder: Decoder, model: Module) -> Loaded:
    hint = "nn.load(path, model=..., optimizer=...)"
    return Loaded(model, *(_value(source, decoder, header[key], hint) for key in ("optimizer", "extra")))


def _loaded_arrays(source: Source, arrays: dict[str, Any], model: Module | None, optimizer: Optimizer | None) -> Loaded:
    if model is None or optimizer is not None:
        raise source.fail("holds tensors and nothing else; write nn.load(path, model=...) to load them into a model")
    changes, wrong = changes_of_arrays(arrays, model)
    _require_fit(source, wrong, model)
    for change in changes:
        change()
    return Loaded(model, None, None)


def _require_fit(source: Source, wrong: list[str], model: Module) -> None:
    if wrong:
        raise source.fail(
            f"does not fit {type(model).__name__} in {len(wrong)} places, nothing was loaded:\n  " + "\n  ".join(wrong)
        )


def _value(source: Source, decoder: Decoder, given: Any, hint: str) -> Any:
    try:
        return decoder.value(given)
    except Unsaved as error:
        raise source.fail(f"cannot be rebuilt from the file alone: {error}; write {hint}") from None


def format_of(name: str, by: str) -> Any:
    """The format that a path stands for by its ending. Raises ValueError for another."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{by}: path must end with {' or '.join(_FORMATS)}, got {name!r}")
    return _FORMATS[suffix]


def _require(value: Any, kind: type, message: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{message}, got {type(value).__name__}")


def _require_data(given: Any) -> None:
    """Raise TypeError where the extra is no data."""
    waiting = [given]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            if "unsaved" in item:
                raise TypeError(f"nn.save: {item['unsaved']}; extra holds plain data")
            waiting += item.values()
