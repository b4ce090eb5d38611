"""tensorgrad: reverse-mode automatic differentiation on NumPy, to any order.

>>> import tensorgrad as tg
>>> x = tg.Tensor(2.0, requires_grad=True)
>>> y = x**3 + tg.sin(x)
>>> y.backward()
>>> x.grad
array(11.58385316)
"""

# The array API standard's dtypes, constants and facts are NumPy's.
from numpy import bool as bool
from numpy import complex64 as complex64
from numpy import complex128 as complex128
from numpy import e as e
from numpy import finfo as finfo
from numpy import float16 as float16
from numpy import float32 as float32
from numpy import float64 as float64
from numpy import iinfo as iinfo
from numpy import inf as inf
from numpy import int8 as int8
from numpy import int16 as int16
from numpy import int32 as int32
from numpy import int64 as int64
from numpy import isdtype as isdtype
from numpy import nan as nan
from numpy import newaxis as newaxis
from numpy import pi as pi
from numpy import result_type as result_type
from numpy import uint8 as uint8
from numpy import uint16 as uint16
from numpy import uint32 as uint32
from numpy import uint64 as uint64

from . import fft as fft
from . import linalg as linalg
from . import random as random
from . import special as special
from . import testing as testing
from .compiler import compile as compile
from .creation import arange as arange
from .creation import asarray as asarray
from .creation import empty as empty
from .creation import eye as eye
from .creation import full as full
from .creation import full_like as full_like
from .creation import linspace as linspace
from .creation import ones as ones
from .creation import ones_like as ones_like
from .creation import zeros as zeros
from .debugging import debug as debug
from .errors import DTypeError as DTypeError
from .errors import GraphError as GraphError
from .errors import InplaceError as InplaceError
from .errors import NonFiniteError as NonFiniteError
from .errors import ShapeError as ShapeError
from .frames import hide_frames as hide_frames
from .functional import grad as grad
from .functional import hessian as hessian
from .functional import jacobian as jacobian
from .functional import value_and_grad as value_and_grad
from .interrupts import uninterrupted as uninterrupted
from .mode import enable_grad as enable_grad
from .mode import no_grad as no_grad
from .mode import record_graph as record_graph
from .mode import scope as scope
from .ops.activations import leaky_relu as leaky_relu
from .ops.activations import log_sigmoid as log_sigmoid
from .ops.activations import log_softmax as log_softmax
from .ops.activations import relu as relu
from .ops.activations import sigmoid as sigmoid
from .ops.activations import softmax as softmax
from .ops.activations import softplus as softplus
from .ops.arithmetic import abs as abs
from .ops.arithmetic import add as add
from .ops.arithmetic import divide as divide
from .ops.arithmetic import multiply as multiply
from .ops.arithmetic import negative as negative
from .ops.arithmetic import positive as positive
from .ops.arithmetic import power as power
from .ops.arithmetic import reciprocal as reciprocal
from .ops.arithmetic import sqrt as sqrt
from .ops.arithmetic import square as square
from .ops.arithmetic import subtract as subtract
from .ops.compare import equal as equal
from .ops.compare import greater as greater
from .ops.compare import greater_equal as greater_equal
from .ops.compare import isfinite as isfinite
from .ops.compare import less as less
from .ops.compare import less_equal as less_equal
from .ops.compare import not_equal as not_equal
from .ops.complexes import angle as angle
from .ops.complexes import conj as conj
from .ops.complexes import imag as imag
from .ops.complexes import real as real
from .ops.cumulative import cumsum as cumsum
from .ops.cumulative import cumulative_sum as cumulative_sum
from .ops.differences import diff as diff
from .ops.exponential import exp as exp
from .ops.exponential import expm1 as expm1
from .ops.exponential import log as log
from .ops.exponential import log1p as log1p
from .ops.exponential import logaddexp as logaddexp
from .ops.indexing import take as take
from .ops.indexing import take_along_axis as take_along_axis
from .ops.joining import concat as concat
from .ops.joining import concatenate as concatenate
from .ops.joining import split as split
from .ops.joining import stack as stack
from .ops.products import dot as dot
from .ops.products import einsum as einsum
from .ops.products import matmul as matmul
from .ops.products import outer as outer
from .ops.reductions import logsumexp as logsumexp
from .ops.reductions import max as max
from .ops.reductions import mean as mean
from .ops.reductions import min as min
from .ops.reductions import prod as prod
from .ops.reductions import std as std
from .ops.reductions import sum as sum
from .ops.reductions import var as var
from .ops.rounding import ceil as ceil
from .ops.rounding import floor as floor
from .ops.rounding import round as round
from .ops.rounding import sign as sign
from .ops.rounding import zeros_like as zeros_like
from .ops.selection import clip as clip
from .ops.selection import maximum as maximum
from .ops.selection import minimum as minimum
from .ops.selection import where as where
from .ops.shaping import astype as astype
from .ops.shaping import broadcast_to as broadcast_to
from .ops.shaping import expand_dims as expand_dims
from .ops.shaping import flip as flip
from .ops.shaping import matrix_transpose as matrix_transpose
from .ops.shaping import moveaxis as moveaxis
from .ops.shaping import permute_dims as permute_dims
from .ops.shaping import ravel as ravel
from .ops.shaping import reshape as reshape
from .ops.shaping import squeeze as squeeze
from .ops.shaping import swapaxes as swapaxes
from .ops.shaping import transpose as transpose
from .ops.trigonometry import arccos as arccos
from .ops.trigonometry import arcsin as arcsin
from .ops.trigonometry import arctan as arctan
from .ops.trigonometry import cos as cos
from .ops.trigonometry import cosh as cosh
from .ops.trigonometry import sin as sin
from .ops.trigonometry import sinh as sinh
from .ops.trigonometry import tan as tan
from .ops.trigonometry import tanh as tanh
from .reasons import why_no_grad as why_no_grad
from .record import TensorLike as TensorLike
from .staging import array_of as array_of
from .staging import host as host
from .staging import indivisible as indivisible
from .staging import watch as watch
from .staging import writes_to as writes_to
from .tensor import Tensor as Tensor
from .tensor import from_dlpack as from_dlpack
from .tensor import from_numpy as from_numpy
from .viz import Drawing as Drawing
from .viz import draw as draw

# What the array API standard, and NumPy beside it, call by a second name.
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh, pow = arctan, arctan2, arctanh, power

__version__ = "0.1.0.dev0"
