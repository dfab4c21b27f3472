"""What an attainment costs along a frontier of settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.counts.frontier import Point, gpu_hours_at, setting_for, undominated

POINTS = [Point(100.0, 0.9), Point(200.0, 0.99), Point(150.0, 0.85), Point(300.0, 0.999)]


@pytest.mark.parametrize(
    ("attainment", "hours"),
    [
        pytest.param(0.99, 200.0, id="a-point-itself"),
        pytest.param(0.945, 150.0, id="half-way-between-two"),
        pytest.param(0.5, 100.0, id="below-all-costs-what-the-cheapest-costs"),
        pytest.param(0.9995, None, id="above-all-is-not-reached"),
    ],
)
def test_interpolation(attainment: float, hours: float | None) -> None:
    assert gpu_hours_at(POINTS, attainment) == (hours if hours is None else pytest.approx(hours))


def test_the_setting_for_an_attainment_is_the_cheapest_that_has_it() -> None:
    assert setting_for(POINTS, 0.95) == 1
    assert setting_for(POINTS, 0.9995) is None
    assert undominated(POINTS) == [0, 1, 3]


points = st.lists(st.builds(Point, st.floats(1, 1e4), st.floats(0, 1)), min_size=1, max_size=20)


@given(points=points, low=st.floats(0.5, 0.9999), high=st.floats(0.5, 0.9999))
def test_more_attainment_never_costs_less(points: list[Point], low: float, high: float) -> None:
    low, high = sorted((low, high))
    cheap, dear = gpu_hours_at(points, low), gpu_hours_at(points, high)
    if dear is not None:
        assert cheap is not None
        assert cheap <= dear * (1 + 1e-9)
