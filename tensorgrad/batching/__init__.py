"""Many arrays of one shape as one: a computation with a :class:`Batched` is done for all of them at once."""

from .array import Batched as Batched
from .array import new_level as new_level
from .array import unwrapped as unwrapped
