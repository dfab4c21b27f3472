"""Slices, thinning, time and rate: what stays, what moves, what is refused."""

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.demand.rate_scaled import rate_scaled
from simulations.demand.text import demand_from
from simulations.demand.transformations import delayed, partly_streaming, sliced, thinned, time_warped
from simulations.trace import SHIPPED, Demand, Trace
from simulations.trace_files import read_trace


@pytest.fixture(scope="module")
def hour() -> Trace:
    return read_trace(SHIPPED)


def arrivals(demand: Demand) -> np.ndarray:
    return np.concatenate([np.zeros(0), *(piece.arrival_seconds for piece in demand.pieces())])


def test_a_slice_begins_at_its_own_second_zero(hour: Trace) -> None:
    part = sliced(hour, 600, 1_200)
    inside = (hour.arrival_seconds >= 600) & (hour.arrival_seconds <= 1_800)
    assert np.allclose(arrivals(part), hour.arrival_seconds[inside] - 600)
    assert (part.start_ns - hour.start_ns, part.duration_seconds) == (600 * 10**9, 1_200)
    assert next(part.pieces()).start_ns == part.start_ns
    assert sliced(hour, 3_000, 9_999).duration_seconds == pytest.approx(hour.duration_seconds - 3_000)


def test_a_slice_stops_reading_at_its_end() -> None:
    """An hour of a year is not a year of work."""
    year = demand_from("poisson:rate=1000,minutes=525600")
    assert len(arrivals(sliced(year, 60, 60))) == pytest.approx(60_000, rel=0.02)


def test_thinning_keeps_a_share_by_independent_coins(hour: Trace) -> None:
    kept = arrivals(thinned(hour, 0.3, seed=2))
    assert len(kept) == pytest.approx(0.3 * len(hour), rel=0.03)
    assert np.isin(kept, hour.arrival_seconds).all()
    assert not np.array_equal(kept, arrivals(thinned(hour, 0.3, seed=3)))
    assert thinned(hour, 1.0) is hour


def test_thinning_does_not_depend_on_the_pieces() -> None:
    """The slice that is read in other pieces has the same coins."""
    demand = demand_from("poisson:rate=400,minutes=30")
    small = demand_from("poisson:rate=400,minutes=30")
    object.__setattr__(small, "piece_requests", 1_000)
    assert len(list(small.pieces())) > len(list(demand.pieces()))
    assert np.array_equal(arrivals(thinned(demand, 0.5)), arrivals(thinned(small, 0.5)))


@pytest.mark.parametrize("change", [lambda d: thinned(d, 0.5), lambda d: sliced(d, 900, 900), lambda d: delayed(d, 9)])
def test_chains_of_turns_stay_whole(change: object) -> None:
    whole = demand_from("sessions:rate=2,turns=4,minutes=60")
    lengths = {len(chain) for piece in whole.pieces() for chain in chains(piece)}
    part = list(change(whole).pieces())  # type: ignore[operator]
    found = [chain for piece in part for chain in chains(piece)]
    assert 0 < len(found) < 7_200
    assert max(lengths) >= 10
    assert np.mean([len(chain) for chain in found]) == pytest.approx(4.0, rel=0.1), "long chains are kept as often"
    for piece in part:
        for chain in chains(piece):
            assert len({piece.arrival_seconds[at] for at in chain}) == 1


def chains(piece: Trace) -> list[list[int]]:
    assert piece.turns is not None
    heads: dict[int, list[int]] = {}
    for at, head in enumerate(piece.turns.heads().tolist()):
        heads.setdefault(head, []).append(at)
    return list(heads.values())


def test_time_is_stretched_with_its_think_times(hour: Trace) -> None:
    assert np.allclose(arrivals(time_warped(hour, 0.5)), hour.arrival_seconds / 2)
    sessions = demand_from("sessions:rate=1,minutes=10")
    fast = time_warped(sessions, 0.1)
    assert fast.duration_seconds == 60
    slow_turns, fast_turns = next(sessions.pieces()).turns, next(fast.pieces()).turns
    assert slow_turns is not None
    assert fast_turns is not None
    assert np.allclose(fast_turns.think_seconds, 0.1 * slow_turns.think_seconds)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0, 2.5])
def test_a_recording_of_another_rate_keeps_its_profile(hour: Trace, factor: float) -> None:
    """Thinned below 1; above, copies over one another, each but the first up to a minute later."""
    scaled = rate_scaled(hour, factor, seed=1)
    seen = arrivals(scaled)
    assert len(seen) == pytest.approx(factor * len(hour), rel=0.03)
    assert scaled.duration_seconds == hour.duration_seconds
    assert scaled.expected_requests == pytest.approx(factor * len(hour))
    before, after = (np.histogram(times, 12, (0, 3_600))[0] for times in (hour.arrival_seconds, seen))
    assert np.corrcoef(before, after)[0, 1] > 0.9
    if factor >= 2:
        assert len(np.unique(seen)) > 1.9 * len(np.unique(hour.arrival_seconds)), "bursts do not coincide"


def test_what_is_drawn_is_drawn_at_the_rate() -> None:
    demand = demand_from("gamma:rate=10,cv=3")
    scaled = rate_scaled(demand, 5.0)
    assert scaled.expected_requests == 5 * demand.expected_requests
    gaps = np.diff(arrivals(scaled))
    assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.1), "as bursty as before"


def test_a_share_that_does_not_stream_is_judged_by_its_end(hour: Trace) -> None:
    piece = next(partly_streaming(hour, 0.75, 20.0).pieces())
    limits = piece.e2e_limit_seconds
    assert limits is not None
    assert np.isnan(limits).mean() == pytest.approx(0.75, abs=0.01)
    assert set(limits[~np.isnan(limits)].tolist()) == {20.0}
    again = next(partly_streaming(piece, 0.0, 5.0).pieces()).e2e_limit_seconds
    assert again is not None
    assert (again == np.where(np.isnan(limits), 5.0, limits)).all(), "a limit that is there is kept"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: sliced(d, 4_000, 1), r"start_seconds: was 4000, must be in \[0, 3"),
        (lambda d: sliced(d, -1, 1), "start_seconds: was -1"),
        (lambda d: sliced(d, 0, 0), "seconds: was 0, must be above 0"),
        (lambda d: thinned(d, 0.0), r"keep: was 0, must be in \(0, 1\]"),
        (lambda d: time_warped(d, 0.0), "time_factor: was 0"),
        (lambda d: rate_scaled(d, 5_000), "rate_factor: was 5000"),
        (lambda d: partly_streaming(d, 1.5, 1.0), "streaming_share: was 1.5"),
        (lambda d: partly_streaming(d, 0.5, 0.0), "e2e_limit_seconds: was 0"),
    ],
)
def test_what_cannot_be_is_named(hour: Trace, change: object, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        change(hour)  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["users:users=5,minutes=1", "users:users=5,minutes=1,streaming_share=0.5 + poisson:rate=1"]
)
def test_users_are_neither_sliced_from_the_middle_nor_scaled(text: str) -> None:
    users = demand_from(text)
    assert len(arrivals(sliced(users, 0, 30))) > 0
    with pytest.raises(BadInput, match="must be 0 for users"):
        sliced(users, 10, 10)
    with pytest.raises(BadInput, match="must be 1 for users"):
        rate_scaled(users, 2.0)


def test_a_slice_of_a_share_of_something_drawn_is_still_drawn_at_the_rate() -> None:
    demand = demand_from("gamma:rate=10,cv=3,prompt_cv=2,streaming_share=0.5 + poisson:rate=10")
    scaled = rate_scaled(thinned(sliced(demand, 600, 1_200), 0.5), 4.0)
    assert scaled.expected_requests == pytest.approx(4 * 0.5 * 20 * 1_200)
    assert len(arrivals(scaled)) == pytest.approx(scaled.expected_requests, rel=0.05)
    assert len(np.unique(demand_lengths(scaled))) > 1_000, "drawn anew, not copies of the same requests"


def demand_lengths(demand: Demand) -> np.ndarray:
    return np.concatenate([piece.prompt_tokens for piece in demand.pieces()])
