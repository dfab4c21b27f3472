"""What each pod shows of the fluid's requests: sums that are the fluid's, counters that never fall, arrivals once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.counts.shown_pods import ShownPods


def test_an_old_queue_stays_where_it_was_sent() -> None:
    one = ShownPods().after((1,), admitted=10.0, waiting=90.0, running=10.0)
    two = one.after((1, 2), admitted=40.0, waiting=70.0, running=20.0)  # 20 came: 10 each
    assert two.waiting.tolist() == pytest.approx([70.0 * 100 / 110, 70.0 * 10 / 110])
    assert two.running.sum() == pytest.approx(20.0)
    assert (two.answered + two.running + two.waiting - [100.0, 0.0]).tolist() == pytest.approx([10.0, 10.0])


def test_what_waited_at_a_pod_that_is_gone_is_sent_again() -> None:
    two = ShownPods().after((1, 2), admitted=0.0, waiting=100.0, running=0.0)
    one = two.after((2,), admitted=0.0, waiting=100.0, running=0.0)
    assert one.waiting.tolist() == [100.0]
    assert one.answered.tolist() == [0.0]


def test_without_pods_nothing_is_shown() -> None:
    none = ShownPods().after((1,), admitted=5.0, waiting=5.0, running=5.0).after((), admitted=0, waiting=9, running=0)
    assert none.numbers == ()
    again = none.after((2,), admitted=0.0, waiting=9.0, running=0.0)
    assert again.waiting.tolist() == [9.0]


@given(
    scrapes=st.lists(
        st.tuples(st.integers(1, 6), st.floats(0, 50), st.floats(0, 50), st.floats(0, 1)), min_size=1, max_size=30
    )
)
def test_arrivals_are_counted_once(scrapes: list[tuple[int, float, float, float]]) -> None:
    """scrapes: of (new pods, requests that come, most that are admitted, share of what runs that is answered)."""
    shown, waiting, running, came = ShownPods(), 0.0, 0.0, 0.0
    seen = 0.0
    for count, arrivals, most, share in scrapes:
        numbers = tuple(range(max(count, len(shown.numbers))))
        admitted = min(waiting + arrivals, most)
        waiting, running = waiting + arrivals - admitted, (running + admitted) * (1.0 - share)
        came += arrivals
        before = dict(zip(shown.numbers, _all_of(shown), strict=True))
        answered = shown.answered
        shown = shown.after(numbers, admitted=admitted, waiting=waiting, running=running)
        growth = [now - before.get(number, 0.0) for number, now in zip(numbers, _all_of(shown), strict=True)]
        seen += sum(max(0.0, each) for each in growth)
        assert np.all(shown.answered[: len(answered)] >= answered - 1e-9)
        assert shown.waiting.sum() == pytest.approx(waiting, abs=1e-6)
        assert shown.running.sum() == pytest.approx(running, abs=1e-6)
    assert seen == pytest.approx(came, abs=1e-6)


def _all_of(shown: ShownPods) -> list[float]:
    everything: list[float] = (shown.waiting + shown.running + shown.answered).tolist()
    return everything
