"""Many arrays of one shape as one: what is computed of a :class:`Batched` is computed of all of them at once."""

from .array import Batched as Batched
from .array import new_level as new_level
from .array import together as together
