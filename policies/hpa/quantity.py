"""Kubernetes quantities as the tolerance fields use them: `0.1`, `100m`, `1e-1`.

Source: k8s.io/apimachinery pkg/api/resource, quantity.go (ParseQuantity, AsApproximateFloat64,
CanonicalizeBytes), v1.36.3.
"""

import re
from dataclasses import dataclass, field

from policies.errors import BadInput

_EXPONENT_OF_SUFFIX = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX_OF_EXPONENT = {exponent: suffix for suffix, exponent in _EXPONENT_OF_SUFFIX.items()}
_TEXT = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<part>\d*))?(?:[eE](?P<power>[+-]?\d+)|(?P<suffix>[numkMGTPE]?))",
    re.ASCII,
)
_SMALLEST_EXPONENT = -9
_FAST_DIGITS = 18  # upstream's maxInt64Factors


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """mantissa * 10**exponent, digit for digit as it was written: `0.3` is 3e-1 and `300m` is 300e-3.

    The two are equal as numbers and may differ in the last bit as floats, so the spelling is kept.

    is_scientific: written with an exponent (`1e-2`), and stored so. stored_text: the text itself where upstream
        takes it for canonical and stores it as it is, None where it writes a new one.
    """

    mantissa: int
    exponent: int
    is_scientific: bool = field(default=False, compare=False)
    stored_text: str | None = field(default=None, compare=False)

    def as_approximate_float(self) -> float:
        """float64(mantissa) * 10^exponent, in two roundings, as AsApproximateFloat64 does."""
        if self.exponent == 0:
            return float(self.mantissa)
        return float(self.mantissa) * float(f"1e{self.exponent}")

    def canonical(self) -> str:
        """The spelling the API server stores: the largest power of 1000 that needs no fraction (`0.1` -> `100m`)."""
        if self.stored_text is not None:
            return self.stored_text
        mantissa, exponent = self.mantissa, self.exponent
        if mantissa == 0:
            return "0"
        while mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        shift = exponent % 3
        mantissa, exponent = mantissa * 10**shift, exponent - shift
        if self.is_scientific:
            return f"{mantissa}e{exponent}" if exponent else str(mantissa)
        return f"{mantissa}{_SUFFIX_OF_EXPONENT.get(exponent, f'e{exponent}')}"


def parse_quantity(text: str, field: str = "tolerance") -> Quantity:
    """Read a decimal quantity as the API spells it. Raises BadInput that names `field`.

    Finer than nano is rounded up to nano, as upstream does; binary suffixes (`Ki`) are for memory and are
    refused here.
    """
    match = _TEXT.fullmatch(text)
    if match is None or not (match["whole"] or match["part"]):
        raise BadInput(f"{field}: was {text!r}, must be a decimal quantity such as 0.1 or 100m")
    whole, part = (match["whole"] or "").lstrip("0") or "0", match["part"] or ""
    exponent = int(match["power"]) if match["power"] else _EXPONENT_OF_SUFFIX[match["suffix"] or ""]
    digits, exponent = whole + part, exponent - len(part)
    mantissa = int(digits)
    is_plain = len(digits) <= _FAST_DIGITS and exponent >= _SMALLEST_EXPONENT
    if exponent < _SMALLEST_EXPONENT:
        mantissa, exponent = -(-mantissa // 10 ** (_SMALLEST_EXPONENT - exponent)), _SMALLEST_EXPONENT
    return Quantity(
        mantissa=-mantissa if match["sign"] == "-" else mantissa,
        exponent=exponent,
        is_scientific=match["power"] is not None,
        stored_text=text if is_plain and exponent % 3 == 0 and digits[0] != "0" and digits[-3:] != "000" else None,
    )
