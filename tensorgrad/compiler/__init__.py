"""The compiler: a trace of a training step becomes one straight-line program."""

from .step import CompiledStep as CompiledStep
from .step import compile as compile
