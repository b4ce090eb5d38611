"""Optimisers and schedules by name."""

from __future__ import annotations

from .adam import Adam, AdamW
from .adaptive import Adadelta, Adagrad, RMSprop
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
    StepLR,
)
from .sgd import SGD

__all__ = ["OPTIMIZERS", "SCHEDULES"]

_CLASSES: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, NAdam, RAdam, Lion, LBFGS)

OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in _CLASSES}

# Those that can be made from an optimiser and plain values.
SCHEDULES: dict[str, type[Scheduler]] = {
    "step": StepLR,
    "multi_step": MultiStepLR,
    "exponential": ExponentialLR,
    "cosine": CosineAnnealingLR,
    "cosine_restarts": CosineAnnealingWarmRestarts,
    "linear": LinearLR,
    "one_cycle": OneCycleLR,
    "plateau": ReduceLROnPlateau,
}
