"""Every object has its turn, no object has two at a time, and those that hang delay nobody else."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_loop import run_virtual

from autoscaler.cluster import Key
from autoscaler.loops import StepLoop, every, scheduler

PERIOD_SECONDS = 15.0


class FakeJobs:
    """Jobs as they were asked for; `run_now` are those without a trigger, begun at once."""

    def __init__(self) -> None:
        self.repeated: dict[str, dict[str, Any]] = {}
        self.begun: list[asyncio.Task[Any]] = []

    def add_job(self, func: Callable[..., Any], trigger: Any = None, **options: Any) -> None:
        if trigger is None:
            self.begun.append(asyncio.create_task(func(*options["args"])))
        else:
            assert trigger == "interval"
            assert options["id"] not in self.repeated
            self.repeated[options["id"]] = {**options, "func": func}

    def remove_job(self, job_id: str) -> None:
        del self.repeated[job_id]


class Clock:
    def now_ns(self) -> int:
        return 1_800_000_000_000_000_000


class Target:
    """Steps that take `seconds`, or hang until their timeout."""

    def __init__(self) -> None:
        self.seconds = 0.01
        self.hanging: set[Key] = set()
        self.begun = Counter[Key]()
        self.under_way = Counter[Key]()
        self.most_at_once = 0
        self.ended_at: dict[Key, float] = {}

    async def step(self, key: Key) -> bool:
        self.begun[key] += 1
        self.under_way[key] += 1
        assert self.under_way[key] == 1, f"two steps of {key} at a time"
        self.most_at_once = max(self.most_at_once, self.under_way.total())
        await asyncio.sleep(10.0 if key in self.hanging else self.seconds)
        self.under_way[key] -= 1
        self.ended_at[key] = asyncio.get_running_loop().time()
        return key not in self.hanging


def keys(count: int) -> list[Key]:
    return [Key("llm", f"w{index}") for index in range(count)]


def made(
    target: Target, *, concurrency: int = 8, is_ready: Callable[[], bool] = lambda: True
) -> tuple[StepLoop, FakeJobs]:
    jobs = FakeJobs()
    loop = StepLoop(
        jobs,
        step=target.step,
        is_ready=is_ready,
        clock=Clock(),
        period_seconds=PERIOD_SECONDS,
        concurrency=concurrency,
    )
    return loop, jobs


def test_steps_are_spread_over_the_period_and_end_with_their_object() -> None:
    async def story() -> None:
        loop, jobs = made(Target())
        began = datetime.now(UTC)
        loop.follow(keys(300))
        waits = [(job["next_run_time"] - began).total_seconds() for job in jobs.repeated.values()]
        assert all(0.0 <= wait <= PERIOD_SECONDS + 1.0 for wait in waits)
        per_second = Counter(int(wait) for wait in waits)
        assert max(per_second.values()) < 3 * 300 / PERIOD_SECONDS
        loop.follow(keys(2))
        assert set(jobs.repeated) == {"step llm/w0", "step llm/w1"}

    run_virtual(story)


def test_a_change_has_a_step_at_once_and_one_that_comes_in_the_middle_another_right_after() -> None:
    async def story() -> None:
        target = Target()
        loop, _ = made(target)
        (key,) = keys(1)
        loop.follow([key])
        loop.changed(key)
        await asyncio.sleep(0.005)
        for _ in range(3):
            loop.changed(key)
        await asyncio.sleep(1.0)
        assert target.begun[key] == 2

    run_virtual(story)


def test_nothing_is_decided_before_the_cluster_is_in_sight_and_everything_right_after() -> None:
    async def story() -> None:
        target, is_ready = Target(), False
        loop, _ = made(target, is_ready=lambda: is_ready)
        loop.follow(keys(5))
        for key in keys(5):
            await loop.due(key)
        await loop.catch_up()
        assert not target.begun
        is_ready = True
        await loop.catch_up()
        await asyncio.sleep(1.0)
        assert target.begun == Counter(keys(5))

    run_virtual(story)


def test_targets_that_hang_delay_the_others_by_a_second_each_place_once_and_then_no_more() -> None:
    async def story() -> None:
        target = Target()
        everyone = keys(100)
        target.hanging = set(everyone[:50])
        loop, _ = made(target, concurrency=8)
        loop.follow(everyone)
        clock = asyncio.get_running_loop()
        delays = []
        tasks: list[asyncio.Task[None]] = []
        for _ in range(8):
            began = clock.time()
            tasks += [asyncio.create_task(loop.due(key)) for key in everyone]
            await asyncio.sleep(PERIOD_SECONDS)
            healthy = [target.ended_at.get(key, began + PERIOD_SECONDS) for key in everyone[50:]]
            delays.append(max(healthy) - began)
        assert delays[0] <= 50 / 8 + 1.5, delays
        assert max(delays[1:]) < 0.2, delays
        assert all(target.begun[key] == 8 for key in everyone[50:])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(story)


def test_a_target_that_recovers_has_its_place_among_the_quick_ones_again() -> None:
    async def story() -> None:
        target = Target()
        (key,) = keys(1)
        target.hanging = {key}
        loop, _ = made(target)
        loop.follow([key])
        await loop.due(key)
        assert loop._slow == {key}
        target.hanging = set()
        await loop.due(key)
        assert loop._slow == set()

    run_virtual(story)


def test_stopping_waits_for_what_is_under_way_and_begins_nothing_more() -> None:
    async def story() -> None:
        target = Target()
        target.seconds = 3.0
        loop, _ = made(target, concurrency=2)
        everyone = keys(5)
        loop.follow(everyone)
        tasks = [asyncio.create_task(loop.due(key)) for key in everyone]
        await asyncio.sleep(0.5)
        await loop.stop()
        assert target.begun.total() == 2
        assert len(target.ended_at) == 2
        await asyncio.gather(*tasks)
        await loop.due(everyone[0])
        assert target.begun.total() == 2

    run_virtual(story)


@settings(max_examples=60, deadline=None)
@given(
    deeds=st.lists(
        st.tuples(st.floats(0.0, 2.0), st.integers(0, 4), st.sampled_from(["due", "changed", "hang", "heal"])),
        max_size=40,
    )
)
def test_never_two_steps_of_an_object_at_a_time_and_every_change_is_followed(
    deeds: list[tuple[float, int, str]],
) -> None:
    async def story() -> None:
        target = Target()
        target.seconds = 0.7
        loop, jobs = made(target, concurrency=2)
        everyone = keys(5)
        loop.follow(everyone)
        clock = asyncio.get_running_loop()
        changed_at: dict[Key, float] = {}
        tasks = []
        for pause, index, deed in deeds:
            await asyncio.sleep(pause)
            key = everyone[index]
            if deed == "due":
                tasks.append(asyncio.create_task(loop.due(key)))
            elif deed == "changed":
                loop.changed(key)
                changed_at[key] = clock.time()
            else:
                (target.hanging.add if deed == "hang" else target.hanging.discard)(key)
        await asyncio.sleep(200.0)
        await asyncio.gather(*tasks, *jobs.begun)
        for key, at in changed_at.items():
            assert target.ended_at[key] > at
        assert target.under_way.total() == 0

    run_virtual(story)


async def test_the_real_scheduler_begins_at_once_and_a_failure_ends_nothing() -> None:
    jobs, ran = scheduler(), asyncio.Event()

    async def work() -> None:
        ran.set()
        raise RuntimeError("once")

    every(jobs, 3600.0, work, name="failing")
    jobs.start()
    try:
        async with asyncio.timeout(5.0):
            await ran.wait()
        (job,) = jobs.get_jobs()
        assert job.max_instances == 1
        assert job.coalesce
        assert job.trigger.interval.total_seconds() == 3600.0
    finally:
        jobs.shutdown(wait=False)
