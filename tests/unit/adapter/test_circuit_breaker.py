"""When a failing server is left alone, and when it is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.pass_through.circuit_breaker import CircuitBreaker


@pytest.mark.parametrize(
    "timeline",
    [
        pytest.param("0fail 1fail 2ok 3fail 4fail 5ok", id="failures-count-only-in-a-row"),
        pytest.param("0fail 1fail 2fail 3no 11no 12ok 13ok", id="open-for-ten-seconds-and-closed-by-a-success"),
        pytest.param("0fail 1fail 2fail 12fail 13no 21no 22fail 31no 32ok 32ok", id="a-failed-trial-opens-it-again"),
        pytest.param("0fail 1fail 2fail 12left 12ok", id="a-trial-that-nobody-waits-for-frees-its-place"),
    ],
)
def test_timeline(timeline: str) -> None:
    """Each step: the second, and what becomes of a request; `no` where it is turned away. Three failures open it."""
    breaker = CircuitBreaker(failures_until_open=3, open_seconds=10)
    for step in timeline.split():
        outcome = step.lstrip("0123456789")
        now = float(step.removesuffix(outcome))
        assert breaker.allow(now) is (outcome != "no"), step
        match outcome:
            case "ok":
                breaker.succeeded()
            case "fail":
                breaker.failed(now)
            case "left":
                breaker.abandoned()


def test_one_trial_at_a_time() -> None:
    breaker = CircuitBreaker(failures_until_open=1, open_seconds=10)
    assert breaker.allow(0)
    breaker.failed(0)
    assert breaker.seconds_until_trial(4) == 6
    assert [breaker.allow(10), breaker.allow(10), breaker.allow(99)] == [True, False, False]


def test_requests_on_their_way_when_it_opened_do_not_lengthen_the_time() -> None:
    breaker = CircuitBreaker(failures_until_open=2, open_seconds=10)
    assert all(breaker.allow(0) for _ in range(5))
    for second in range(5):
        breaker.failed(second)
    assert not breaker.allow(10)
    assert breaker.allow(11), "ten seconds after the second failure"


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_it_never_stays_shut_out_for_longer_than_stated(steps: list[tuple[int, bool]]) -> None:
    breaker = CircuitBreaker(failures_until_open=2, open_seconds=10)
    now = 0
    for seconds, works in steps:
        now += seconds
        if breaker.allow(now):
            breaker.succeeded() if works else breaker.failed(now)
        assert breaker.seconds_until_trial(now) <= 10
    assert breaker.allow(now + 10)
