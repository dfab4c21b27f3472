"""Kubernetes quantities as the tolerance fields use them: `0.1`, `100m`, `1e-1`.

Source: k8s.io/apimachinery pkg/api/resource, quantity.go (ParseQuantity, AsApproximateFloat64,
CanonicalizeBytes), v1.36.3.
"""

import re
from dataclasses import dataclass

from policies.errors import BadInput

_EXPONENT_OF_SUFFIX = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX_OF_EXPONENT = {exponent: suffix for suffix, exponent in _EXPONENT_OF_SUFFIX.items()}
_TEXT = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<part>\d*))?(?:[eE](?P<power>[+-]?\d+)|(?P<suffix>[numkMGTPE]?))"
)
_SMALLEST_EXPONENT = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """mantissa * 10**exponent, digit for digit as it was written: `0.3` is 3e-1 and `300m` is 300e-3.

    The two are equal as numbers and may differ in the last bit as floats, so the spelling is kept.
    """

    mantissa: int
    exponent: int

    def as_approximate_float(self) -> float:
        """float64(mantissa) * 10^exponent, in two roundings, as AsApproximateFloat64 does."""
        if self.exponent == 0:
            return float(self.mantissa)
        return float(self.mantissa) * float(f"1e{self.exponent}")

    def canonical(self) -> str:
        """The spelling the API server stores: the largest suffix that needs no fraction (`0.1` -> `100m`)."""
        mantissa, exponent = self.mantissa, self.exponent
        if mantissa == 0:
            return "0"
        while mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        shift = exponent % 3
        mantissa, exponent = mantissa * 10**shift, exponent - shift
        return f"{mantissa}{_SUFFIX_OF_EXPONENT.get(exponent, f'e{exponent}')}"


def parse_quantity(text: str, field: str = "tolerance") -> Quantity:
    """Read a decimal quantity as the API spells it. Raises BadInput that names `field`.

    Finer than nano is rounded up to nano, as upstream does; binary suffixes (`Ki`) are for memory and are
    refused here.
    """
    match = _TEXT.fullmatch(text)
    if match is None or not (match["whole"] or match["part"]):
        raise BadInput(f"{field}: was {text!r}, must be a decimal quantity such as 0.1 or 100m")
    part = match["part"] or ""
    exponent = int(match["power"]) if match["power"] else _EXPONENT_OF_SUFFIX[match["suffix"] or ""]
    mantissa, exponent = int((match["whole"] or "") + part), exponent - len(part)
    if exponent < _SMALLEST_EXPONENT:
        mantissa, exponent = -(-mantissa // 10 ** (_SMALLEST_EXPONENT - exponent)), _SMALLEST_EXPONENT
    return Quantity(mantissa=-mantissa if match["sign"] == "-" else mantissa, exponent=exponent)
