"""Go's numbers: fixed-width integers that wrap, truncating division, IEEE division, conversions as on amd64.

Source: the Go specification, "Integer overflow" and "Conversions". What a float outside the integer's range
converts to is left to the platform there; amd64 (CVTTSD2SL, CVTTSD2SQ) gives the smallest integer.
"""

import math

MAX_INT32 = 2**31 - 1
MIN_INT32 = -(2**31)
MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)


def wrap_int32(value: int) -> int:
    """The value that an int32 holds after overflow."""
    return (value + 2**31) % 2**32 - 2**31


def wrap_int64(value: int) -> int:
    """The value that an int64 holds after overflow."""
    return (value + 2**63) % 2**64 - 2**63


def quotient(dividend: int, divisor: int) -> int:
    """Integer division that truncates towards zero, as `/` on Go integers does. The divisor is not 0."""
    whole = abs(dividend) // abs(divisor)
    return whole if (dividend < 0) == (divisor < 0) else -whole


def divide(dividend: float, divisor: float) -> float:
    """float64 division: x/0 is an infinity with the sign of both, 0/0 is NaN."""
    if divisor != 0.0:
        return dividend / divisor
    if dividend == 0.0 or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def ceil_int32(value: float) -> int:
    """int32(math.Ceil(value))."""
    return math.ceil(value) if -(2.0**31) - 1.0 < value <= MAX_INT32 else MIN_INT32


def truncate_int32(value: float) -> int:
    """int32(value)."""
    return math.trunc(value) if -(2.0**31) - 1.0 < value < 2.0**31 else MIN_INT32


def ceil_int64(value: float) -> int:
    """int64(math.Ceil(value))."""
    return math.ceil(value) if -(2.0**63) <= value < 2.0**63 else MIN_INT64
