"""Exponentials and logarithms as LLVM functions without branches, so that loops over them become vector code.

Arguments are reduced by multiples of ln 2 in two parts (Cody and Waite, Software Manual for the Elementary Functions,
1980); a logarithm is ``2 atanh(s)`` with ``s = f / (2 + f)``, its first terms taken out as ``f - f**2 / 2`` so that
they round once. The polynomials are minimax: tests find them again, and bound the error of each function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .values import Body, Format, Value, constant

__all__ = ["FUNCTIONS", "function_of", "name_of", "text_of"]


NEAR = 0.55  # up to here, the hyperbolic tangent is a polynomial
MIDDLE = 0.5  # and here the normal distribution


SINGLE = Format(
    *("float", "i32", 23, 127, (0.693359375, -2.12194440e-4)),
    exponential=(
        *(0.5, 0.1666666716337204, 0.04166646674275398),
        *(0.00833328627049923, 0.0013933653244748712, 0.00019907548266928643),
    ),
    logarithm=(0.6666666865348816, 0.4000012278556824, 0.2855073809623718, 0.2333238273859024),
    tangent=(
        *(-0.3333333134651184, 0.13333120942115784, -0.05391069874167442),
        *(0.02131609059870243, -0.006621286738663912),
    ),
    tail=(
        *(0.7290837168693542, -0.509332001209259, 0.230017751455307, -0.04726281762123108),
        *(-0.010463269427418709, 0.006970230024307966, 0.0010292509105056524, -0.0010341956513002515),
        *(-0.00025606254348531365, 0.000129181076772511, 6.474415567936376e-05, 5.686972144758329e-06),
    ),
    middle=(
        *(0.3989422917366028, -0.06649037450551987, 0.00997344683855772, -0.001186087029054761),
        *(0.00010970233415719122,),
    ),
    knee=3.0,
    far=14.5,
    top=89.0,
    bottom=-104.0,
    small=2.0**-26,
    large=20.0,
)
DOUBLE = Format(
    *("double", "i64", 52, 1023, (6.93147180369123816490e-01, 1.90821492927058770002e-10)),
    exponential=(
        *(0.5, 0.1666666666666667, 0.041666666666666685, 0.008333333333326134, 0.0013888888888874394),
        *(0.00019841269874822207, 2.4801587347343323e-05, 2.755725539854808e-06, 2.7557252912941005e-07),
        *(2.5105217609736546e-08, 2.092158794838977e-09),
    ),
    logarithm=(
        *(0.666666666666667, 0.3999999999989845, 0.2857142862639796, 0.2222221107291914),
        *(0.18182893216844614, 0.15331596971557543, 0.14617872793029674),
    ),
    tangent=(
        *(-0.3333333333333333, 0.13333333333332742, -0.05396825396746473, 0.02186948849496409),
        *(-0.008863234425643705, 0.0035921107216876206, -0.0014556644040876067, 0.0005889480084494089),
        *(-0.00023466830692920227, 8.51653111199636e-05, -2.063723515661821e-05),
    ),
    tail=(
        *(0.769193049750063, -0.6653825028900567, 0.49530561596997646, -0.31353315667130355),
        *(0.16502036617038254, -0.06911863870633872, 0.020795066799923847, -0.002993376770123941),
        *(-0.0007978693988332783, 0.0005448990618814792, -5.93757262508775e-05, -4.976280099755332e-05),
        *(1.6681209364547687e-05, 3.980863405413719e-06, -2.7692633110288143e-06, -3.365429614810571e-07),
        *(4.331481475064973e-07, 4.219106198530055e-08, -6.596435443581994e-08, -9.25855636074582e-09),
        *(7.68525147693777e-09, 1.7374687846695838e-09, -1.6688039913221795e-10),
    ),
    middle=(
        *(0.3989422804014327, -0.06649038006690544, 0.009973557010035602, -0.001187328215471595),
        *(0.00011543468743358875, -9.444654145049761e-06, 6.659549525066678e-07, -4.1169413575246934e-08),
        *(2.1501266507715003e-09,),
    ),
    knee=5.0,
    far=39.0,
    top=710.0,
    bottom=-746.0,
    small=2.0**-55,
    large=40.0,
)
FORMATS = {"float": SINGLE, "double": DOUBLE}


def _polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """By Horner's rule."""
    total = Value(x.body, x.kind, constant(coefficients[-1], x.kind))
    for coefficient in coefficients[-2::-1]:
        total = total.fma(x, coefficient)
    return total


def _reduced(x: Value) -> tuple[Value, Value, Value]:
    """``x = n * ln(2) + r + rest``: n in the low bits of an integer, r up to ``ln(2) / 2``, and the rest."""
    f = x.format
    shift = 1.5 * 2.0**f.digits  # added and taken away again, it rounds to a whole number
    shifted = x.fma(1 / np.log(2), shift)
    n = shifted - shift
    near = n.fma(-f.ln2[0], x)
    r = n.fma(-f.ln2[1], near)
    return shifted.bits(), r, n.fma(-f.ln2[1], near - r)


def _power(exponent: Value) -> Value:
    """2 to a power that has the exponent's bias added."""
    return (exponent << exponent.format.digits).number()


def _limited(x: Value, low: float, high: float) -> Value:
    x = x.compare("ogt", high).choose(high, x, x.kind)
    return x.compare("olt", low).choose(low, x, x.kind)


def _bits_of_shift(f: Format) -> int:
    """The bits of what rounds to a whole number."""
    return ((f.bias + f.digits) << f.digits) | (1 << (f.digits - 1))


def exp(x: Value) -> Value:
    """``exp(x)``."""
    return _exponential(x)


def _exponential(x: Value, rest: Value | None = None, factor: Value | float | None = None) -> Value:
    """``factor * exp(x + rest)``, for a rest that is small. Half of an exponential may be finite where that is not."""
    f = x.format
    bits, r, _ = _reduced(_limited(x, f.bottom, f.top if factor is None else f.top + 1))
    r = r if rest is None else r + rest
    power = (r * r).fma(_polynomial(r, f.exponential), r) + 1.0
    power = power if factor is None else power * factor
    # 2**n is a product of two powers, so that subnormal results round once, and the largest does not overflow.
    twice = bits - (_bits_of_shift(f) - 2 * f.bias)
    half = twice >> 1
    return power * _power(half) * _power(twice - half)


def expm1(x: Value) -> Value:
    """``exp(x) - 1``, to all digits near 0."""
    f = x.format
    bits, r, rest = _reduced(_limited(x, -f.large, f.top))
    power = (r * r).fma(_polynomial(r, f.exponential), rest) + r
    half = _power(bits - (_bits_of_shift(f) - f.bias + 1))  # the largest power would overflow
    result = half.fma(power, half - 0.5) * 2.0
    return abs(x).compare("olt", f.small).choose(x, result, x.kind)


def tanh(x: Value) -> Value:
    """``tanh(x)``, to all digits near 0."""
    f = x.format
    size = abs(x)
    power = expm1(_limited(size * 2.0, 0.0, f.large))
    z = x * x
    near = (x * z).fma(_polynomial(z, f.tangent), x)
    near = size.compare("olt", f.small).choose(x, near, x.kind)
    return size.compare("olt", NEAR).choose(near, (power / (power + 2.0)).with_sign_of(x), x.kind)


def cosh(x: Value) -> Value:
    """``cosh(x)``."""
    half = _exponential(abs(x), factor=0.5)
    return half + half.reciprocal() * 0.25


def _split(x: Value) -> tuple[Value, Value]:
    """The exponent of a positive number, and its mantissa between ``sqrt(1/2)`` and ``sqrt(2)``."""
    f = x.format
    low = np.array(0.5**0.5, np.float32 if f is SINGLE else np.float64).view(f"i{4 if f is SINGLE else 8}").item()
    moved = x.bits() + ((f.bias << f.digits) - low)
    exponent = ((moved >> f.digits) | ((f.bias + f.digits) << f.digits)).number() - (2.0**f.digits + f.bias)
    return exponent, ((moved & ((1 << f.digits) - 1)) + low).number()


def _logarithm(exponent: Value, part: Value, rest: Value | float, x: Value) -> Value:
    """``exponent * ln(2) + log(1 + part) + rest``, or what the logarithm of x is if that is not positive and finite."""
    f = x.format
    half = part * part * 0.5
    s = part / (part + 2.0)
    z = s * s
    tail = s * (z.fma(_polynomial(z, f.logarithm), half))
    tail = tail + exponent.fma(f.ln2[1], rest)
    result = exponent.fma(f.ln2[0], part - (half - tail))
    result = x.compare("oeq", np.inf).choose(np.inf, result, x.kind)
    other = x.compare("oeq", 0.0).choose(-np.inf, np.nan, x.kind)
    return x.compare("ogt", 0.0).choose(result, other, x.kind)


def log(x: Value) -> Value:
    """``log(x)``."""
    f = x.format
    subnormal = x.compare("olt", 2.0 ** (1 - f.bias))
    exponent, mantissa = _split(subnormal.choose(x * 2.0**f.digits, x, x.kind))
    exponent = exponent - subnormal.choose(float(f.digits), 0.0, x.kind)
    return _logarithm(exponent, mantissa - 1.0, 0.0, x)


def log1p(x: Value) -> Value:
    """``log(1 + x)``, to all digits near 0."""
    f = x.format
    total = x + 1.0
    exponent, mantissa = _split(total)
    lost = x.compare("ogt", 1.0).choose(1.0 - (total - x), x - (total - 1.0), x.kind)
    whole = exponent.compare("oeq", 0.0)
    part = whole.choose(x, mantissa - 1.0, x.kind)
    result = _logarithm(exponent, part, whole.choose(0.0, lost / total, x.kind), total)
    return abs(x).compare("olt", f.small).choose(x, result, x.kind)


def logaddexp(x: Value, y: Value) -> Value:
    """``log(exp(x) + exp(y))``."""
    distance = abs(x - y)
    larger = x.compare("ogt", y).choose(x, y, x.kind)
    rest = log1p(exp(0.0 - distance))
    return x.compare("oeq", y).choose(x + float(np.log(2)), larger + rest, x.kind)


def ndtr(x: Value) -> Value:
    """The probability that a standard normal variable is below x, to all digits on the left as well."""
    f = x.format
    t = _limited(abs(x), 0.0, f.far)
    coarse = (t.bits() & -(1 << (f.digits // 2 + 1))).number()  # its square is exact
    scale = (t + f.knee).reciprocal()
    factor = _polynomial((t - f.knee) * scale, f.tail) * scale
    tail = _exponential(coarse * coarse * -0.5, (t - coarse) * (t + coarse) * -0.5, factor)
    side = x.compare("olt", 0.0).choose(tail, 1.0 - tail, x.kind)
    return t.compare("olt", MIDDLE).choose(x.fma(_polynomial(x * x, f.middle), 0.5), side, x.kind)


FUNCTIONS: dict[Any, Callable[..., Value]] = {
    np.exp: exp,
    np.cosh: cosh,
    np.expm1: expm1,
    np.tanh: tanh,
    np.log: log,
    np.log1p: log1p,
    np.logaddexp: logaddexp,
}


def function_of(ufunc: Any) -> Callable[..., Value] | None:
    """What computes a ufunc of NumPy or SciPy; None if nothing here does."""
    special = sys.modules.get("scipy.special")  # whoever has one of its functions has loaded it
    return ndtr if special is not None and ufunc is special.ndtr else FUNCTIONS.get(ufunc)


def name_of(ufunc: np.ufunc, kind: str) -> str:
    """The name of the function for floats or doubles."""
    return f"{ufunc.__name__}.{kind}"


def text_of(ufunc: np.ufunc, kind: str) -> str:
    """The definition of the function for floats or doubles."""
    body = Body(FORMATS[kind])
    arguments = [Value(body, kind, f"%x{number}") for number in range(ufunc.nin)]
    function = function_of(ufunc)
    assert function is not None
    result = function(*arguments)
    given = ", ".join(f"{kind} {argument.name}" for argument in arguments)
    lines = "\n".join(body.lines)
    head = f"define internal {kind} @{name_of(ufunc, kind)}({given}) alwaysinline"
    return f"{head} {{\n{lines}\n  ret {kind} {result.name}\n}}"
