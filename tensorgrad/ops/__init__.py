"""The operations: one file per family, listed in its ``__all__``; their public names are in ``tensorgrad``.

``methods`` makes them methods of Tensor; ``views`` and ``keys`` hold what several families share.
"""

from types import ModuleType

from . import activations as activations
from . import arithmetic as arithmetic
from . import axes as axes
from . import bits as bits
from . import branches as branches
from . import compare as compare
from . import complexes as complexes
from . import contractions as contractions
from . import convolution as convolution
from . import cumulative as cumulative
from . import diagonals as diagonals
from . import differences as differences
from . import einsum as einsum
from . import exponential as exponential
from . import indexing as indexing
from . import joining as joining
from . import logic as logic
from . import nan as nan
from . import numerics as numerics
from . import padding as padding
from . import polynomials as polynomials
from . import products as products
from . import quantiles as quantiles
from . import reciprocals as reciprocals
from . import rectifiers as rectifiers
from . import reductions as reductions
from . import rounding as rounding
from . import sampling as sampling
from . import selection as selection
from . import sequences as sequences
from . import sets as sets
from . import shaping as shaping
from . import sorting as sorting
from . import splitting as splitting
from . import tiling as tiling
from . import trigonometry as trigonometry
from . import variance as variance
from . import writing as writing

FAMILIES: tuple[ModuleType, ...] = (
    activations,
    arithmetic,
    axes,
    bits,
    branches,
    compare,
    complexes,
    contractions,
    convolution,
    cumulative,
    diagonals,
    differences,
    einsum,
    exponential,
    indexing,
    joining,
    logic,
    nan,
    numerics,
    padding,
    polynomials,
    products,
    quantiles,
    reciprocals,
    rectifiers,
    reductions,
    rounding,
    sampling,
    selection,
    sequences,
    sets,
    shaping,
    sorting,
    splitting,
    tiling,
    trigonometry,
    variance,
    writing,
)
