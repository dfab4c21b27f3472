"""What a run shows while it runs: how long it will take."""

import pytest

from leadtime.view import time_left


@pytest.mark.parametrize(
    ("elapsed", "second", "total", "expected"),
    [
        pytest.param(0.0, 0.0, 3600.0, "", id="nothing-is-known-at-the-start"),
        pytest.param(40.0, 900.0, 3600.0, ", about 2 min left", id="a-quarter-took-40-s"),
        pytest.param(20.0, 1800.0, 3600.0, ", about 20 s left", id="half-took-20-s"),
        pytest.param(100.0, 3500.0, 3600.0, "", id="nearly-over"),
        pytest.param(500.0, 3700.0, 3600.0, "", id="requests-that-drain-after-the-end"),
    ],
)
def test_time_left_is_at_the_pace_so_far(elapsed: float, second: float, total: float, expected: str) -> None:
    assert time_left(elapsed, second, total) == expected
