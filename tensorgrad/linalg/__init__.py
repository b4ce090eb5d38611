"""Linear algebra: NumPy's ``np.linalg``, recorded."""

from .norms import norm as norm
from .norms import vector_norm as vector_norm
