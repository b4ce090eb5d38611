"""Layers and losses as functions, without state of their own.

Activations are :mod:`tensorgrad`'s operations: ``tg.relu``, ``tg.softmax`` and so on.
"""

from ._shared import checked_probability as checked_probability
from ._shared import checked_reduction as checked_reduction
from .labels import cross_entropy as cross_entropy
from .labels import nll_loss as nll_loss
from .labels import one_hot as one_hot
from .layers import batch_norm as batch_norm
from .layers import dropout as dropout
from .layers import linear as linear
from .losses import binary_cross_entropy as binary_cross_entropy
from .losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .losses import huber_loss as huber_loss
from .losses import l1_loss as l1_loss
from .losses import mse_loss as mse_loss
