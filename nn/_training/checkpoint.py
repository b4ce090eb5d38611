"""Saving a training run, and going on with it."""

from __future__ import annotations

import os
import warnings

import tensorgrad as tg

from .._checks import AnyPath, count
from .._files.saving import extra_of, load, named, save
from .callbacks import INTERRUPTED, Callback, Fit, require_folder
from .settings import differences

__all__ = ["Checkpoint"]


class Checkpoint(Callback):
    """Save the training run every few epochs, so that it can resume after a crash, bit for bit.

    The file is written by :func:`nn.save`: ``nn.load(path).model`` is the model at that point, with the weights of the
    last epoch. The file also holds the state of the other callbacks, and is never half-written. An epoch cut short by
    Ctrl-C is not saved: a resumed run repeats all of it.

    Args:
        path: ends in ".npz" or ".safetensors".
        every: number of epochs between saves.
        resume: continue from the file, if there is one: the same program, run again, ends like one that was never
            interrupted. The progress display says what was resumed. What the file holds, such as the learning rate,
            overrides what the program says, with a warning if the run was begun with other settings; a run that has
            ended is not repeated. Remove the file to start over.

    Raises:
        ValueError: the path has another ending, or ``every`` is less than 1.
        FileNotFoundError: there is no such folder; raised before training begins.
        CheckpointError: the file does not fit the model, or the other callbacks that have a state; nothing was changed.

    >>> import tempfile, numpy as np, nn
    >>> def train(epochs):
    ...     model = nn.Model(nn.MLP([2, 4, 1], dropout=0.5, rng=0), loss="mse", rng=0)
    ...     keep = nn.Checkpoint(f"{folder}/run.npz", resume=True)
    ...     model.fit(np.eye(2), np.ones((2, 1)), epochs=epochs, callbacks=[keep])
    ...     return model.history["loss"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     part, whole = train(3), train(6)
    >>> len(whole), whole[:3] == part
    (6, True)
    """

    def __init__(self, path: AnyPath, *, every: int = 1, resume: bool = False) -> None:
        self.path, _ = named(path, "Checkpoint")
        self.every = count("Checkpoint", "every", every)
        self.resume = resume

    def on_fit_begin(self, fit: Fit) -> None:
        require_folder("Checkpoint", self.path)

    def restore(self, fit: Fit) -> None:
        """Continue from the file, if ``resume`` is set and there is one."""
        if not self.resume or not os.path.exists(self.path):
            return
        others = self._others(fit)
        kinds = [type(callback).__name__ for callback in others]
        saved = extra_of(self.path)
        found = saved.get("callbacks") if isinstance(saved, dict) and "epoch" in saved else None
        if found is None or [kind for kind, _ in found] != kinds:
            kept = [kind for kind, _ in found or []]
            what = "no training run" if found is None else f"a training run with the callbacks {kept}"
            raise tg.CheckpointError(
                f"Checkpoint: {self.path!r} holds {what}, expected one with {kinds}; remove the file to start over"
            )
        load(self.path, model=fit.model)
        fit.epoch, fit.stopped = saved["epoch"], saved["stopped"]
        fit.history = fit.model.history.last(fit.epoch)
        for callback, (_, state) in zip(others, saved["callbacks"], strict=True):
            callback.load_state_dict(state)
        fit.note = self._resumed(fit)
        if changed := differences(saved.get("settings", {}), fit.settings):
            warnings.warn(
                f"Checkpoint: the run in {self.path!r} was begun with other settings: {changed}. It goes on with its "
                "own optimiser and schedule, and with the new values of other settings; remove the file to start over",
                UserWarning,
                stacklevel=tg.users_stacklevel(),
            )

    def _resumed(self, fit: Fit) -> str:
        said = f"resumed from {self.path}: {fit.epoch} of {fit.epochs} epochs were done"
        if fit.stopped:
            return f"{said}, then it was stopped ({fit.stopped}), nothing to train"
        return said if fit.epoch < fit.epochs else f"{said}, nothing to train"

    def on_epoch_end(self, fit: Fit) -> None:
        if (
            not fit.main
            or fit.stopped == INTERRUPTED
            or (fit.epoch % self.every and fit.epoch != fit.epochs and not fit.stopped)
        ):
            return
        states = [(type(callback).__name__, callback.state_dict()) for callback in self._others(fit)]
        extra = {
            "epoch": fit.epoch,
            "stopped": fit.stopped,
            "callbacks": states,
            "settings": dict(fit.settings),
        }
        save(self.path, fit.model, extra=extra)

    def _others(self, fit: Fit) -> list[Callback]:
        """The callbacks that have a state to save; the others may change between runs."""
        plain = Callback.state_dict
        return [callback for callback in fit.callbacks if getattr(callback.state_dict, "__func__", None) is not plain]
