"""Checks for the derivatives of your own operations and functions: the gradient is compared with a numeric one."""

from .checks import Check as Check
from .checks import gradcheck as gradcheck
from .checks import gradgradcheck as gradgradcheck
from .differences import GradcheckError as GradcheckError
