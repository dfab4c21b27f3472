"""Of several controllers at most one may write at any instant, whatever clocks, network and people do."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from fake_lease_api import CandidateApi, Fault, LeaseStore
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_loop import run_virtual

from adapter.sources.kubernetes.api import ApiError
from autoscaler.autoscaler import PAUSED_ANNOTATION
from autoscaler.leader.election import Election
from autoscaler.leader.fenced_client import FencedClient
from autoscaler.leader.leadership import Leadership, Timing
from autoscaler.leader.record import LeaseRecord, micro_time, record_of, with_record
from autoscaler.settings import LeaderElectionSettings

TIMING = Timing(lease_duration=11, renew_deadline=8.0, retry_period=2.0)


class Wall:
    """The machine's clock, wrong by an offset."""

    def __init__(self, offset_seconds: float = 0.0) -> None:
        self._offset_seconds = offset_seconds

    def now_ns(self) -> int:
        return int((asyncio.get_running_loop().time() + self._offset_seconds) * 1e9) + 1_780_000_000_000_000_000


@dataclass
class Candidate:
    name: str
    election: Election
    api: CandidateApi
    task: asyncio.Task[None] | None = None

    @property
    def may_write(self) -> bool:
        return self.election.leadership.may_write()

    def begin(self) -> None:
        self.task = asyncio.create_task(self.election.run())

    def kill(self) -> None:
        """As SIGKILL does: no word to anybody."""
        assert self.task is not None
        self.task.cancel()


def candidate(
    store: LeaseStore,
    name: str,
    *,
    rate: float = 1.0,
    offset: float = 0.0,
    latency: float = 0.005,
    faults: tuple[Fault, ...] = (),
    chance: float = 0.5,
) -> Candidate:
    """rate: of its monotonic clock against the world's."""
    loop = asyncio.get_running_loop()
    api = CandidateApi(store, name, latency=latency, rate=rate, faults=faults)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / rate)

    election = Election(
        api,
        namespace="leadtime-system",
        name="leadtime-controller",
        identity=name,
        timing=TIMING,
        clock=Wall(offset),
        monotonic=lambda: offset + loop.time() * rate,
        sleep=sleep,
        chance=lambda: chance,
    )
    return Candidate(name, election, api)


async def until(true: Callable[[], bool], seconds: float) -> float:
    """How long it took, seconds, to a twentieth."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not true():
        assert loop.time() - began < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.05)
    return loop.time() - began


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run the test in virtual time."""

    def run() -> None:
        run_virtual(test)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def led_by(store: LeaseStore, name: str = "a", **how: Any) -> Candidate:
    """A candidate that leads, past the wait after a Lease's creation."""
    first = candidate(store, name, **how)
    first.begin()
    await until(lambda: first.may_write, 20.0)
    return first


@virtually
async def test_the_first_of_all_leads_after_one_lease_duration() -> None:
    store = LeaseStore()
    first = candidate(store, "a")
    first.begin()
    waited = await until(lambda: first.may_write, 15.0)
    assert 11.0 <= waited <= 11.1
    assert store.get()["spec"]["holderIdentity"] == "a"
    assert store.get()["spec"]["leaseDurationSeconds"] == 11


@virtually
async def test_a_leader_that_dies_is_followed_within_15_seconds_and_not_before_its_lease_is_over() -> None:
    store = LeaseStore()
    first = await led_by(store)
    second = candidate(store, "b", chance=0.999)
    second.begin()
    await asyncio.sleep(7.3)
    first.kill()
    waited = await until(lambda: second.may_write, 15.0)
    assert waited >= TIMING.lease_duration - TIMING.retry_period * 1.2
    assert not first.may_write
    assert record_of(store.get()).transitions == 1


@virtually
async def test_a_leader_that_stops_hands_over_at_the_others_next_look() -> None:
    store = LeaseStore()
    first = await led_by(store)
    second = candidate(store, "b")
    second.begin()
    await asyncio.sleep(5.0)
    first.kill()
    await first.election.release()
    assert not first.may_write
    assert await until(lambda: second.may_write, 3.0) <= TIMING.retry_period * 1.2


@virtually
async def test_a_leader_without_its_api_server_stops_at_the_deadline_and_leads_again_when_nobody_came() -> None:
    store = LeaseStore()
    first = await led_by(store)
    now = asyncio.get_running_loop().time()
    first.api.faults = (Fault("hang", now, now + 60.0),)
    stopped = await until(lambda: not first.may_write, 9.0)
    assert TIMING.renew_deadline - TIMING.retry_period * 1.2 <= stopped <= TIMING.renew_deadline
    assert await until(lambda: first.may_write, 70.0) > 50.0
    assert record_of(store.get()).transitions == 0


@virtually
async def test_a_deleted_lease_is_led_again_only_after_a_whole_duration() -> None:
    """Its former leader may not know yet that it is gone."""
    store = LeaseStore()
    first = await led_by(store)
    first.kill()
    store.delete()
    second = candidate(store, "b")
    second.begin()
    assert await until(lambda: second.may_write, 15.0) >= TIMING.lease_duration


@virtually
async def test_a_create_whose_answer_was_lost_waits_as_well() -> None:
    store = LeaseStore()
    only = candidate(store, "a")
    now = asyncio.get_running_loop().time()
    only.api.faults = (Fault("mute", now + 0.01, now + 0.02),)
    only.begin()
    await until(lambda: store.lease is not None, 1.0)
    assert await until(lambda: only.may_write, 20.0) >= TIMING.lease_duration - 0.1


@pytest.mark.parametrize("holder", [pytest.param("", id="emptied"), pytest.param("nobody-we-know", id="given-away")])
def test_a_holder_edited_by_hand_is_not_followed_before_the_lease_is_over(holder: str) -> None:
    async def story() -> None:
        store = LeaseStore()
        first = await led_by(store)
        second = candidate(store, "b")
        second.begin()
        await asyncio.sleep(5.0)
        first.kill()
        store.edit(holderIdentity=holder)
        assert await until(lambda: second.may_write, 15.0) >= TIMING.lease_duration

    run_virtual(story)


@virtually
async def test_a_duration_shortened_by_hand_does_not_hasten_a_takeover() -> None:
    store = LeaseStore()
    first = await led_by(store)
    first.kill()
    store.edit(leaseDurationSeconds=1)
    second = candidate(store, "b")
    second.begin()
    assert await until(lambda: second.may_write, 15.0) >= TIMING.lease_duration


@virtually
async def test_the_deadline_counts_from_the_renewal_that_was_sent_not_from_its_answer() -> None:
    store = LeaseStore()
    first = await led_by(store, latency=1.9)
    renewals, loop = store.calls.count(("a", "PUT")), asyncio.get_running_loop()
    await until(lambda: store.calls.count(("a", "PUT")) > renewals, 7.0)
    sent_at = loop.time()
    await asyncio.sleep(3.9)
    first.api.faults = (Fault("hang", loop.time(), loop.time() + 60.0),)
    await until(lambda: not first.may_write, 9.0)
    assert loop.time() - sent_at <= TIMING.renew_deadline + 0.1


@virtually
async def test_an_annotation_pauses_every_controller_and_costs_no_leadership() -> None:
    store = LeaseStore()
    first = await led_by(store)
    second = candidate(store, "b")
    second.begin()
    await asyncio.sleep(3.0)
    store.annotate(PAUSED_ANNOTATION, "true")
    both = (first.election.leadership, second.election.leadership)
    await until(lambda: all(each.paused for each in both), 3.0)
    assert first.may_write
    assert store.get()["metadata"]["annotations"] == {PAUSED_ANNOTATION: "true"}
    store.annotate(PAUSED_ANNOTATION, "false")
    await until(lambda: not any(each.paused for each in both), 3.0)
    assert first.may_write


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ApiError(403, "Forbidden", "no"), 'resources: ["leases"], verbs: ["get", "create", "update"]'),
        (ApiError(0, "Unreachable", "refused"), "Unreachable"),
    ],
)
def test_what_goes_wrong_is_said_once_with_its_remedy(
    error: ApiError, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> Leadership:
        one = candidate(LeaseStore(), "a")
        one.api.failure = error
        one.begin()
        await asyncio.sleep(30.0)
        return one.election.leadership

    with caplog.at_level(logging.WARNING):
        leadership = run_virtual(story)
    assert says in leadership.fault
    assert not leadership.may_write()
    assert len(caplog.records) == 1


@virtually
async def test_writes_are_refused_to_who_does_not_lead_and_bounded_for_who_does() -> None:
    store = LeaseStore()
    first = await led_by(store)
    timeouts: list[float] = []

    class Api:
        """Takes note of how long each write may take."""

        async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> dict[str, Any]:
            timeouts.append(timeout_seconds)
            return {"path": path, "body": body}

    fenced = FencedClient(Api(), first.election.leadership)  # type: ignore[arg-type]
    await fenced.put("/scale", {})
    await until(lambda: first.election.leadership.seconds_until_takeover() > TIMING.lease_duration - 0.1, 3.0)
    first.kill()
    await asyncio.sleep(7.0)
    await fenced.put("/scale", {})
    assert timeouts[0] <= 10.0
    assert 3.5 <= timeouts[1] <= 4.0
    await asyncio.sleep(1.1)
    with pytest.raises(ApiError) as refused:
        await fenced.put("/scale", {})
    assert refused.value.reason == "NotLeader"
    assert len(timeouts) == 2


_FAULT = st.builds(
    lambda kind, begin, seconds: Fault(kind, 1_000.0 + begin, 1_000.0 + begin + seconds),
    st.sampled_from(["refuse", "hang", "mute"]),
    st.floats(0.0, 90.0),
    st.floats(0.5, 40.0),
)
_CANDIDATE = st.tuples(
    st.floats(0.9, 1.1),  # rate of its clock: a tenth off is far worse than any machine
    st.floats(-1e5, 1e5),
    st.floats(0.0, 1.5),
    st.lists(_FAULT, max_size=3).map(tuple),
    st.floats(0.0, 0.999),
)
_DEED = st.tuples(
    st.floats(1.0, 110.0), st.sampled_from(["delete", "empty", "annotate", "shorten", "kill 0", "stop 1"])
)


@settings(max_examples=50, deadline=None)
@given(candidates=st.lists(_CANDIDATE, min_size=2, max_size=3), deeds=st.lists(_DEED, max_size=5))
def test_never_two_may_write_at_an_instant(candidates: list[Any], deeds: list[tuple[float, str]]) -> None:
    """Over two minutes of partitions, lost answers, slow networks, clocks that run wrong, and people who edit."""

    async def story() -> None:
        store = LeaseStore()
        all_of_them = [
            candidate(store, f"c{index}", rate=rate, offset=offset, latency=latency, faults=faults, chance=chance)
            for index, (rate, offset, latency, faults, chance) in enumerate(candidates)
        ]
        for each in all_of_them:
            each.begin()
        loop = asyncio.get_running_loop()
        for at, deed in sorted(deeds):
            loop.call_at(1_000.0 + at, lambda deed=deed: _do(deed, store, all_of_them))  # type: ignore[misc]
        while loop.time() < 1_120.0:
            writers = [each.name for each in all_of_them if each.may_write]
            assert len(writers) <= 1, f"at {loop.time() - 1_000:.2f} s: {writers}"
            await asyncio.sleep(0.1)

    run_virtual(story)


def _do(deed: str, store: LeaseStore, candidates: list[Candidate]) -> None:
    match deed.split():
        case ["delete"]:
            store.delete()
        case [_] if store.lease is None:
            return
        case ["empty"]:
            store.edit(holderIdentity="", leaseDurationSeconds=11)  # with 1 it would be a release, word for word
        case ["shorten"] if store.get()["spec"]["holderIdentity"]:
            store.edit(leaseDurationSeconds=1)
        case ["annotate"]:
            store.annotate(PAUSED_ANNOTATION, "true")
        case ["kill", number]:
            candidates[int(number)].kill()
        case ["stop", number]:
            one = candidates[int(number)]
            one.kill()
            one.task = asyncio.get_running_loop().create_task(one.election.release())


@settings(max_examples=20, deadline=None)
@given(faults=st.lists(_FAULT, max_size=3), latency=st.floats(0.0, 0.4), chance=st.floats(0.0, 0.999))
def test_once_the_faults_are_over_somebody_leads(faults: list[Fault], latency: float, chance: float) -> None:
    async def story() -> None:
        store = LeaseStore()
        both = [candidate(store, name, faults=tuple(faults), latency=latency, chance=chance) for name in ("a", "b")]
        for each in both:
            each.begin()
        await asyncio.sleep(max([fault.end for fault in faults], default=1_000.0) - 1_000.0)
        await until(lambda: any(each.may_write for each in both), 45.0)

    run_virtual(story)


def test_a_record_keeps_what_others_wrote_into_the_lease() -> None:
    lease = {"metadata": {"resourceVersion": "7", "annotations": {"a": "b"}}, "spec": {"strategy": "OldestEmulation"}}
    record = LeaseRecord("me", 12, "2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:02.000000Z", 3)
    written = with_record(lease, record)
    assert record_of(written) == record
    assert written["metadata"] == lease["metadata"]
    assert written["spec"]["strategy"] == "OldestEmulation"


@pytest.mark.parametrize("lease", [{}, {"spec": None}, {"spec": {"leaseDurationSeconds": "x", "holderIdentity": None}}])
def test_a_lease_of_nothing_is_held_by_nobody(lease: dict[str, Any]) -> None:
    assert record_of(lease) == LeaseRecord("", 0, "", "", 0)


def test_times_have_six_digits() -> None:
    assert micro_time(1_780_000_000_012_345_678) == "2026-05-28T20:26:40.012345Z"


def test_the_defaults_of_the_settings_are_those_that_are_tested() -> None:
    given_ = LeaderElectionSettings()
    assert (
        Timing(
            lease_duration=given_.lease_duration_seconds,
            renew_deadline=given_.renew_deadline_seconds,
            retry_period=given_.retry_period_seconds,
        )
        == TIMING
    )


def test_without_an_election_the_only_one_leads() -> None:
    only = Leadership.always("me", lambda: 5.0)
    assert only.may_write()
    assert only.seconds_until_takeover() > 1e9
