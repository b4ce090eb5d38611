"""The compiler: it turns a trace of a training step into one straight-line program."""

from .often import replayed as replayed
from .step import CompiledStep as CompiledStep
from .step import compile as compile
