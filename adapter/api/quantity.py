"""A float as a Kubernetes quantity.

Source: apimachinery pkg/api/resource/quantity.go; the HPA reads MilliValue(), an int64 rounded up.
"""

import math
from decimal import ROUND_CEILING, Decimal

_MAX_MILLI = 2**63 - 1
_MIN_MILLI = -(2**63)


class NoQuantity(ValueError):
    """A number that has no quantity the HPA could read. A retry does not help until the value changes."""


def quantity(value: float) -> str:
    """The value in thousandths, rounded up, as "<int>m"; for example 0.25 -> "250m".

    The shortest decimal that names the float is what is rounded: 0.1 is 100m although the float lies a
    little above. Raises NoQuantity for NaN, infinities and values beyond int64 thousandths (9.2e15).
    """
    if not math.isfinite(value):
        raise NoQuantity(f"value {value} is not finite")
    if value == int(value):  # counts, the usual case
        milli = int(value) * 1000
    else:
        milli = int((Decimal(repr(value)) * 1000).to_integral_value(ROUND_CEILING))
    if not _MIN_MILLI <= milli <= _MAX_MILLI:
        raise NoQuantity(f"value {value:g} is beyond a quantity's range of +-9.2e15")
    return f"{milli}m"
