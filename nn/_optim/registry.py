"""Optimisers and schedules by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .._checks import count
from .adam import Adam, AdamW
from .adaptive import Adadelta, Adagrad, RMSprop
from .cyclic import CyclicLR
from .lbfgs import LBFGS
from .lion import Lion
from .nadam import NAdam, RAdam
from .one_cycle import OneCycleLR
from .optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler import Scheduler
from .schedules import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from .sequence import SequentialLR
from .sgd import SGD

__all__ = ["OPTIMIZERS", "SCHEDULES"]

_CLASSES: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, NAdam, RAdam, Lion, LBFGS)

OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in _CLASSES}

# Those that can be made from an optimiser and plain values.
_SCHEDULES: dict[str, type[Scheduler]] = {
    "step": StepLR,
    "multi_step": MultiStepLR,
    "exponential": ExponentialLR,
    "cosine": CosineAnnealingLR,
    "cosine_restarts": CosineAnnealingWarmRestarts,
    "linear": LinearLR,
    "polynomial": PolynomialLR,
    "cyclic": CyclicLR,
    "one_cycle": OneCycleLR,
    "plateau": ReduceLROnPlateau,
}


# Those that begin with the optimiser's own learning rate, which a warm-up leads to.
_AFTER_WARMUP = (
    StepLR,
    MultiStepLR,
    ExponentialLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    PolynomialLR,
)


def _with_warmup(kind: type[Scheduler]) -> Callable[..., Scheduler]:
    @wraps(kind, updated=())
    def make(optimizer: Optimizer, *args: Any, warmup: int = 0, **options: Any) -> Scheduler:
        """Make a schedule, after a warm-up of so many steps: a straight line up to the optimiser's learning rate."""
        steps = count("", "warmup", warmup, 0)
        if not steps:
            return kind(optimizer, *args, **options)
        if not issubclass(kind, _AFTER_WARMUP):
            raise ValueError(
                f"warmup needs a schedule that begins with the optimiser's learning rate, got {kind.__name__}; leave "
                "it out, or take " + ", ".join(name for name, other in _SCHEDULES.items() if other in _AFTER_WARMUP)
            )
        rise = LinearLR(optimizer, start_factor=1 / (steps + 1), total_iters=steps)
        return SequentialLR(optimizer, [rise, kind(optimizer, *args, **options)], milestones=[steps])

    return make


SCHEDULES: dict[str, Callable[..., Scheduler]] = {name: _with_warmup(kind) for name, kind in _SCHEDULES.items()}
