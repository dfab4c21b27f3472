"""What the page remembers: bounded, thinned to peaks, begun anew for a new object."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_objects import forecast

from autoscaler.cluster import Key
from autoscaler.outcome import Acted, Outcome, Replicas
from autoscaler.page.history import COLUMNS, History, Past
from autoscaler.page.ring import Ring
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

START = 1_790_000_040
NEEDED = COLUMNS.index("needed_replicas")
DESIRED = COLUMNS.index("desired_replicas")


def outcome(second: int = 0, *, needed: float | None = 4.0, desired: int = 4, uid: str = "u", **acted: str) -> Outcome:
    """A step so many seconds after START; needed None: demand is not known."""
    numbers = {} if needed is None else {"needed_replicas": needed, "ahead_replicas": needed - 0.5}
    return Outcome(
        key=Key("serving", "chat"),
        uid=uid,
        at_ns=(START + second) * NS_PER_SECOND,
        generation=1,
        mode="Direct",
        paused=False,
        decision=Decision(desired_replicas=desired, reason="ReadyForNewScale", message="a sentence", numbers=numbers),
        replicas=Replicas(asked=4, ready=3, starting=1),
        acted=Acted(**acted),  # type: ignore[arg-type]  # only its texts are given
        findings=(),
    )


@given(st.integers(1, 70), st.integers(0, 200))
def test_a_ring_holds_the_newest_rows_in_order(limit: int, rows: int) -> None:
    ring = Ring(2, limit)
    for row in range(rows):
        ring.append(row, (row, -row))
    seconds, values = ring.rows()
    kept = list(range(max(0, rows - limit), rows))
    assert seconds.tolist() == kept
    assert values.tolist() == [[row, -row] for row in kept]
    assert len(ring) == len(kept)


def test_a_day_keeps_its_last_hour_by_step_and_before_it_the_peaks() -> None:
    """A need that stood for one step only, ten hours ago, is still there."""
    past = Past("u")
    for second in range(0, 86_400, 15):
        past.record(outcome(second, needed=30.0 if second == 50_010 else 4.0))
    seconds, values = past.rows()
    assert np.all(np.diff(seconds.astype(np.int64)) > 0)
    assert np.diff(seconds)[-239:].tolist() == [15] * 239
    assert len(seconds) <= 240 + 720
    assert seconds[0] - START <= 300
    assert seconds[values[:, NEEDED] == 30.0].tolist() == [START + 50_010]


def test_unknown_demand_is_a_gap_and_never_hides_a_known_need() -> None:
    past = Past("u")
    for second in range(0, 7200, 15):
        past.record(outcome(second, needed=None if 600 <= second < 1200 or second % 60 else 5.0))
    seconds, values = past.rows()
    spans = seconds < START + 3000
    unknown = np.isnan(values[spans, NEEDED])
    inside = (seconds[spans] >= START + 600) & (seconds[spans] < START + 1200)
    assert unknown.tolist() == inside.tolist()
    assert not np.isnan(values[:, DESIRED]).any()


def test_only_newer_rows_are_given() -> None:
    past = Past("u")
    for second in range(0, 300, 15):
        past.record(outcome(second))
    assert past.rows(START + 270)[0].tolist() == [START + 285]
    assert len(past.rows(START + 285)[0]) == 0


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param([outcome(0), outcome(15), outcome(30)], [4], id="the-same-number-is-told-once"),
        pytest.param([outcome(0), outcome(15, desired=6), outcome(30, desired=6)], [4, 6], id="another-number-is-told"),
        pytest.param(
            [outcome(0), outcome(15, withheld="paused"), outcome(30, withheld="paused")], [4, 4], id="a-refusal-once"
        ),
        pytest.param([outcome(0), outcome(15, to="hpa/chat"), outcome(30, to="hpa/chat")], [4, 4, 4], id="every-write"),
        pytest.param([outcome(0), replace(outcome(15), decision=None), outcome(30)], [4, 4], id="seen-again"),
        pytest.param([outcome(30), outcome(15, desired=9)], [4], id="a-clock-set-back-tells-nothing"),
    ],
)
def test_decisions_that_changed_something(steps: list[Outcome], told: list[int]) -> None:
    past = Past("u")
    for step in steps:
        past.record(step)
    assert [each.desired_replicas for each in past.told] == told


def test_an_object_made_anew_begins_anew_and_a_deleted_one_is_forgotten() -> None:
    history = History()
    history.record(outcome(0, uid="old"))
    history.record(outcome(15, uid="new"))
    past = history.past(Key("serving", "chat"))
    assert past is not None
    assert len(past.rows()[0]) == 1
    history.forget(Key("serving", "chat"))
    assert len(history) == 0


def test_an_autoscaler_takes_less_than_100_kb_however_long_it_runs() -> None:
    """Two days with a new number and sentence at every step, the worst there is: 1,000 take less than 100 MB."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        past = Past("u")
        for step in range(2 * 5760):
            numbers = {name: float(step) for name in COLUMNS}
            decision = Decision(desired_replicas=step, reason="R", message=f"{step:0300}", numbers=numbers)
            past.record(replace(outcome(step * 15), decision=decision, forecast=forecast(float(step))))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert past.nbytes < used < 100_000
    assert not math.isnan(past.rows()[1][-1, NEEDED])
