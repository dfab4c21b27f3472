"""Go's numbers and Kubernetes' quantities, at their edges."""

import math

import pytest

from policies.errors import BadInput
from policies.hpa.go_numbers import (
    MAX_INT32,
    MAX_INT64,
    MIN_INT32,
    MIN_INT64,
    ceil_int32,
    ceil_int64,
    divide,
    quotient,
    truncate_int32,
    wrap_int32,
    wrap_int64,
)
from policies.hpa.quantity import Quantity, parse_quantity


@pytest.mark.parametrize(
    ("got", "want"),
    [
        pytest.param(wrap_int32(MAX_INT32 + 1), MIN_INT32, id="int32-wraps-upwards"),
        pytest.param(wrap_int32(MIN_INT32 - 1), MAX_INT32, id="int32-wraps-downwards"),
        pytest.param(wrap_int64(MAX_INT64 + 1), MIN_INT64, id="int64-wraps-upwards"),
        pytest.param(wrap_int64(-5), -5, id="a-small-number-stays"),
        pytest.param(quotient(7, 2), 3, id="division-truncates"),
        pytest.param(quotient(-7, 2), -3, id="division-truncates-towards-zero"),
        pytest.param(quotient(-7, -2), 3, id="two-negatives-divide-to-a-positive"),
        pytest.param(quotient(2**62 + 1, 1), 2**62 + 1, id="division-is-exact-beyond-a-float's-digits"),
        pytest.param(divide(1.0, 0.0), math.inf, id="one-over-zero"),
        pytest.param(divide(-1.0, 0.0), -math.inf, id="minus-one-over-zero"),
        pytest.param(divide(1.0, -0.0), -math.inf, id="one-over-minus-zero"),
        pytest.param(ceil_int32(2.0000001), 3, id="ceil"),
        pytest.param(ceil_int32(-0.5), 0, id="ceil-of-a-negative-fraction"),
        pytest.param(ceil_int32(2147483647.0), MAX_INT32, id="the-largest-int32"),
        pytest.param(ceil_int32(2147483647.5), MIN_INT32, id="beyond-int32-amd64-gives-the-smallest"),
        pytest.param(ceil_int32(math.nan), MIN_INT32, id="nan-to-int32"),
        pytest.param(ceil_int32(math.inf), MIN_INT32, id="infinity-to-int32"),
        pytest.param(ceil_int64(2.0**63), MIN_INT64, id="beyond-int64-amd64-gives-the-smallest"),
        pytest.param(ceil_int64(-(2.0**63)), MIN_INT64, id="the-smallest-int64"),
        pytest.param(truncate_int32(-2.9), -2, id="truncation-goes-towards-zero"),
        pytest.param(truncate_int32(2147483647.9), MAX_INT32, id="truncation-to-the-largest-int32"),
        pytest.param(truncate_int32(2147483648.0), MIN_INT32, id="truncation-beyond-int32"),
    ],
)
def test_numbers_behave_as_in_go(got, want):
    assert got == want


def test_zero_over_zero_is_not_a_number():
    assert math.isnan(divide(0.0, 0.0))


@pytest.mark.parametrize(
    ("text", "number", "canonical"),
    [
        pytest.param("0", 0.0, "0", id="zero"),
        pytest.param("0.1", 0.1, "100m", id="a-fraction-is-stored-in-milli"),
        pytest.param("100m", 0.1, "100m", id="milli"),
        pytest.param("0.3", 3 * 0.1, "300m", id="a-fraction-carries-the-error-of-two-roundings"),
        pytest.param("300m", 0.3, "300m", id="the-same-number-in-milli-does-not"),
        pytest.param("1.5", 1.5, "1500m", id="one-and-a-half"),
        pytest.param("1", 1.0, "1", id="one"),
        pytest.param("1000m", 1.0, "1", id="a-thousand-milli-is-one"),
        pytest.param("1e-2", 0.01, "10e-3", id="an-exponent-stays-one"),
        pytest.param("1e3", 1000.0, "1e3", id="a-canonical-text-is-stored-as-it-is"),
        pytest.param("1.500", 1.5, "1.500", id="and-so-is-one-with-three-decimals"),
        pytest.param("000100m", 0.1, "000100m", id="and-one-with-leading-zeros"),
        pytest.param("2k", 2000.0, "2k", id="kilo"),
        pytest.param("5u", 5 * 1e-6, "5u", id="micro"),
        pytest.param(".5", 0.5, "500m", id="no-digit-before-the-point"),
        pytest.param("0.0000000001", 1e-9, "1n", id="finer-than-nano-rounds-up"),
        pytest.param("-0.1", -0.1, "-100m", id="negative-is-read-and-left-to-validation"),
    ],
)
def test_quantities_read_as_upstream(text, number, canonical):
    quantity = parse_quantity(text)
    assert quantity.as_approximate_float() == number
    assert quantity.canonical() == canonical


def test_a_quantity_keeps_its_spelling():
    assert parse_quantity("0.30") == Quantity(mantissa=30, exponent=-2)


@pytest.mark.parametrize("text", ["", ".", "ten", "1 0", "1Ki", "0.1%", "1e", "--1"])
def test_a_text_that_is_no_quantity_is_refused(text):
    with pytest.raises(BadInput, match=r"behavior.scaleUp.tolerance: was .*, must be a decimal quantity"):
        parse_quantity(text, "behavior.scaleUp.tolerance")
