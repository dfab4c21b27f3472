"""Conversations, closed-loop users and batch jobs: who waits for whom, and what they share."""

from dataclasses import replace

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.demand.batch_jobs import batch_jobs
from simulations.demand.lengths import Lognormal, LognormalLengths
from simulations.demand.sessions import Sessions
from simulations.demand.text import demand_from
from simulations.demand.think_time import ThinkTime
from simulations.demand.users import Users
from simulations.trace import Demand, Trace

LENGTHS = LognormalLengths(prompt=Lognormal(mean=100, cv=1.0), output=Lognormal(mean=60))


def sessions(text: str = "") -> Sessions:
    demand = demand_from(f"sessions:rate=0.5,think_seconds=20,prompt_cv=1,system_prompt_tokens=40,{text or 'turns=4'}")
    assert isinstance(demand, Sessions)
    return demand


def whole(demand: Demand) -> Trace:
    (piece,) = demand.pieces()
    return piece


def test_every_turn_repeats_all_before_it_and_shares_its_blocks() -> None:
    piece = whole(replace(sessions(), piece_sessions=10_000))
    assert piece.turns is not None
    assert piece.prefixes is not None
    ids = [
        piece.prefixes.ids[low:high].tolist()
        for low, high in zip(piece.prefixes.offsets, piece.prefixes.offsets[1:], strict=False)
    ]
    followed = np.flatnonzero(piece.turns.next_request >= 0)
    assert len(followed) > 3_000
    for turn in followed.tolist():
        following = int(piece.turns.next_request[turn])
        history = int(piece.prompt_tokens[turn] + piece.output_tokens[turn])
        assert piece.prompt_tokens[following] > history, "the next prompt is all before and new text"
        assert len(ids[turn]) == history // 16, "the ids reach over the answer"
        assert ids[following][: len(ids[turn])] == ids[turn]
        assert piece.arrival_seconds[following] == piece.arrival_seconds[turn]
    heads = np.unique(piece.turns.heads())
    first = [ids[head] for head in heads.tolist()]
    assert {tuple(each[:2]) for each in first} == {(0, 1)}, "40 tokens of system prompt are 2 shared blocks"
    own = [each[2] for each in first if len(each) > 2]
    assert len(set(own)) == len(own), "beyond it, conversations share nothing"


def test_sessions_have_their_rate_turns_and_think_times() -> None:
    piece = whole(replace(sessions("turns=4,minutes=600"), piece_sessions=100_000))
    assert piece.turns is not None
    heads = piece.turns.heads()
    assert len(np.unique(heads)) == pytest.approx(0.5 * 36_000, rel=0.03)
    assert len(piece) / len(np.unique(heads)) == pytest.approx(4.0, rel=0.03)
    thinks = piece.turns.think_seconds[piece.turns.next_request >= 0]
    assert thinks.mean() == pytest.approx(20.0, rel=0.03)
    assert thinks.std() == pytest.approx(20.0, rel=0.1)
    assert piece.ends_seconds == 36_000


def test_sessions_do_not_depend_on_the_pieces() -> None:
    one, many = (list(replace(sessions(), piece_sessions=size).pieces()) for size in (10_000, 50))
    assert len(one) == 1 < len(many)
    for column in ("arrival_seconds", "prompt_tokens", "output_tokens"):
        joined = np.concatenate([getattr(piece, column) for piece in many])
        assert np.array_equal(getattr(one[0], column), joined)
    ids = np.concatenate([piece.prefixes.ids for piece in many if piece.prefixes])
    assert one[0].prefixes is not None
    assert np.array_equal(one[0].prefixes.ids, ids)


def test_a_session_ends_before_it_would_outgrow_its_context() -> None:
    piece = whole(replace(sessions("max_context_tokens=600,turns=50"), piece_sessions=10_000))
    assert (piece.prompt_tokens + piece.output_tokens).max() <= 600
    assert piece.turns is not None
    assert (np.bincount(piece.turns.heads()).max()) <= 10


def users(**changes: object) -> Users:
    given = {
        "name": "users",
        "duration_seconds": 100.0,
        "users": 20,
        "spawn_per_second": 2.0,
        "think": ThinkTime(3.0, 0.5),
        "lengths": LENGTHS,
    }
    return Users(**{**given, **changes})  # type: ignore[arg-type]


def test_users_spawn_evenly_and_never_run_out_of_requests() -> None:
    """Each has one more request than it could send in time if all answers came at once."""
    piece = whole(users())
    assert piece.turns is not None
    heads = piece.turns.heads()
    assert np.unique(piece.arrival_seconds).tolist() == [user / 2.0 for user in range(20)]
    for head in np.unique(heads).tolist():
        chain = np.flatnonzero(heads == head)
        assert piece.turns.next_request[chain].tolist() == [*chain[1:].tolist(), -1]
        left = 100.0 - piece.arrival_seconds[head]
        thinks = piece.turns.think_seconds[chain]
        assert thinks[:-1].sum() <= left < thinks.sum()
    assert len(piece) == pytest.approx(users().expected_requests, rel=0.1)


def test_users_who_would_spawn_after_the_end_are_not_there() -> None:
    assert len(np.unique(whole(users(spawn_per_second=0.1)).arrival_seconds)) == 10


def test_users_can_stop_after_some_requests() -> None:
    piece = whole(users(requests_per_user=3, think=ThinkTime(0.0)))
    assert len(piece) == 60
    with pytest.raises(BadInput, match=r"think_seconds: was 0, must be in .* or give requests_per_user"):
        users(think=ThinkTime(0.0))


def test_a_batch_job_has_one_deadline_and_low_priority() -> None:
    trace = batch_jobs(
        [0.0, 50.0], requests=4, deadline_seconds=40.0, lengths=LENGTHS, submit_seconds=8.0, seconds=100.0
    )
    assert trace.arrival_seconds.tolist() == [0, 2, 4, 6, 50, 52, 54, 56]
    assert trace.e2e_limit_seconds is not None
    assert (trace.arrival_seconds + trace.e2e_limit_seconds).tolist() == [40.0] * 4 + [90.0] * 4
    assert trace.priority is not None
    assert set(trace.priority.tolist()) == {10}
    assert (trace.duration_seconds, len(trace)) == (100.0, 8)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda: batch_jobs([], requests=1, deadline_seconds=1.0, lengths=LENGTHS), "jobs: was 0"),
        (lambda: batch_jobs([0.0], requests=0, deadline_seconds=1.0, lengths=LENGTHS), "requests: was 0"),
        (lambda: batch_jobs([0.0], requests=1, deadline_seconds=0.0, lengths=LENGTHS), "deadline_seconds: was 0"),
        (
            lambda: batch_jobs([5.0], requests=1, deadline_seconds=1.0, lengths=LENGTHS, seconds=2.0),
            "seconds: was 2, must be at least 5",
        ),
        (lambda: ThinkTime(-1.0), "think_seconds: was -1"),
        (lambda: Lognormal(mean=0.5), r"tokens: was 0.5, must be in \[1, "),
        (lambda: sessions("turns=0"), "turns: was 0"),
        (lambda: sessions("system_prompt_tokens=5"), "given twice"),
        (lambda: users(users=0), "users: was 0"),
    ],
)
def test_what_cannot_be_is_named(change: object, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        change()  # type: ignore[operator]


def test_lognormal_lengths_have_their_mean_and_stay_within() -> None:
    rng = np.random.default_rng(1)
    drawn = Lognormal(mean=200, cv=1.5, max_tokens=50_000).draw(rng, 200_000)
    assert drawn.mean() == pytest.approx(200, rel=0.02)
    assert drawn.std() / drawn.mean() == pytest.approx(1.5, rel=0.05)
    cut = Lognormal(mean=200, cv=1.5, max_tokens=300).draw(rng, 10_000)
    assert (cut.min() >= 1, cut.max()) == (True, 300)
    assert set(Lognormal(mean=64).draw(rng, 10).tolist()) == {64}
