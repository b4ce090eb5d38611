"""Special functions, computed by SciPy: ``pip install "tensorgrad-np[special]"``. Names and arguments are SciPy's."""

from ..words import public_names as _public_names
from .bessel import i0 as i0
from .bessel import i0e as i0e
from .bessel import i1 as i1
from .bessel import i1e as i1e
from .bessel import iv as iv
from .bessel import ive as ive
from .bessel import j0 as j0
from .bessel import j1 as j1
from .bessel import jv as jv
from .errors import erf as erf
from .errors import erfc as erfc
from .errors import erfcx as erfcx
from .errors import erfinv as erfinv
from .errors import log_ndtr as log_ndtr
from .errors import ndtr as ndtr
from .errors import ndtri as ndtri
from .gamma import beta as beta
from .gamma import betainc as betainc
from .gamma import betaln as betaln
from .gamma import digamma as digamma
from .gamma import gamma as gamma
from .gamma import gammainc as gammainc
from .gamma import gammaincc as gammaincc
from .gamma import gammaln as gammaln
from .gamma import multigammaln as multigammaln
from .gamma import polygamma as polygamma
from .gamma import zeta as zeta
from .logarithms import entr as entr
from .logarithms import exp1 as exp1
from .logarithms import expit as expit
from .logarithms import logit as logit
from .logarithms import rel_entr as rel_entr
from .logarithms import spence as spence

__dir__ = _public_names(globals())
