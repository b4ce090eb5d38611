"""Model: a network, and what it takes to train it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from numbers import Real
from typing import Any, Literal

import numpy as np

from .._checks import count, number
from .._evaluation import evaluating
from .._losses import LOSSES, GaussianNLLLoss
from .._models.layer import Spec, made
from .._models.mlp import MLP
from .._module import Module
from .._optim.averaging import ExponentialMovingAverage
from .._optim.group import require_within
from .._optim.grouping import no_decay
from .._optim.lbfgs import LBFGS
from .._optim.optimizer import Optimizer
from .._optim.plateau import ReduceLROnPlateau
from .._optim.registry import OPTIMIZERS, SCHEDULES
from .._optim.scheduler import Scheduler
from .._running import folded
from ..parallel.communicator import Communicator, surrounding
from .callbacks import Callback
from .compiling import Compile
from .data import Casts, Rows
from .history import History
from .inputs import called
from .loop import train
from .lr_finder import LRCurve, range_test
from .measures import measures
from .scores import EVALUATION_ROWS, evaluated
from .streams import Stream, source, validation_source

__all__ = ["Model"]


class Model(Module):
    """A network with its loss and optimiser, ready to be fitted to data.

    ``loss``, ``optimizer`` and ``schedule`` are given by name, by name and options
    (``{"name": "adamw", "lr": 1e-3}``), or as objects, so a model can come from JSON: ``nn.Model(**json.load(file))``.
    Called as a function, it calls its network.

    Args:
        network: any Module, or the arguments of an :class:`nn.MLP` as a dict. Integer inputs are converted to real
            numbers, unless it has an :class:`nn.Embedding`.
        loss: "mse", "l1", "huber", "smooth_l1", "quantile", "poisson", "cross_entropy", "nll", "bce",
            "bce_with_logits", "kl_div", "hinge", or a function (prediction, target) that returns a scalar Tensor. The
            network's :func:`nn.penalty` is added.
        optimizer: "sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "radam", "lion" or "lbfgs"; made
            with the groups of :func:`nn.no_decay`, so that biases and norms do not decay.
        schedule: for the learning rate: a name such as "cosine", or a function of the optimiser, such as
            ``functools.partial(nn.StepLR, step_size=10)``. "plateau" follows "val_loss", or "loss" without validation
            data, or the column that it monitors: ``{"name": "plateau", "monitor": "val_accuracy"}``. If a schedule has
            brought the rate down to its end, as "cosine" does, the next :meth:`fit` begins it anew.
        schedule_every: "epoch" or "step".
        metrics: computed from all predictions of an epoch, of the samples and labels that count in the loss, with its
            sample weights. A list of names in :mod:`nn.metrics`, of names with options
            (``{"name": "top_k_accuracy", "k": 3}``), and of functions (prediction, target) of the network's outputs
            and the targets as arrays, which return a number, and have a third argument ``sample_weight`` if samples
            differ in weight; or a dict of these by column of the history. If labels of several axes may be ignored,
            each label is a row. Metrics of scikit-learn, and other functions whose first argument is ``y_true``, are
            called with the targets and the predicted classes or probabilities; scorers (``make_scorer(...)``) need a
            name, in a dict.
        clip_norm: an upper bound on the norm of all gradients together.
        clip_value: a bound on each element of the gradients.
        ema: the decay of an :class:`nn.ExponentialMovingAverage` of the network's weights, such as 0.999; it averages
            about the last 1 / (1 - ema) updates. Outside of training steps the network has the averaged weights: in
            validation, in :meth:`evaluate` and :meth:`predict`, for callbacks at the end of an epoch, such as
            :class:`nn.EarlyStopping`, in files, and after :meth:`fit`. The next :meth:`fit` goes on from the weights
            that were trained.
        rng: generator or seed, for the order of the samples, the validation split, and a network given as a dict
            without a seed of its own.

    Attributes:
        history: one row per epoch, over all calls of :meth:`fit`.
        ema: the average of the weights, or None.

    Raises:
        ValueError: an argument is an unknown name, or out of range.
        TypeError: the network is not a Module.

    >>> import numpy as np, nn
    >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> model = nn.Model(
    ...     nn.MLP([1, 16, 1], activation="tanh", rng=0), loss="mse", optimizer={"name": "adam", "lr": 0.01}, rng=0
    ... )
    >>> history = model.fit(X, X**2, epochs=100, batch_size=16)
    >>> history["loss"][-1] < 0.01
    True
    >>> model.predict(X[:3]).shape
    (3, 1)
    """

    ema: ExponentialMovingAverage | None = None  # in files of earlier versions, too

    def __init__(
        self,
        network: Module | Mapping[str, Any],
        *,
        loss: Spec = "cross_entropy",
        optimizer: Spec | Optimizer = "adamw",
        schedule: Spec | None = None,
        schedule_every: str = "epoch",
        metrics: Sequence[Spec] | Mapping[str, Spec] = (),
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema: float | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__()
        self.rng = np.random.default_rng(rng)
        self.network = MLP(**{"rng": self.rng, **network}) if isinstance(network, Mapping) else network
        if not isinstance(self.network, Module):
            raise TypeError(f"Model: network must be a Module or a dict of an MLP's arguments, got {network!r}")
        self.loss = loss if callable(loss) and not isinstance(loss, type) else made(loss, LOSSES, "loss")
        if isinstance(self.loss, GaussianNLLLoss):
            raise ValueError("Model: gaussian_nll takes a mean and a variance; give a function of a single prediction")
        reduction = getattr(self.loss, "reduction", "mean")
        if reduction not in ("mean", "batchmean"):
            raise ValueError(f"Model: loss must be a mean over the batch, got reduction={reduction!r}")
        self.optimizer = optimizer if isinstance(optimizer, Optimizer) else self._optimizer(optimizer)
        if schedule_every not in ("epoch", "step"):
            raise ValueError(f"Model: schedule_every must be 'epoch' or 'step', got {schedule_every!r}")
        self.schedule = self._schedule(schedule)
        self.schedule_every = schedule_every
        measures(metrics, self.loss)
        self.metrics = dict(metrics) if isinstance(metrics, Mapping) else list(metrics)
        for name, bound in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if bound is not None and not (isinstance(bound, Real) and bound > 0):
                raise ValueError(f"Model: {name} must be positive or None, got {bound!r}")
            if bound is not None and isinstance(self.optimizer, LBFGS):
                raise ValueError(f"Model: {name} changes the gradient that LBFGS searches along; leave it out")
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        if ema is not None:
            self.ema = ExponentialMovingAverage(self.network, require_within("Model", "ema", ema, most=1))
        self.history = History()
        self._split_seed: int | None = None

    def _optimizer(self, spec: Spec) -> Any:
        optimizer = made(spec, OPTIMIZERS, "optimizer", list(self.network.parameters()))
        if any(group.get("weight_decay") for group in optimizer.param_groups):
            return made(spec, OPTIMIZERS, "optimizer", no_decay(self.network))
        return optimizer

    def _schedule(self, spec: Any) -> Any:
        if spec is None:
            return None
        schedule = spec if isinstance(spec, Scheduler) else made(spec, SCHEDULES, "schedule", self.optimizer)
        if isinstance(schedule, Scheduler) and schedule.optimizer is not self.optimizer:
            raise ValueError("Model: schedule belongs to another optimiser; give the model that optimiser, too")
        if isinstance(schedule, ReduceLROnPlateau) and schedule.monitor is None and schedule.mode == "max":
            raise ValueError(
                "Model: schedule has mode='max', but it follows the loss, of which less is better; write "
                "monitor='val_accuracy', say, or leave mode out"
            )
        return schedule

    def split_seed(self) -> int:
        """The seed of the validation split: the same in every fit, so that held-out rows are never trained on."""
        if self._split_seed is None:
            self._split_seed = int(self.rng.integers(2**32))
        return self._split_seed

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.network(*args, **kwargs)

    # --- training --------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        accumulate: int = 1,
        validation_data: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
        validation_split: float = 0.0,
        stratify: bool = False,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | str | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        steps_per_epoch: int | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool | None = None,
        compile: Compile = "auto",
        on_interrupt: Literal["raise", "return"] = "raise",
        parallel: Communicator | None = None,
    ) -> History:
        """Train for some epochs, in addition to earlier ones. Afterwards the model is in evaluation mode.

        Before the first step, network, loss and metrics are run on a few rows in evaluation mode, so that what does not
        fit is found at once and leaves the model as it was.

        Ctrl-C, or a notebook's stop button, ends the epoch after the current step, and the training run with it: the
        epoch is evaluated and added to the history, the model keeps its weights, the display says "stopped after epoch
        41 of 300", and ``fit`` raises KeyboardInterrupt, so that nothing after it runs. A second Ctrl-C raises it at
        once, in the middle of the epoch.

        Args:
            X: inputs, shape (samples, ...). An array on disk (``np.load(..., mmap_mode="r")``) is read a batch at a
                time; a sparse matrix of SciPy is made dense a batch at a time. Several inputs are a dict of arrays,
                passed to the network as keyword arguments, or a tuple, passed as positional ones; a list is one
                array. Or batches ``(X, y)`` or ``(X, y, sample_weight)``: an iterable such as a loader, or a function
                that returns one for each epoch, such as a generator function.
            y: targets, with as many rows; None if X provides batches. For several labels per row, 0 and 1 of shape
                (samples, labels), with ``loss="bce_with_logits"``.
            epochs: the number of passes over the data.
            batch_size: rows per step, at most: the rows are divided into batches of nearly equal size, so 63 rows into
                32 and 31, 65 into 22, 22 and 21. There is no batch of one row, unless ``batch_size`` is 1: three rows
                in twos are one batch (not with ``accumulate``).
            accumulate: the number of batches whose gradients make up one update, as if they were one batch of
                ``accumulate * batch_size`` rows: for batches that do not fit into memory at once. None has more than
                ``batch_size`` rows: with ``batch_size=2, accumulate=3``, seven rows make two updates, from batches of
                2 + 2 and 2 + 1. An update of fewer than ``2 * accumulate`` rows may have fewer batches, and so may the
                last one of a stream or with ``drop_last``. A batch norm takes the statistics of each batch alone.
            validation_data: ``(X, y)`` or ``(X, y, sample_weight)``, evaluated after every epoch; or batches of them:
                an iterable that can be run through again, such as a list or a loader, or a function that returns one.
            validation_split: instead, the share of the rows to hold out, drawn at random; for the same number of rows,
                the same ones in every fit.
            stratify: hold out about the same share of each class; for the same labels, the same rows in every fit.
            sample_weight: shape (samples,): factors of the samples' losses. A batch in which each label is ignored
                or weighs 0 is skipped.
            class_weight: further factors of the samples' losses and of their weight in the metrics, by class number,
                not of validation data; or "balanced", ``samples / (classes * samples of the class)``.
            shuffle: take the rows in a new order in each epoch.
            drop_last: make every batch exactly ``batch_size`` rows long, and leave out the rows that do not fill one.
                ValueError if there are fewer rows than that.
            steps_per_epoch: if X provides batches, how many make an epoch. Each epoch goes on where the one before
                ended, and a stream that ends is started again. An endless generator needs it: ``fit`` cannot tell that
                it is endless.
            callbacks: such as :class:`nn.EarlyStopping` and :class:`nn.Checkpoint`.
            progress: show the progress; None shows it in a notebook or a terminal.
            compile: whether to trace a step once (for each shape of a batch) and run it as a straight-line program:
                :func:`tensorgrad.compile` with ``backend="auto"``. The numbers are those of uncompiled steps, bit for
                bit, until native code takes over; from then on they differ by rounding. "auto" compiles where nothing
                else can differ and it pays: network, loss, optimiser and average are of nn's own classes, without
                hooks, and there are enough steps (of a stream, with the shapes of a batch). Python code of your own in
                ``forward`` or the loss so runs in every step, and so does everything else that "auto" does not compile:
                LBFGS, ``skip_nonfinite``, several processes, steps under :class:`tensorgrad.debug` or
                :class:`tensorgrad.record_graph`. True compiles your own code, too, which then runs only while a step is
                traced; a network whose code branches on values runs uncompiled.
            on_interrupt: what Ctrl-C leads to: "raise" KeyboardInterrupt, or "return" as if the run had ended by
                itself, with ``stopped == "Ctrl-C"`` in the history.
            parallel: the processes that train together, from :func:`nn.parallel.init`; None for those of the
                surrounding ``with`` block, if there is one. Each does the same updates, from its share of each batch:
                every process gets all arrays (or opens the same files) and takes every ``size``-th row of a batch of
                ``batch_size``; of a stream, each gets its own batches. The model of rank 0 is the one that is trained,
                and rank 0 alone shows the progress and writes files.

        Returns:
            The history of this run, a new object; ``model.history`` is that of all runs. With a
            :class:`nn.Checkpoint` that was resumed, the run includes the epochs before.

        Raises:
            KeyboardInterrupt: the run was stopped, and ``on_interrupt`` is "raise".
            KeyError: a callback or the schedule monitors a column that the history does not have.
            ShapeError: lengths or shapes do not fit.
            DTypeError, IndexError: X does not hold numbers; labels are not class numbers where these are needed, or are
                out of range.
            NonFiniteError: a gradient is NaN or infinite; the parameters are those of the step before.
            ValueError, TypeError: an argument is out of range; ``compile=True`` does not go with the optimiser.
        """
        epochs, batch_size = count("fit", "epochs", epochs), count("fit", "batch_size", batch_size)
        accumulate = count("fit", "accumulate", accumulate)
        if on_interrupt not in ("raise", "return"):
            raise ValueError(f"fit: on_interrupt must be 'raise' or 'return', got {on_interrupt!r}")
        if steps_per_epoch is not None:
            steps_per_epoch = count("fit", "steps_per_epoch", steps_per_epoch)
        if not isinstance(validation_split, Real) or not 0 <= validation_split < 1:
            raise ValueError(f"fit: validation_split must be in [0, 1), got {validation_split!r}")
        if validation_split and validation_data is not None:
            raise ValueError("fit: give validation_data or validation_split, not both")
        if stratify and not validation_split:
            raise ValueError("fit: stratify=True is for validation_split, which is 0")
        callbacks = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        for callback in callbacks:
            if not isinstance(callback, Callback):
                hint = f"; write {callback.__name__}()" if isinstance(callback, type) else ""
                raise TypeError(f"fit: callbacks must be nn.Callback objects, got {callback!r}{hint}")

        def sources() -> tuple[Rows | Stream, Rows | Stream | None]:
            data = source(X, y, sample_weight, by="fit", per_epoch=steps_per_epoch)
            if validation_split and not isinstance(data, Rows):
                raise TypeError("fit: batches cannot be split; give validation_data")
            if isinstance(data, Stream) and data.runs_once and epochs > 1 and steps_per_epoch is None:
                raise ValueError(
                    f"fit: in the second of {epochs} epochs the stream of batches is empty; a generator runs only "
                    "once, so give the function that makes it, or steps_per_epoch, the number of batches in an epoch"
                )
            return data, None if validation_data is None else validation_source(validation_data, epochs)

        comm = surrounding() if parallel is None else parallel
        if comm is not None and comm.size == 1:
            comm = None
        with folded(), nullcontext() if comm is None else comm:
            return train(
                self,
                sources,
                split=validation_split,
                stratify=stratify,
                class_weight=class_weight,
                epochs=epochs,
                batch_size=batch_size,
                accumulate=accumulate,
                shuffle=shuffle,
                drop_last=drop_last,
                callbacks=callbacks,
                progress=progress,
                compile=compile,
                on_interrupt=on_interrupt,
                comm=comm,
            )

    def lr_find(
        self,
        X: Any,
        y: Any = None,
        *,
        start: float = 1e-7,
        stop: float = 10.0,
        steps: int = 100,
        batch_size: int = 32,
        sample_weight: Any = None,
    ) -> LRCurve:
        """Train a copy while the learning rate grows, and see where the loss falls fastest (Smith, 2017).

        The model stays exactly as it is: weights, optimiser, generators and running statistics. The test ends early
        when the smoothed loss is four times its lowest value, or is not finite.

        Args:
            X: as in :meth:`fit`; batches from an iterator are used up.
            y: likewise.
            start: the first learning rate, of all parameter groups.
            stop: the last one.
            steps: the number of updates; from each to the next, the rate grows by the same factor.
            batch_size: rows per update.
            sample_weight: as in :meth:`fit`.

        Returns:
            The rates and losses, with a ``suggestion`` and ``plot()``: an :class:`LRCurve`.

        Raises:
            ValueError: an argument is out of range, or the optimiser has no learning rate.

        >>> import numpy as np, nn
        >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
        >>> model = nn.Model(nn.MLP([1, 16, 1], rng=0), loss="mse", rng=0)
        >>> found = model.lr_find(X, X**2)
        >>> len(found.lrs), 1e-4 < found.suggestion < 1.0
        (100, True)
        """
        start, stop = number("lr_find", "start", start, 0), number("lr_find", "stop", stop, 0)
        if not 0 < start < stop:
            raise ValueError(f"lr_find: start must be above 0 and below stop, got {start:g} and {stop:g}")
        steps, batch_size = count("lr_find", "steps", steps, 2), count("lr_find", "batch_size", batch_size)
        if isinstance(self.optimizer, LBFGS):
            raise ValueError("lr_find: LBFGS has no learning rate: it searches along each direction")
        with folded():
            data = source(X, y, sample_weight, by="lr_find")
            return range_test(self, data, start=start, stop=stop, steps=steps, batch_size=batch_size)

    # --- use -------------------------------------------------------------------------------------------

    def predict(self, X: Any, *, batch_size: int = EVALUATION_ROWS) -> Any:
        """Compute the network's output in evaluation mode, a batch at a time, as one array.

        X as in :meth:`fit`, but not in batches.

        >>> import numpy as np, nn
        >>> nn.Model(nn.MLP([3, 2], rng=0)).predict(np.ones((5, 3))).shape
        (5, 2)
        """
        batch_size = count("predict", "batch_size", batch_size)
        rows, casts = Rows(X, None, None, by="predict"), Casts(self.network)
        with folded(), evaluating(self):
            outputs = [called(self.network, casts.inputs(batch.X)).data for batch in rows.batches(batch_size)]
        return np.concatenate(outputs) if len(outputs) > 1 else outputs[0]

    def evaluate(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, batch_size: int = EVALUATION_ROWS
    ) -> dict[str, float]:
        """Compute loss and metrics in evaluation mode, over all samples. X and y as in :meth:`fit`.

        Raises ValueError if every label is ignored or weighs 0.

        >>> import numpy as np, nn
        >>> model = nn.Model(nn.MLP([3, 2], rng=0), metrics=["accuracy"])
        >>> list(model.evaluate(np.ones((5, 3)), np.ones(5, int)))
        ['loss', 'accuracy']
        """
        batch_size = count("evaluate", "batch_size", batch_size)
        with folded():
            return evaluated(self, source(X, y, sample_weight, by="evaluate"), batch_size)
