"""Quantities of `metrics` and `behavior`, as the HPA takes them: `10`, `"0.5"`, `500m`, `2Gi`."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from autoscaler.crd.rule import cel_text, validation
from policies.errors import BadInput
from policies.hpa.milli_value import milli, stored_quantity

_MAX_LENGTH = 40
"""Characters. Bounds the estimated cost of the rules; 2**63 in digits takes 19."""
_ABOVE_ZERO = 'must be a quantity above 0 such as 10, "0.5", 500m or 2Gi; correct it'
_FROM_ZERO = 'must be a decimal quantity of 0 or more such as "0.1" or 100m; correct it'


def _text(value: Any) -> Any:
    """A whole number as text. Others are refused: a CRD cannot take a number with a fraction where it takes texts."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _positive(text: str) -> str:
    try:
        is_positive = len(text) <= _MAX_LENGTH and milli(text) > 0
    except BadInput:
        is_positive = False
    if not is_positive:
        raise BadInput(f"was {text}, {_ABOVE_ZERO}")
    return text


def _tolerance(text: str) -> str:
    try:
        is_good = len(text) <= _MAX_LENGTH and stored_quantity(text).mantissa >= 0
    except BadInput:
        is_good = False
    if not is_good:
        raise BadInput(f"was {text}, {_FROM_ZERO}")
    return text


def _schema(cel: str, demand: str) -> dict[str, Any]:
    told = f"{cel_text(f'was %s, {demand}')}.format([self])"
    return {
        "x-kubernetes-int-or-string": True,
        "maxLength": _MAX_LENGTH,
        "x-kubernetes-validations": [validation(cel, told)],
    }


PositiveQuantity = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_positive),
    WithJsonSchema(
        _schema('isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity("0"))', _ABOVE_ZERO)
    ),
]
"""A target. Raises BadInput."""
ToleranceQuantity = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_tolerance),
    WithJsonSchema(
        _schema(
            'isQuantity(string(self)) && !string(self).endsWith("i") && '
            '!quantity(string(self)).isLessThan(quantity("0"))',
            _FROM_ZERO,
        )
    ),
]
"""A tolerance, as a fraction of the target. Raises BadInput."""
