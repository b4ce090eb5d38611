"""Linear algebra: a differentiable ``np.linalg``, and the matrix functions of ``scipy.linalg``."""

from ..ops.axes import matrix_transpose as matrix_transpose
from ..ops.contractions import cross as cross
from ..ops.contractions import tensordot as tensordot
from ..ops.contractions import vecdot as vecdot
from ..ops.products import matmul as matmul
from ..ops.products import outer as outer
from ..words import public_names as _public_names
from .determinants import SlogdetResult as SlogdetResult
from .determinants import det as det
from .determinants import slogdet as slogdet
from .diagonals import diagonal as diagonal
from .diagonals import trace as trace
from .eigenvalues import EighResult as EighResult
from .eigenvalues import EigResult as EigResult
from .eigenvalues import eig as eig
from .eigenvalues import eigh as eigh
from .eigenvalues import eigvals as eigvals
from .eigenvalues import eigvalsh as eigvalsh
from .factoring import QRResult as QRResult
from .factoring import SVDResult as SVDResult
from .factoring import cholesky as cholesky
from .factoring import qr as qr
from .factoring import svd as svd
from .factoring import svdvals as svdvals
from .functions import cond as cond
from .functions import expm as expm
from .functions import matrix_power as matrix_power
from .functions import matrix_rank as matrix_rank
from .functions import multi_dot as multi_dot
from .functions import sqrtm as sqrtm
from .norms import matrix_norm as matrix_norm
from .norms import norm as norm
from .norms import vector_norm as vector_norm
from .solving import LstsqResult as LstsqResult
from .solving import inv as inv
from .solving import lstsq as lstsq
from .solving import pinv as pinv
from .solving import solve as solve
from .solving import solve_triangular as solve_triangular
from .solving import tensorinv as tensorinv
from .solving import tensorsolve as tensorsolve

__dir__ = _public_names(globals())
