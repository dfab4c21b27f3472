"""Kubernetes quantities as milli-units: `10`, `0.5`, `500m`, `1e3`, `2Gi`.

Source: k8s.io/apimachinery pkg/api/resource, quantity.go (ParseQuantity, MilliValue) and suffix.go, v1.36.3.
"""

import re
from fractions import Fraction

from policies.errors import BadInput
from policies.hpa.go_numbers import MAX_INT64
from policies.hpa.quantity import Quantity, parse_quantity

_BINARY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE])i", re.ASCII)
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_HUGE_EXPONENT = re.compile(r".*[eE][+-]?\d{3,}")


def milli(text: str) -> int:
    """The quantity in milli-units, rounded up, as the HPA reads it (MilliValue). Raises BadInput."""
    binary = _BINARY.fullmatch(text)
    if binary is not None:
        value = Fraction(binary["number"]) * 1024 ** _POWER[binary["suffix"]]
    else:
        decimal = quantity(text)
        value = Fraction(decimal.mantissa) * Fraction(10) ** decimal.exponent
    rounded = -(-value.numerator * 1000 // value.denominator)
    if abs(rounded) > MAX_INT64:
        raise BadInput(f"was {text!r}, must be at most {MAX_INT64 // 1000}")
    return int(rounded)


def quantity(text: str) -> Quantity:
    """A decimal quantity, digit for digit. Raises BadInput."""
    if not text.isascii():
        raise BadInput(f"was {text!r}, must be a quantity in ASCII digits")
    if _HUGE_EXPONENT.fullmatch(text):
        raise BadInput(f"was {text!r}, must be a quantity; its exponent is out of range")
    try:
        return parse_quantity(text)
    except BadInput:
        raise BadInput(f"was {text!r}, must be a quantity such as 10, 0.5, 500m or 2Gi") from None


def stored_quantity(text: str) -> Quantity:
    """The quantity as the controller reads it: in the API server's spelling, which may differ in the last bit."""
    return quantity(quantity(text).canonical())
