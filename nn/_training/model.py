"""Model: a network, and what it takes to train it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from .._checks import count
from .._evaluation import evaluating
from .._losses import LOSSES, BCELoss, GaussianNLLLoss
from .._models.layer import Spec, made
from .._models.mlp import MLP
from .._module import Module
from .._optim.grouping import no_decay
from .._optim.lbfgs import LBFGS
from .._optim.optimizer import Optimizer
from .._optim.registry import OPTIMIZERS, SCHEDULES
from .._optim.scheduler import Scheduler
from ..metrics import METRICS
from .callbacks import Callback
from .data import Casts, Rows, Stream, source
from .history import History
from .loop import train
from .scores import EVALUATION_ROWS, evaluated

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
            ``functools.partial(nn.StepLR, step_size=10)``.
        schedule_every: "epoch" or "step".
        metrics: names in :mod:`nn.metrics`, computed from all predictions of an epoch.
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
        metrics: Sequence[str] = (),
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
        if not isinstance(metrics, list | tuple) or any(name not in [*METRICS] for name in metrics):
            raise ValueError(f"Model: metrics must be a list of names among {', '.join(METRICS)}, got {metrics!r}")
        if "accuracy" in metrics and isinstance(self.loss, BCELoss):
            raise ValueError(
                "Model: accuracy takes logits; write loss='bce_with_logits' and leave the last sigmoid out"
            )
        self.metrics = list(metrics)
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
        validation_data: Sequence[Any] | Callable[[], Iterable[Any]] | None = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        shuffle: bool = True,
        drop_last: bool = False,
        callbacks: Iterable[Callback] = (),
        progress: bool | None = None,
        compile: bool = False,
    ) -> History:
        """Train for some epochs, in addition to earlier ones. Afterwards the model is in evaluation mode.

        Ctrl-C ends the epoch after the current step, and the training run with it; the epoch is evaluated and added to
        the history, and ``fit`` returns. A second Ctrl-C raises KeyboardInterrupt at once.

        Args:
            X: inputs, shape (samples, ...); an array on disk (``np.load(..., mmap_mode="r")``) is read a batch at a
                time. Or batches ``(X, y)`` or ``(X, y, sample_weight)``: an iterable, or a function that returns
                one for each epoch, such as a generator function.
            y: targets, with as many rows; None if X provides batches.
            epochs: the number of passes over the data.
            batch_size: rows per step, at most: the rows are divided into batches of nearly equal size, so 63 rows into
                32 and 31, 65 into 22, 22 and 21. There is no batch of one row, unless ``batch_size`` is 1: three rows
                in twos are one batch.
            validation_data: ``(X, y)`` or ``(X, y, sample_weight)``, evaluated after every epoch; or a function that
                returns batches of them.
            validation_split: instead, the share of the rows to hold out, drawn at random; for the same number of rows,
                the same ones in every fit.
            sample_weight: shape (samples,): factors of the samples' losses.
            shuffle: take the rows in a new order in each epoch.
            drop_last: make every batch exactly ``batch_size`` rows long, and leave out the rows that do not fill one.
            callbacks: such as :class:`nn.EarlyStopping` and :class:`nn.Checkpoint`.
            progress: show the progress; None shows it in a notebook or a terminal.
            compile: trace a step once (for each shape of a batch) and run it as a straight-line program, with the same
                bits: :func:`tensorgrad.compile`. A network whose own code branches on values runs uncompiled.

        Returns:
            The model's history.

        Raises:
            ShapeError: lengths or shapes do not fit.
            NonFiniteError: a gradient is NaN or infinite; the parameters are those of the step before.
            ValueError, TypeError: an argument is out of range.
        """
        epochs, batch_size = count("fit", "epochs", epochs), count("fit", "batch_size", batch_size)
        if not 0 <= validation_split < 1:
            raise ValueError(f"fit: validation_split must be in [0, 1), got {validation_split!r}")
        if validation_split and validation_data is not None:
            raise ValueError("fit: give validation_data or validation_split, not both")
        data = source(X, y, sample_weight, by="fit")
        if validation_split and not isinstance(data, Rows):
            raise TypeError("fit: batches cannot be split; give validation_data")
        callbacks = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        for callback in callbacks:
            if not isinstance(callback, Callback):
                hint = f"; write {callback.__name__}()" if isinstance(callback, type) else ""
                raise TypeError(f"fit: callbacks must be nn.Callback objects, got {callback!r}{hint}")
        return train(
            self,
            data,
            None if validation_data is None else _validation(validation_data),
            split=validation_split,
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

        >>> import numpy as np, nn
        >>> nn.Model(nn.MLP([3, 2], rng=0)).predict(np.ones((5, 3))).shape
        (5, 2)
        """
        rows, casts = Rows(X, None, None, by="predict"), Casts(self.network)
        with evaluating(self):
            outputs = [self.network(casts.inputs(batch.X)).data for batch in rows.batches(batch_size)]
        return np.concatenate(outputs) if len(outputs) > 1 else outputs[0]

    def evaluate(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, batch_size: int = EVALUATION_ROWS
    ) -> dict[str, float]:
        """Compute loss and metrics in evaluation mode, over all samples.

        >>> import numpy as np, nn
        >>> model = nn.Model(nn.MLP([3, 2], rng=0), metrics=["accuracy"])
        >>> list(model.evaluate(np.ones((5, 3)), np.ones(5, int)))
        ['loss', 'accuracy']
        """
        return evaluated(self, source(X, y, sample_weight, by="evaluate"), batch_size)


def _validation(given: Any) -> Rows | Stream:
    if callable(given):
        return source(given, None, None, by="validation_data")
    if not isinstance(given, tuple | list) or not 2 <= len(given) <= 3:
        kind = f"{len(given)} values" if isinstance(given, tuple | list) else type(given).__name__
        raise TypeError(
            "fit: validation_data must be (X, y) or (X, y, sample_weight), or a function that returns batches, got "
            f"{kind}"
        )
    return source(*given, *(None,) * (3 - len(given)), by="validation_data")
