"""Counter samples within a window."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.derive.history import CounterHistory

NS = 1_000_000_000


def filled(window_seconds: int, *samples: tuple[float, float]) -> CounterHistory:
    history = CounterHistory(1, window_seconds)
    for second, value in samples:
        history.add(round(second * NS), (value,))
    return history


def test_one_sample_is_no_increase() -> None:
    assert filled(60, (0, 5)).span(0) is None
    assert CounterHistory(1, 60).span(0) is None


def test_a_reset_costs_nothing_that_was_counted() -> None:
    history = filled(60, (0, 10), (15, 14), (30, 3), (45, 8))
    assert list(history.increases()) == [4 + 3 + 5]


def test_a_reset_that_left_the_window_counts_no_more() -> None:
    history = filled(60, (0, 10), (15, 3), (30, 4), (90, 9))
    assert history.span(90 * NS) is None, "only the newest is left"
    history.add(100 * NS, (11.0,))
    assert list(history.increases()) == [2.0]


def test_a_sample_that_is_not_newer_is_passed_over() -> None:
    history = filled(60, (10, 5), (20, 6), (20, 999), (15, 999))
    assert list(history.increases()) == [1.0]
    assert history.last_ns == 20 * NS


def test_samples_at_the_windows_far_edge_are_outside() -> None:
    history = filled(60, (0, 1), (30, 2), (60, 4))
    span = history.span(60 * NS)
    assert span is not None
    assert (span.sampled, span.samples, span.to_start) == (30.0, 2, 30.0)


def test_the_counters_of_a_histogram_reset_each_for_itself() -> None:
    history = CounterHistory(3, 60)
    history.add(0, (5, 10, 20))
    history.add(15 * NS, (1, 12, 2))
    assert list(history.increases()) == [1.0, 2.0, 2.0]
    assert list(history.first()) == [5.0, 10.0, 20.0]


def test_dense_samples_do_not_fill_the_memory_and_lose_no_increase() -> None:
    """100 a second for a minute: less than 250 stay, and a reset in every tenth is bridged."""
    history = CounterHistory(1, 60)
    total = 0
    value = 0
    for step in range(6000):
        if step:
            value = 1 if step % 10 == 0 else value + 1
            total += 1
        history.add(step * NS // 100, (value,))
    assert len(history._times) < 250
    assert list(history.increases()) == [total]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 100)), min_size=1, max_size=50))
def test_the_increase_is_the_sum_of_steps_within_the_window(steps: list[tuple[int, int]]) -> None:
    history = CounterHistory(1, 60)
    points, at = [], 0
    for wait, value in steps:
        at += wait
        points.append((at, value))
        history.add(at * NS, (float(value),))
    inside = [value for second, value in points if second > at - 60]
    expected = sum(after - before if after >= before else after for before, after in pairwise(inside))
    assert list(history.increases()) == [float(expected)]
