"""Model: a network, and what it takes to train it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from .._checks import count
from .._evaluation import evaluating
from .._losses import LOSSES, GaussianNLLLoss
from .._models.layer import Spec, made
from .._models.mlp import MLP
from .._module import Module
from .._optim.grouping import no_decay
from .._optim.lbfgs import LBFGS
from .._optim.optimizer import Optimizer
from .._optim.registry import OPTIMIZERS, SCHEDULES
from .._optim.scheduler import Scheduler
from .callbacks import Callback
from .data import Casts, Rows
from .history import History
from .inputs import called
from .loop import train
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
        loss: "mse", "l1", "huber", "smooth_l1", "cross_entropy", "nll", "bce", "bce_with_logits", "kl_div", "hinge", or
            a function (prediction, target) that returns a scalar Tensor. The network's :func:`nn.penalty` is added.
        optimizer: "sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "radam", "lion" or "lbfgs"; made
            with the groups of :func:`nn.no_decay`, so that biases and norms do not decay.
        schedule: for the learning rate: a name such as "cosine", or a function of the optimiser, such as
            ``functools.partial(nn.StepLR, step_size=10)``.
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
        rng: generator or seed, for the order of the samples, the validation split, and a network given as a dict
            without a seed of its own.

    Attributes:
        history: one row per epoch, over all calls of :meth:`fit`.

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
        self.history = History()
        self._split_seed: int | None = None

    def _optimizer(self, spec: Spec) -> Any:
        optimizer = made(spec, OPTIMIZERS, "optimizer", list(self.network.parameters()))
        if any(group.get("weight_decay") for group in optimizer.param_groups):
            return made(spec, OPTIMIZERS, "optimizer", no_decay(self.network))
        return optimizer

    def _schedule(self, spec: Any) -> Any:
        if spec is None or not isinstance(spec, Scheduler):
            return None if spec is None else made(spec, SCHEDULES, "schedule", self.optimizer)
        if spec.optimizer is not self.optimizer:
            raise ValueError("Model: schedule belongs to another optimiser; give the model that optimiser, too")
        return spec

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
        compile: bool = False,
    ) -> History:
        """Train for some epochs, in addition to earlier ones. Afterwards the model is in evaluation mode.

        Before the first step, network, loss and metrics are run on a few rows in evaluation mode, so that what does not
        fit is found at once and leaves the model as it was.

        Ctrl-C ends the epoch after the current step, and the training run with it; the epoch is evaluated and added to
        the history, and ``fit`` returns. A second Ctrl-C raises KeyboardInterrupt at once.

        Args:
            X: inputs, shape (samples, ...). An array on disk (``np.load(..., mmap_mode="r")``) is read a batch at a
                time; a sparse matrix of SciPy is made dense a batch at a time. Several inputs are a dict of arrays,
                passed to the network as keyword arguments, or a tuple, passed as positional ones; a list is one
                array. Or batches ``(X, y)`` or ``(X, y, sample_weight)``: an iterable such as a loader, or a function
                that returns one for each epoch, such as a generator function.
            y: targets, with as many rows; None if X provides batches. For several labels per row, 0 and 1 of shape
                (samples, labels), with ``loss="bce_with_logits"``.
            epochs: the number of passes over the data.
            batch_size: rows per step. A last batch of one row is merged into the one before.
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
            drop_last: leave out a last, smaller batch. A batch norm learns badly from a batch of few rows.
            steps_per_epoch: if X provides batches, how many make an epoch. Each epoch goes on where the one before
                ended, and a stream that ends is started again. An endless generator needs it: ``fit`` cannot tell that
                it is endless.
            callbacks: such as :class:`nn.EarlyStopping` and :class:`nn.Checkpoint`.
            progress: show the progress; None shows it in a notebook or a terminal.
            compile: trace a step once (for each shape of a batch) and run it as a straight-line program, with the same
                bits: :func:`tensorgrad.compile`. The network's own code must not branch on values.

        Returns:
            The model's history.

        Raises:
            ShapeError: lengths or shapes do not fit.
            DTypeError, IndexError: X does not hold numbers; labels are not class numbers where these are needed, or are
                out of range.
            KeyError: a callback monitors a column that the history will not have.
            NonFiniteError: a gradient is NaN or infinite; the parameters are those of the step before.
            ValueError, TypeError: an argument is out of range.
        """
        epochs, batch_size = count("fit", "epochs", epochs), count("fit", "batch_size", batch_size)
        if steps_per_epoch is not None:
            steps_per_epoch = count("fit", "steps_per_epoch", steps_per_epoch)
        if not isinstance(validation_split, Real) or not 0 <= validation_split < 1:
            raise ValueError(f"fit: validation_split must be in [0, 1), got {validation_split!r}")
        if validation_split and validation_data is not None:
            raise ValueError("fit: give validation_data or validation_split, not both")
        if stratify and not validation_split:
            raise ValueError("fit: stratify=True is for validation_split, which is 0")
        data = source(X, y, sample_weight, by="fit", per_epoch=steps_per_epoch)
        if validation_split and not isinstance(data, Rows):
            raise TypeError("fit: batches cannot be split; give validation_data")
        if isinstance(data, Stream) and data.runs_once and epochs > 1 and steps_per_epoch is None:
            raise ValueError(
                f"fit: in the second of {epochs} epochs the stream of batches is empty; a generator runs only once, so "
                "give the function that makes it, or steps_per_epoch, the number of batches in an epoch"
            )
        callbacks = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        for callback in callbacks:
            if not isinstance(callback, Callback):
                hint = f"; write {callback.__name__}()" if isinstance(callback, type) else ""
                raise TypeError(f"fit: callbacks must be nn.Callback objects, got {callback!r}{hint}")
        return train(
            self,
            data,
            None if validation_data is None else validation_source(validation_data, epochs),
            split=validation_split,
            stratify=stratify,
            class_weight=class_weight,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            callbacks=callbacks,
            progress=progress,
            compile=compile,
        )

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
        with evaluating(self):
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
        return evaluated(self, source(X, y, sample_weight, by="evaluate"), batch_size)
