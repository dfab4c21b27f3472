"""Points as rates and quantiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.cloud_monitoring.points import Increase, Point, increase_of, quantile_of
from adapter.sources.series import NS_PER_SECOND


def points(*rows: tuple[float, float, float]) -> list[Point]:
    """(start second, end second, value), oldest first."""
    return [
        Point(round(start * NS_PER_SECOND), round(end * NS_PER_SECOND), (value,))
        for start, end, value in reversed(rows)
    ]


@pytest.mark.parametrize(
    ("kind", "rows", "window", "expected"),
    [
        pytest.param("CUMULATIVE", [(0, 60, 10), (0, 90, 40)], 60, (30.0, 30.0, 90), id="two-samples"),
        pytest.param(
            "CUMULATIVE", [(0, 30, 5), (0, 60, 10), (0, 90, 40)], 40, (30.0, 30.0, 90), id="only-the-window-counts"
        ),
        pytest.param(
            "CUMULATIVE", [(0, 60, 10), (0, 180, 40)], 60, (30.0, 120.0, 180), id="samples-wider-apart-than-the-window"
        ),
        pytest.param(
            "CUMULATIVE", [(0, 30, 100), (40, 60, 7), (40, 90, 9)], 60, (9.0, 60.0, 90), id="a-reset-by-its-start"
        ),
        pytest.param("GAUGE", [(30, 30, 100), (60, 60, 7), (90, 90, 9)], 60, (9.0, 60.0, 90), id="a-reset-by-decrease"),
        pytest.param("DELTA", [(0, 60, 10), (60, 120, 30)], 120, (40.0, 120.0, 120), id="deltas-add-up"),
        pytest.param("DELTA", [(0, 60, 10), (60, 120, 30)], 60, (30.0, 60.0, 120), id="the-newest-delta"),
        pytest.param("CUMULATIVE", [(0, 60, 10)], 60, None, id="one-sample-is-too-few"),
        pytest.param("DELTA", [(60, 60, 10)], 60, None, id="a-delta-over-no-time"),
        pytest.param("GAUGE", [], 60, None, id="none"),
    ],
)
def test_increase(kind, rows, window, expected):
    found = increase_of(points(*rows), metric_kind=kind, window_seconds=window)
    told = None if found is None else (found.values[0], found.seconds, found.at_ns // NS_PER_SECOND)
    assert told == expected


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=20), st.data())
def test_a_restart_loses_nothing_that_was_counted_after_it(steps, data):
    """However the counter restarts, the increase is the sum of what was seen to be added."""
    rows, total, start, expected = [], 0, 0, 0
    for index, step in enumerate(steps):
        end = (index + 1) * 10
        if index and data.draw(st.booleans()):
            total, start = 0, end - 5
        total += step
        expected += step if index else 0
        rows.append((start, end, total))
    found = increase_of(points(*rows), metric_kind="CUMULATIVE", window_seconds=1000)
    assert found is not None
    assert found.values[0] == expected


def test_a_quantile_lies_evenly_within_its_bucket():
    increase = Increase((50.0, 100.0, 100.0), 60.0, 0)
    assert quantile_of(0.75, (0.1, 0.2), increase) == pytest.approx(0.15)
    assert quantile_of(0.75, (0.1, 0.2), Increase((0.0, 0.0, 0.0), 60.0, 0)) is None
