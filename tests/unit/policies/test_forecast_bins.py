"""Samples to minutes: what is wrong with them is missing, never 0 and never an error."""

import math

import numpy as np
import pytest

from policies.forecast.bins import OpenBin, add
from policies.snapshot import NS_PER_SECOND


def _minutes(samples):
    """(number, mean) of each closed minute, from (second, value)."""
    current, seen = OpenBin.empty(1), []
    for second, value in samples:
        current, closed = add(current, round(second * NS_PER_SECOND), value)
        seen += [(each.number, round(float(each.means[0]), 3)) for each in closed]
    return seen


@pytest.mark.parametrize(
    ("samples", "minutes"),
    [
        pytest.param([(15, 2), (30, 4), (60, 6)], [(0, 4.0)], id="a-sample-on-the-minute-closes-it"),
        pytest.param([(30, 2), (70, 9)], [(0, 2.0)], id="the-first-sample-after-it-closes-it"),
        pytest.param([(60, 1), (120, 3)], [(0, 1.0), (1, 3.0)], id="one-sample-a-minute"),
        pytest.param([(30, 1), (120, 3)], [(0, 1.0), (1, 3.0)], id="one-sample-may-close-two"),
        pytest.param([(60, 1), (300, 3)], [(0, 1.0), (4, 3.0)], id="a-gap-has-no-minutes"),
        pytest.param([(20, 4), (40, math.nan), (60, -3)], [(0, 4.0)], id="nan-and-negative-are-missing"),
        pytest.param([(60, math.inf)], [(0, math.nan)], id="a-minute-without-a-value-is-unknown"),
        pytest.param([(20, 4), (20, 100), (60, 6)], [(0, 5.0)], id="a-duplicate-is-ignored"),
        pytest.param([(40, 4), (20, 100), (60, 6)], [(0, 5.0)], id="out-of-order-is-ignored"),
        pytest.param([(60, 0)], [(0, 0.0)], id="zero-is-a-value"),
    ],
)
def test_minutes(samples, minutes):
    """Each row: samples as (second, value), and the minutes that they close."""
    assert np.array_equal(np.array(_minutes(samples)), np.array(minutes), equal_nan=True)
