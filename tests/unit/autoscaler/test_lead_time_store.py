"""The SQLite file: what it keeps over a restart, and everything that can befall it."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pod_story import Clock, ns
from test_lead_time_expected import lead_time

from autoscaler.cluster import Key
from autoscaler.lead_times.lead_time import LeadTime
from autoscaler.lead_times.minutes import HOUR_NS, MINUTE_NS, HourOfMinutes, from_blob, samples_of, to_blob
from autoscaler.lead_times.rows import LEAD_TIME_DAYS, LEAD_TIMES_KEPT
from autoscaler.lead_times.store import Store
from policies.snapshot import NS_PER_SECOND

VLLM, OTHER = Key("llm", "vllm"), Key("llm", "other")
DAY_SECONDS = 86_400


def recent(number: int, seconds: float = 60.0) -> LeadTime:
    """Created so many hours before T0."""
    return replace(lead_time(number, seconds, "NewNode", ordinal=number % 3), created_ns=ns(-3600 * number))


async def kept(path: Path, clock: Clock) -> dict[Key, list[LeadTime]]:
    """What another controller finds in the file."""
    store = Store(path, clock=clock)
    try:
        found = await store.lead_times()
        assert store.faults == ()
        return found
    finally:
        await store.close()


def overwrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change(path.read_bytes() if path.exists() else b""))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "leadtime.sqlite"


async def test_what_was_learned_is_there_after_a_restart(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    store.add_lead_time(VLLM, recent(1))
    store.add_lead_time(OTHER, recent(2))
    await store.flush()
    store.add_lead_time(VLLM, recent(1))  # the same pod again
    await store.close()
    assert await kept(path, clock) == {VLLM: [recent(1)], OTHER: [recent(2)]}


async def test_what_a_policy_learned_is_there_after_a_restart_and_the_last_word_counts(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    assert await store.learned(VLLM) == ""
    store.add_learned(VLLM, "first")
    assert await store.learned(VLLM) == "first"
    await store.flush()
    store.add_learned(VLLM, "second")
    store.add_learned(OTHER, "another's")
    store.forget(OTHER)
    await store.close()
    again = Store(path, clock=clock)
    assert [await again.learned(key) for key in (VLLM, OTHER)] == ["second", ""]
    clock.seconds += 15 * DAY_SECONDS
    await again.flush()
    assert await again.learned(VLLM) == "", "nobody has kept it for two weeks"
    await again.close()


async def test_the_file_keeps_the_last_of_a_path_and_of_ninety_days(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    for number in range(LEAD_TIMES_KEPT + 5):
        store.add_lead_time(VLLM, recent(number))
    store.add_lead_time(OTHER, recent(LEAD_TIME_DAYS * 24 + 1))
    await store.close()
    found = await kept(path, clock)
    assert [each.pod for each in found[VLLM]] == [f"vllm-{number}" for number in reversed(range(LEAD_TIMES_KEPT))]
    assert OTHER not in found


async def test_demand_comes_back_by_the_minute(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    full_minute = -1  # T0 is 20:14:01
    for second in range(0, 7200, 15):
        clock.seconds = full_minute + second
        minute = second // 60
        if minute != 30:
            store.add_load(VLLM, clock.now_ns(), minute + second % 60 / 15, 100.0, 50.0 if second % 60 else None)
        if second % 600 == 0:
            await store.flush()
    clock.seconds = full_minute + 7200
    before = await store.load(VLLM)
    await store.close()
    store = Store(path, clock=clock)
    after = await store.load(VLLM)
    seen = np.array([minute for minute in range(120) if minute != 30])
    for samples in (before, after):
        assert np.array_equal(samples.at_ns, ns(full_minute) + (seen + 1) * MINUTE_NS), "at the end of its minute"
        assert np.allclose(samples.requests_per_second, seen + 1.5)
        assert np.all(samples.prompt_tokens == 100.0)
        assert np.all(samples.output_tokens == 50.0)
    assert len((await store.load(OTHER)).at_ns) == 0
    assert (await store.load(VLLM, since_ns=ns(full_minute + 7200))).at_ns.tolist() == [ns(full_minute + 7200)]
    await store.close()


async def test_a_restart_within_the_hour_adds_to_its_minutes(path: Path) -> None:
    clock = Clock()
    for minute in (1, 2):
        clock.seconds = 60 * minute
        store = Store(path, clock=clock)
        store.add_load(VLLM, clock.now_ns(), float(minute))
        await store.close()
    clock.seconds = 600
    store = Store(path, clock=clock)
    assert (await store.load(VLLM)).requests_per_second.tolist() == [1.0, 2.0]
    await store.close()


async def test_demand_older_than_two_weeks_goes(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    store.add_load(VLLM, clock.now_ns(), 1.0)
    await store.close()
    clock.seconds = 15 * DAY_SECONDS
    store = Store(path, clock=clock)
    assert len((await store.load(VLLM)).at_ns) == 0
    await store.flush()
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM load_hour").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no database at all, but long enough for a header" * 100, id="another-format"),
        pytest.param(b"SQLite format 3\x00" + b"\xff" * 4096, id="a-header-and-rubbish"),
    ],
)
async def test_a_file_that_is_no_database_is_kept_beside_and_begun_anew(path: Path, content: bytes) -> None:
    overwrite(path, lambda _: content)
    clock = Clock()
    store = Store(path, clock=clock)
    assert await store.lead_times() == {}
    (fault,) = store.faults
    beside = path.with_name("leadtime.sqlite.corrupt-20260904T201401Z")
    assert beside.name in fault
    assert beside.read_bytes() == content
    assert store.begun_anew == 1
    store.add_lead_time(VLLM, recent(1))
    await store.flush()
    clock.seconds = 3601
    assert store.faults == (), "what was mended an hour ago is no news"
    await store.close()
    assert await kept(path, clock) == {VLLM: [recent(1)]}


async def test_a_file_of_another_version_is_kept_beside(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE of_the_future (x)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = Store(path, clock=Clock())
    await store.flush()
    assert "version 99, must be 2" in store.faults[0]
    await store.close()


async def test_a_page_that_is_damaged_is_noticed_at_the_start(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    for number in range(150):
        store.add_lead_time(VLLM, recent(number))
    await store.close()
    overwrite(path, lambda content: content[: 3 * 16_384 + 8] + b"\xa5" * 192 + content[3 * 16_384 + 200 :])
    store = Store(path, clock=clock)
    assert await store.lead_times() == {}
    assert "begun anew" in store.faults[0]
    await store.close()


async def test_a_file_that_is_deleted_while_open_is_written_anew_with_all_it_had(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    store.add_lead_time(VLLM, recent(1))
    await store.flush()
    for each in path.parent.iterdir():
        each.unlink()
    store.add_lead_time(VLLM, recent(2))
    await store.flush()
    assert "deleted while it was open; all of it was written anew" in store.faults[0]
    await store.close()
    assert await kept(path, clock) == {VLLM: [recent(2), recent(1)]}


async def test_a_file_that_another_one_replaced_is_left_and_the_new_one_used(path: Path, tmp_path: Path) -> None:
    clock = Clock()
    spare = Store(tmp_path / "spare.sqlite", clock=clock)
    spare.add_lead_time(OTHER, recent(7))
    await spare.close()
    store = Store(path, clock=clock)
    await store.flush()
    (tmp_path / "spare.sqlite").replace(path)
    assert await store.lead_times() == {OTHER: [recent(7)]}
    assert "replaced while it was open" in store.faults[0]
    await store.close()


async def test_a_full_disk_is_said_and_nothing_is_lost(path: Path) -> None:
    """max_bytes makes SQLite say what a full disk does."""
    clock = Clock()
    store = Store(path, clock=clock, max_bytes=6 * 16_384)
    for number in range(150):
        store.add_lead_time(VLLM, recent(number))
    for hour in range(1, 21):
        store.add_load(OTHER, ns(-3600 * hour), 1.0)
        store.add_load(VLLM, ns(-3600 * hour), 1.0)
    await store.flush()
    assert "full" in store.faults[0]
    assert "make room" in store.faults[0]
    assert len((await store.load(VLLM)).at_ns) == 20
    assert store._database is not None
    store._database.connection.execute("PRAGMA max_page_count = 1000")
    await store.close()
    assert len((await kept(path, clock))[VLLM]) == 150


async def test_a_file_that_may_not_be_written_is_said_and_tried_again(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock=clock)
    await store.flush()
    assert store._database is not None
    store._database.connection.execute("PRAGMA query_only = ON")
    store.add_lead_time(VLLM, recent(1))
    await store.flush()
    assert "give the controller's user the right to write it" in store.faults[0]
    store._database.connection.execute("PRAGMA query_only = OFF")
    await store.flush()
    assert store.faults == ()
    await store.close()
    assert await kept(path, clock) == {VLLM: [recent(1)]}


async def test_a_place_where_no_file_can_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "leadtime.sqlite", clock=Clock())
    store.add_lead_time(VLLM, recent(1))
    await store.flush()
    assert await store.lead_times() == {}
    assert "check store.path" in store.faults[0]
    await store.close()


async def test_without_a_path_nothing_is_kept_and_nothing_is_wrong() -> None:
    store = Store(None, clock=Clock())
    store.add_lead_time(VLLM, recent(1))
    store.add_load(VLLM, ns(0), 1.0)
    await store.flush()
    assert await store.lead_times() == {}
    assert len((await store.load(VLLM)).at_ns) == 0
    assert store.faults == ()
    await store.close()


_RATE = st.floats(0, 1e4, width=32)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 59), _RATE, _RATE | st.none(), _RATE | st.none()), max_size=200))
def test_minutes_keep_the_means(samples: list[tuple[int, float, float | None, float | None]]) -> None:
    hour = HourOfMinutes()
    for minute, rate, prompt, output in samples:
        hour.add(minute, rate, prompt, output)
    means = from_blob(to_blob(hour.means()))
    found = samples_of([(7, means)], since_ns=0, until_ns=9 * HOUR_NS)
    minutes = sorted({minute for minute, *_ in samples})
    assert ((found.at_ns - 7 * HOUR_NS) // MINUTE_NS - 1).tolist() == minutes
    for place, minute in enumerate(minutes):
        rates = [rate for at, rate, *_ in samples if at == minute]
        assert found.requests_per_second[place] == pytest.approx(sum(rates) / len(rates), rel=1e-5, abs=1e-9)
    assert np.all(found.at_ns % (60 * NS_PER_SECOND) == 0)
