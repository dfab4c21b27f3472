"""The two policies that measure nothing: a fixed count, and a calendar.

When a window is open: kedacore/keda pkg/scalers/cron_scaler.go, GetMetricsAndActivity: not while the next start
comes before the next end, so from the start's instant on, and no longer at the end's.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.baselines import schedule, static
from policies.baselines.schedule import ScheduleSpec, Window, schedule_policy
from policies.baselines.static import StaticSpec, static_policy
from policies.errors import BadInput
from policies.policy import Running
from policies.snapshot import NS_PER_SECOND, Snapshot

WORKING_DAY = Window(start="0 8 * * 1-5", end="0 20 * * 1-5", replicas=8)
LUNCH = Window(start="0 12 * * *", end="0 13 * * *", replicas=12)
NIGHT = Window(start="0 22 * * *", end="0 6 * * *", replicas=1)


def at(text: str, zone: str = "UTC") -> int:
    """`2026-11-23 08:00` in a zone, as Unix ns. 2026-11-23 is a Monday."""
    wall = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(wall.timestamp()) * NS_PER_SECOND


def spec(*windows: Window, **changes: Any) -> ScheduleSpec:
    return ScheduleSpec(**{"base_replicas": 2, "windows": windows, **changes})


@pytest.mark.parametrize(
    ("replicas", "timeline"),
    [
        pytest.param(5, [(0, 1, 5), (15, 5, 5), (30, 9, 5)], id="up-and-down-to-the-count-at-once"),
        pytest.param(1, [(0, 3, 1), (15, 1, 1)], id="the-smallest-fleet"),
        pytest.param(40, [(0, 0, 40), (15, 40, 40)], id="from-nothing"),
    ],
)
def test_static_timeline(replicas: int, timeline: list[tuple[int, int, int]]) -> None:
    running = Running.start(static_policy(StaticSpec(replicas=replicas)))
    for second, there, wanted in timeline:
        decision = running.step(Snapshot(replicas=there), second * NS_PER_SECOND)
        assert (decision.desired_replicas, decision.reason) == (wanted, "FixedReplicas")
        assert f"{wanted} replicas" in decision.message


@pytest.mark.parametrize("replicas", [0, -1, 100_001])
def test_static_refuses_what_is_no_fleet(replicas: int) -> None:
    with pytest.raises(BadInput, match=f"replicas: was {replicas}, must be in"):
        static_policy(StaticSpec(replicas=replicas))


OUTSIDE, OPEN, CUT = "OutsideWindows", "WindowOpen", "TooManyReplicas"


@pytest.mark.parametrize(
    ("given_spec", "timeline"),
    [
        pytest.param(
            spec(WORKING_DAY),
            [
                ("2026-11-23 07:59:59", 2, OUTSIDE),
                ("2026-11-23 08:00", 8, OPEN),
                ("2026-11-23 19:59:59", 8, OPEN),
                ("2026-11-23 20:00", 2, OUTSIDE),
                ("2026-11-27 12:00", 8, OPEN),  # Friday
                ("2026-11-28 12:00", 2, OUTSIDE),  # Saturday
                ("2026-11-30 08:00", 8, OPEN),
            ],
            id="open-from-the-starts-instant-to-the-ends-on-working-days",
        ),
        pytest.param(
            spec(WORKING_DAY, LUNCH, NIGHT),
            [
                ("2026-11-23 11:59", 8, OPEN),
                ("2026-11-23 12:30", 12, OPEN),
                ("2026-11-23 13:00", 8, OPEN),
                ("2026-11-23 23:00", 2, OUTSIDE),  # the night's 1 is a floor below the base of 2
                ("2026-11-28 12:30", 12, OPEN),
            ],
            id="of-several-windows-the-largest-counts",
        ),
        pytest.param(
            spec(NIGHT, base_replicas=1, scale=3.0),
            [
                ("2026-11-23 21:59", 1, OUTSIDE),
                ("2026-11-23 22:00", 3, OPEN),
                ("2026-11-24 00:00", 3, OPEN),
                ("2026-11-24 05:59", 3, OPEN),
                ("2026-11-24 06:00", 1, OUTSIDE),
            ],
            id="a-window-goes-over-midnight",
        ),
        pytest.param(
            spec(WORKING_DAY, time_zone="America/New_York"),
            # 08:00 in New York is 12:00 UTC on 2026-10-30 (Friday) and 13:00 UTC on 2026-11-02: the clock went back
            [
                ("2026-10-30 11:59", 2, OUTSIDE),
                ("2026-10-30 12:00", 8, OPEN),
                ("2026-11-02 12:00", 2, OUTSIDE),
                ("2026-11-02 13:00", 8, OPEN),
            ],
            id="the-time-zone-keeps-its-own-daylight-saving",
        ),
        pytest.param(
            spec(WORKING_DAY, scale=1.3, max_replicas=10),
            [("2026-11-23 07:00", 2, OUTSIDE), ("2026-11-23 09:00", 10, CUT)],  # ceil(1.3 x 8) = 11
            id="the-scale-multiplies-windows-only-and-the-maximum-cuts",
        ),
        pytest.param(
            spec(Window(start="0 8 * * *", end="0 9 * * *", replicas=30), scale=0.1),
            [("2026-11-23 08:30", 3, OPEN)],  # 0.1 x 30 is 3.0000000000000004 as a float
            id="a-scaled-count-that-is-whole-is-not-rounded-up-again",
        ),
        pytest.param(
            spec(WORKING_DAY, scale=0.0), [("2026-11-23 09:00", 2, OUTSIDE)], id="scaled-to-nothing-the-base-holds"
        ),
        pytest.param(spec(), [("2026-11-23 09:00", 2, OUTSIDE)], id="without-windows-the-base-holds"),
    ],
)
def test_schedule_timeline(given_spec: ScheduleSpec, timeline: list[tuple[str, int, str]]) -> None:
    running = Running.start(schedule_policy(given_spec))
    replicas = 2
    for when, wanted, reason in timeline:
        decision = running.step(Snapshot(replicas=replicas), at(when))
        assert (decision.desired_replicas, decision.reason) == (wanted, reason), f"at {when}: {decision.message}"
        replicas = decision.desired_replicas


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (spec(base_replicas=0), r"baseReplicas: was 0, must be in \[1, 20\]"),
        (spec(max_replicas=1), r"baseReplicas: was 2, must be in \[1, 1\]"),
        (spec(scale=-0.1), r"scale: was -0.1, must be in \[0, 1000\]"),
        (spec(scale=float("nan")), "scale: was nan"),
        (spec(time_zone="Berlin"), "timeZone: was 'Berlin', must be a name of the IANA database"),
        (spec(time_zone="../etc/passwd"), "timeZone: was '../etc/passwd'"),
        (spec(time_zone=""), "timeZone: was ''"),
        (spec(Window(start="0 8 * *", end="0 9 * * *", replicas=1)), r"windows\[0\].start: cron: was '0 8 \* \*'"),
        (spec(WORKING_DAY, Window(start="0 8 * * *", end="x", replicas=1)), r"windows\[1\].end: cron: was 'x'"),
        (spec(Window(start="0 8 * * *", end="0 8 * * *", replicas=1)), r"windows\[0\].end: was '0 8 .*must differ"),
        (spec(Window(start="0 8 * * *", end="0 9 * * *", replicas=-1)), r"windows\[0\].replicas: was -1"),
    ],
)
def test_a_schedule_that_cannot_be_is_named(wrong: ScheduleSpec, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        schedule_policy(wrong)


def test_a_window_is_typed_as_it_is_printed() -> None:
    assert Window.parse(" 0 8 * * 1-5->0 20 * * 1-5=8 ") == WORKING_DAY
    assert Window.parse(str(WORKING_DAY)) == WORKING_DAY
    for text in ("", "0 8 * * *", "0 8 * * * -> 0 9 * * *", "0 8 * * * -> 0 9 * * * = x", "0 8 * * * = 3"):
        with pytest.raises(BadInput, match="must be START -> END = REPLICAS"):
            Window.parse(text)


@given(
    now_second=st.integers(0, 4_000_000_000),
    replicas=st.integers(0, 50),
    base=st.integers(1, 20),
    scale=st.floats(0, 10),
)
def test_a_schedule_keeps_its_bounds_and_forgets_everything(
    now_second: int, replicas: int, base: int, scale: float
) -> None:
    policy = schedule_policy(spec(WORKING_DAY, LUNCH, base_replicas=base, scale=scale, time_zone="Europe/Berlin"))
    now_ns = now_second * NS_PER_SECOND
    decision, state = policy.decide(policy.spec, None, Snapshot(replicas=replicas), now_ns)
    assert state is None
    assert base <= decision.desired_replicas <= 20
    again, _ = policy.decide(policy.spec, None, Snapshot(replicas=decision.desired_replicas), now_ns)
    assert again.desired_replicas == decision.desired_replicas
    assert schedule.ENTRY.spec is ScheduleSpec
    assert static.ENTRY.spec is StaticSpec
