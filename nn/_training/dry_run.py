"""A trial of network, loss and metrics on a few rows, before the first step of a training run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

import tensorgrad as tg

from .._evaluation import evaluating
from .._files.registry import is_registered
from .._losses import CrossEntropyLoss, NLLLoss
from .._members import named
from .._module import Module
from .._running import members
from .callbacks import Callback
from .data import Batch, Casts, Rows
from .inputs import called, parts
from .measures import measures
from .scores import nothing_counts, selected
from .streams import Stream
from .weighing import loss_of, rows_kept

if TYPE_CHECKING:
    from .model import Model

__all__ = [
    "buffers_put_back",
    "check_monitors",
    "columns_of",
    "dry_run",
    "generators_kept",
    "generators_put_back",
    "restored_on_error",
]

_ROWS = 8  # through the network
_NUMBERS = 1 << 20  # predictions for the metrics, or what is kept of them, at most
_READ = 1 << 24  # labels of an array on disk or a sparse one, at most


class _Sample(NamedTuple):
    """A few rows, and all labels and weights if they are at hand."""

    by: str
    batch: Batch | None  # a few; None if nothing counts in the rows that are at hand
    y: Any
    weight: Any
    complete: bool


# By model, the outputs for a few rows of each kind that has gone through network and loss, so that many short fits
# do not repeat it. They are of one network, and of one count of changes to the members of modules.
_known: WeakKeyDictionary[Module, tuple[Any, dict[Any, Any]]] = WeakKeyDictionary()


def columns_of(model: Model, validated: bool) -> list[str]:
    """The columns that the history of a training run will have."""
    measured = ["loss", *measures(model.metrics, model.loss)]
    return [*measured, *(f"val_{name}" for name in measured if validated), "lr", "grad_norm", "seconds"]


def check_monitors(model: Model, validated: bool, callbacks: Sequence[Callback]) -> None:
    """Raise KeyError if a callback monitors a column that the history will not have."""
    columns = columns_of(model, validated)
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in columns:
            raise KeyError(
                f"{type(callback).__name__}: {monitor!r} is not among {', '.join(columns)}; give fit validation_data "
                "or validation_split, or monitor another column"
            )
        if not is_registered(type(callback)) or "on_epoch_end" in vars(callback):
            return  # it may add a column


def dry_run(model: Model, data: Iterable[Rows | Stream]) -> None:
    """Run network, loss and metrics on a few rows of each, in evaluation mode, and leave the model as it was.

    Rows that differ in neither shape nor dtype from earlier ones do not go through the network again.

    Raises what they raise; IndexError for a label out of range; ValueError if the loss counts no label.
    """
    for part in data:
        sample = _sample(model, part)
        if sample.batch is None:
            continue
        known, kind = _known_of(model), _kind(sample.batch)
        if kind in known:
            with suppress(Exception):  # the network may have changed; if so, it is tried again
                _check_output(model, known[kind], sample)
                continue
        try:
            output = _output(model, sample, sample.batch)
            _check_output(model, output, sample)
        except Exception as error:
            error.add_note(f"{sample.by}: found in {len(sample.batch.y)} rows, before the first step")
            raise
        if getattr(output, "size", 0) <= _NUMBERS:
            known[kind] = output


def _known_of(model: Model) -> dict[Any, Any]:
    now = id(model.network), id(model.loss), members.changes
    if model not in _known or _known[model][0] != now:
        _known[model] = now, {}
    return _known[model][1]


def _check_output(model: Model, output: Any, sample: _Sample) -> None:
    if isinstance(output, np.ndarray):
        _check_range(model.loss, output, sample)
        _check_metrics(model, output, sample)
    elif model.metrics:
        raise TypeError(f"Model: metrics need a network that returns a Tensor, got {type(output).__name__}")


def _output(model: Model, sample: _Sample, batch: Batch) -> Any:
    """The network's output for a few rows, as an array if it is a Tensor, after the loss has been tried on it."""
    casts = Casts(model.network)
    with generators_kept(model), tg.restoring(buffers_put_back(model)), evaluating(model.network), tg.silenced():
        output = called(model.network, casts.inputs(batch.X))
        array = np.array(tg.array_of(output)) if isinstance(output, tg.Tensor) else output
        if isinstance(output, tg.Tensor):
            _check_range(model.loss, array, sample)  # of all labels; the loss sees a few
        loss_of(model.loss, output, casts.targets(batch.y), batch.weight).item()
    return array


def _sample(model: Model, part: Rows | Stream) -> _Sample:
    if isinstance(part, Stream):
        batch = part.first()
        rows = rows_kept(model.loss, batch.y, batch.weight)
        chosen = np.arange(len(batch.y)) if rows is None else np.flatnonzero(rows)
        few = _few(batch, chosen[:_ROWS]) if len(chosen) else None
        return _Sample(part.by, few, batch.y, batch.weight, False)
    y = part.y
    if type(y) is np.ndarray or math.prod(y.shape) <= _READ:
        y, weight = part.labels()
        rows = rows_kept(model.loss, y, weight)
        chosen = np.arange(len(part)) if rows is None else np.flatnonzero(rows)
        if not len(chosen):
            raise nothing_counts(part.by)
        return _Sample(part.by, part.batch(chosen[:_ROWS]), y, weight, True)
    batch = part.batch(np.arange(min(_ROWS, len(part))))
    rows = rows_kept(model.loss, batch.y, batch.weight)
    return _Sample(part.by, batch if rows is None or rows.any() else None, batch.y, batch.weight, False)


def _few(batch: Batch, rows: Any) -> Batch:
    return Rows(batch.X, batch.y, batch.weight, by="").batch(rows)


def _kind(batch: Batch) -> Any:
    """What network and loss make a difference between: shapes and dtypes of a row, whether it has a weight."""
    arrays = [*parts(batch.X), ("y", batch.y)]
    return (*((name, a.shape[1:], a.dtype.str) for name, a in arrays), batch.weight is None)


def _check_range(loss: Any, output: Any, sample: _Sample) -> None:
    """Check all labels, of which the loss will see a few at a time."""
    y = sample.y
    if not isinstance(loss, CrossEntropyLoss | NLLLoss) or y.dtype.kind not in "iu" or len(output.shape) < 2:
        return
    classes = output.shape[1]
    wrong = (y < 0) | (y >= classes)
    if loss.ignore_index is not None:
        wrong &= y != loss.ignore_index
    if wrong.any() and y.shape[1:] == output.shape[2:]:
        row, *rest = np.argwhere(wrong)[0].tolist()
        raise IndexError(
            f"{sample.by}: label {y[(row, *rest)]} in row {row} is out of range for the {classes} outputs of the "
            f"network; labels are numbers from 0 to {classes - 1}"
        )


def _check_metrics(model: Model, output: Any, sample: _Sample) -> None:
    """Compute the metrics of the real labels, and of the few predictions there are, over and over."""
    if not model.metrics:
        return
    y, weight = sample.y, sample.weight
    rows = rows_kept(model.loss, y, weight)
    chosen = np.arange(len(y)) if rows is None else np.flatnonzero(rows)
    most = max(_ROWS, _NUMBERS // max(1, math.prod(output.shape[1:])))
    if len(chosen) > most and y.ndim == 1 and y.dtype.kind in "iu":  # some of each class
        firsts = chosen[np.unique(y[chosen], return_index=True)[1]]
        chosen = np.unique(np.r_[chosen[:most], firsts[:most]])
    else:
        chosen = chosen[:most]
    prediction = np.resize(np.where(np.isfinite(output), output, 0), (len(chosen), *output.shape[1:]))
    given = selected(model.loss, prediction, y[chosen], None if weight is None else weight[chosen])
    for measure in measures(model.metrics, model.loss).values():
        # A batch may lack classes, or be one row, where an epoch's do not.
        if sample.complete or (measure.is_ours and len(chosen) > 1):
            # Twice: if Ctrl-C breaks into the end of one, the other puts the filters back.
            with warnings.catch_warnings(), warnings.catch_warnings(), tg.silenced():
                warnings.simplefilter("ignore")
                measure(model.loss, *given)


def generators_kept(model: Module) -> tg.restoring:
    """At the end, the generators of the model are as they were."""
    return tg.restoring(generators_put_back(model))


def generators_put_back(model: Module) -> Callable[[], None]:
    """A function that gives the generators of the model the state that they have now."""
    generators = [g for module in model.modules() for _, g in named(vars(module), np.random.Generator, ())]
    states = [generator.bit_generator.state for generator in generators]

    def put_back() -> None:
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state

    return put_back


def buffers_put_back(model: Module) -> Callable[[], None]:
    """The same for its buffers."""
    buffers = [(buffer, tg.array_of(buffer).copy()) for buffer in model.buffers()]

    def put_back() -> None:
        for buffer, value in buffers:
            if not np.array_equal(tg.array_of(buffer), value, equal_nan=True):
                tg.writes_to(buffer, by="fit")[...] = value

    return put_back


@contextmanager
def restored_on_error(model: Model) -> Iterator[None]:
    """If an error is raised, the model's generator and its validation split are as before."""
    state, seed = model.rng.bit_generator.state, model._split_seed
    try:
        yield
    except BaseException:
        model.rng.bit_generator.state, model._split_seed = state, seed
        raise
