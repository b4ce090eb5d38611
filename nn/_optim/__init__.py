"""Optimisers, schedules of learning rates, bounds on gradients, averages of weights."""

from .adam import Adam, AdamW
from .adaptive import Adadelta, Adagrad, RMSprop
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .relatives import Lion, NAdam, RAdam
from .sgd import SGD

__all__ = ["OPTIMIZERS"]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "lion": Lion,
    "lbfgs": LBFGS,
}
