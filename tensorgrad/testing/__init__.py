"""Checks for the derivatives of your own operations and functions: the gradient is compared with a numeric one."""

from ..words import public_names as _public_names
from .checks import Check as Check
from .checks import gradcheck as gradcheck
from .checks import gradgradcheck as gradgradcheck
from .differences import GradcheckError as GradcheckError

__dir__ = _public_names(globals())
