"""Floats as Kubernetes quantities."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.api.quantity import NoQuantity, quantity


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        pytest.param(0.0, "0m", id="zero-is-a-value"),
        pytest.param(-0.0, "0m", id="negative-zero-is-zero"),
        pytest.param(12.0, "12000m", id="whole-numbers-are-thousandths-too"),
        pytest.param(0.25, "250m", id="fractions-are-exact"),
        pytest.param(0.1, "100m", id="a-tenth-is-not-101-thousandths"),
        pytest.param(0.0001, "1m", id="the-rest-rounds-up"),
        pytest.param(1.0001, "1001m", id="rounds-up-like-MilliValue"),
        pytest.param(-1.0009, "-1000m", id="up-is-towards-plus-infinity"),
        pytest.param(9.2e15, "9200000000000000000m", id="the-largest-range"),
    ],
)
def test_quantity(value: float, wire: str) -> None:
    assert quantity(value) == wire


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 9.3e15, -9.3e15, 1e300])
def test_what_the_hpa_could_not_read_is_refused(value: float) -> None:
    with pytest.raises(NoQuantity):
        quantity(value)


@given(st.floats(min_value=-9.2e15, max_value=9.2e15))
def test_a_quantity_reads_back_as_the_value_rounded_up_to_a_thousandth(value: float) -> None:
    wire = quantity(value)
    assert wire.endswith("m")
    over = Fraction(int(wire[:-1]), 1000) - Fraction(repr(value))
    assert 0 <= over < Fraction(1, 1000)
