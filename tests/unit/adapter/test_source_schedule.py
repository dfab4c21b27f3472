"""When a source is collected, and what is told of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.schedule import SourceLoop
from adapter.sources.series import NS_PER_SECOND
from adapter.sources.source import Reading, SourceUnavailable

EPOCH_NS = 1_800_000_000 * NS_PER_SECOND
GOOD = Reading(series={})


class World:
    """Time that passes only by sleeping and by collecting; ends the loop after so many collections."""

    def __init__(self, *outcomes: object, seconds: float = 0.0, chance: float = 0.5) -> None:
        self.now = 0.0
        self.starts: list[float] = []
        self.told: list[tuple[str, object, int]] = []
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.chance = chance
        self.name = "fake"

    async def collect(self, _rules: object, _pods: object, now_ns: int) -> Reading:
        self.starts.append(self.now)
        assert now_ns == self.clock()
        outcome = self.outcomes.pop(0)
        self.now += self.seconds
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Reading)
        return outcome

    async def close(self) -> None: ...

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        if not self.outcomes:
            raise asyncio.CancelledError
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> int:
        return EPOCH_NS + round(self.now * NS_PER_SECOND)

    def on_reading(self, source: str, outcome: object, now_ns: int) -> None:
        self.told.append((source, outcome, now_ns))

    def loop(self, **others: object) -> SourceLoop:
        options: dict[str, object] = {"interval_seconds": 15.0, "timeout_seconds": 10.0, **others}
        return SourceLoop(
            self,
            rules=tuple,
            pods=dict,
            on_reading=self.on_reading,
            clock=self.clock,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            chance=lambda: self.chance,
            **options,
        )

    async def run(self, **options: object) -> SourceLoop:
        loop = self.loop(**options)
        with pytest.raises(asyncio.CancelledError):
            await loop.run()
        return loop


async def test_starts_keep_their_distance_however_long_a_collection_takes():
    world = World(*[GOOD] * 4, seconds=4.0)
    await world.run()
    assert world.starts == [0.0, 15.0, 30.0, 45.0]


async def test_a_collection_longer_than_the_interval_is_followed_at_once_and_never_overlaps():
    world = World(*[GOOD] * 3, seconds=40.0)
    await world.run()
    assert world.starts == [0.0, 40.0, 80.0]


async def test_staggered_the_first_is_at_once_and_all_later_starts_are_moved_alike():
    world = World(*[GOOD] * 3, seconds=1.0, chance=0.4)
    await world.run(stagger=True)
    assert world.starts == [0.0, 7.0, 22.0]


async def test_distances_grow_with_failures_and_shrink_at_the_first_success():
    """With a draw of 1/2: 15 s plus half of 15, 45, then of at most 60 s."""
    down = SourceUnavailable("connection", "down")
    world = World(down, down, down, GOOD, GOOD)
    await world.run()
    assert world.starts == [0.0, 22.5, 60.0, 105.0, 120.0]


async def test_what_the_backend_asks_for_is_honoured_up_to_a_limit():
    def throttled(seconds):
        return SourceUnavailable("throttled", "slow down", retry_after_seconds=seconds)

    partly = Reading(series={}, failures={"a": throttled(50.0)})
    world = World(throttled(100.0), throttled(86_400.0), partly, GOOD)
    loop = await world.run(max_retry_after_seconds=200.0)
    assert world.starts == [0.0, 100.0, 300.0, 350.0]
    assert loop.health.consecutive_failures == 0


@given(chance=st.floats(0.0, 0.999), failures=st.integers(1, 50))
def test_a_wait_is_never_shorter_than_the_interval_nor_longer_than_interval_and_backoff(chance, failures):
    world = World(*[SourceUnavailable("connection", "down")] * (failures + 1), chance=chance)
    asyncio.run(world.run())
    waits = [later - earlier for earlier, later in zip(world.starts, world.starts[1:], strict=False)]
    assert all(15.0 <= wait <= 75.0 + 1e-9 for wait in waits)


async def test_health_says_how_the_source_fares():
    down = SourceUnavailable("timeout", "too slow")
    partly = Reading(series={}, failures={"a": SourceUnavailable("status", "bad query")})
    world = World(down, down, seconds=2.0)
    health = (await world.run()).health
    assert (health.collections, health.consecutive_failures, health.last_success_ns) == (2, 2, None)
    assert (health.last_error, health.last_error_ns, health.last_seconds) == (
        "too slow",
        EPOCH_NS + 24_500_000_000,
        2.0,
    )
    assert health.failures == {"timeout": 2}
    world = World(down, partly, GOOD)
    health = (await world.run()).health
    assert (health.consecutive_failures, health.last_error, health.failures) == (0, "", {"timeout": 1, "status": 1})
    assert health.last_success_ns == EPOCH_NS + 37_500_000_000


async def test_each_outcome_is_told_with_the_instant_at_which_it_began():
    down = SourceUnavailable("timeout", "too slow")
    world = World(GOOD, down, seconds=3.0)
    await world.run()
    assert world.told == [("fake", GOOD, EPOCH_NS), ("fake", down, EPOCH_NS + 15 * NS_PER_SECOND)]


async def test_a_bug_in_a_source_does_not_end_its_loop(caplog):
    world = World(KeyError("x"), GOOD)
    with caplog.at_level(logging.CRITICAL):
        loop = await world.run()
    _, first, _ = world.told[0]
    assert isinstance(first, SourceUnavailable)
    assert (first.reason, "this is a bug" in str(first)) == ("internal", True)
    assert loop.health.consecutive_failures == 0


async def test_a_listener_with_a_fault_does_not_end_the_loop(caplog):
    world = World(GOOD, GOOD)

    def fails(*_: object) -> None:
        raise ValueError

    world.on_reading = fails
    with caplog.at_level(logging.CRITICAL):
        await world.run()
    assert len(world.starts) == 2


class Hanging:
    name = "hanging"

    def __init__(self) -> None:
        self.given_up = 0

    async def collect(self, *_: object) -> Reading:
        try:
            return await asyncio.Future()
        finally:
            self.given_up += 1

    async def close(self) -> None: ...


def real_loop(source, told: Callable[..., None], **options: float) -> Awaitable[None]:
    settings = {"interval_seconds": 0.01, "timeout_seconds": 0.05, **options}
    return SourceLoop(source, rules=tuple, pods=dict, on_reading=told, clock=lambda: EPOCH_NS, **settings).run()


async def test_a_slow_source_is_given_up_and_delays_no_other():
    hanging, quick, counts = Hanging(), World(*[GOOD] * 10_000), {"hanging": 0, "fake": 0}
    quick.clock = lambda: EPOCH_NS
    done = asyncio.Event()
    reasons = set()

    def told(name: str, outcome: object, _now_ns: int) -> None:
        counts[name] += 1
        if isinstance(outcome, SourceUnavailable):
            reasons.add(outcome.reason)
            done.set()

    async with asyncio.timeout(5):
        tasks = [asyncio.ensure_future(real_loop(source, told)) for source in (hanging, quick)]
        await done.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert reasons == {"timeout"}
    assert hanging.given_up == 1
    assert counts["fake"] >= 2


async def test_cancelling_ends_a_collection_under_way():
    hanging = Hanging()
    task = asyncio.ensure_future(real_loop(hanging, lambda *_: None, timeout_seconds=60.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hanging.given_up == 1
