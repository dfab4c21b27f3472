"""Cron expressions: what is read, what is refused, and when they come, also around daylight saving."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import cron
from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")


def ns_of(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS_PER_SECOND


def following(text: str, expression: str, zone: ZoneInfo) -> str:
    """The next time after `text`, written in the zone."""
    at_ns = cron.next_after_ns(cron.parse(expression), zone, ns_of(text))
    return datetime.fromtimestamp(at_ns // NS_PER_SECOND, zone).isoformat()


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        pytest.param("0/15 * * * *", "2012-07-09T14:45:00+00:00", "2012-07-09T15:00:00+00:00", id="steps-wrap-hours"),
        pytest.param("*/15 * * * *", "2012-07-09T23:46:00+00:00", "2012-07-10T00:00:00+00:00", id="steps-wrap-days"),
        pytest.param(
            "20-35/15 * * * *", "2012-07-09T23:46:00+00:00", "2012-07-10T00:20:00+00:00", id="a-stepped-range"
        ),
        pytest.param("0 0 9 Apr-Oct ?", "2012-07-09T23:35:00+00:00", "2012-08-09T00:00:00+00:00", id="names-of-months"),
        pytest.param(
            "0 0 * Feb Mon", "2012-07-09T23:35:00+00:00", "2013-02-04T00:00:00+00:00", id="a-star-day-narrows"
        ),
        pytest.param(
            "0 0 1 Feb Mon", "2013-02-01T00:00:00+00:00", "2013-02-04T00:00:00+00:00", id="two-days-are-either"
        ),
        pytest.param(
            "0 0 29 Feb ?", "2012-07-09T23:35:00+00:00", "2016-02-29T00:00:00+00:00", id="leap-days-are-awaited"
        ),
        pytest.param("0 0 29 2 *", "2096-03-01T00:00:00+00:00", "2104-02-29T00:00:00+00:00", id="also-over-1-century"),
        pytest.param("30 8 * * MON-fri", "2024-03-01T08:30:00+00:00", "2024-03-04T08:30:00+00:00", id="strictly-after"),
        pytest.param(
            "0 22,6 * * *", "2024-03-01T07:00:00+00:00", "2024-03-01T22:00:00+00:00", id="lists-need-no-order"
        ),
        pytest.param("5 8/6 * * 0", "2024-03-01T00:00:00+00:00", "2024-03-03T08:05:00+00:00", id="sunday-is-0"),
    ],
)
def test_next_time(expression, after, expected):
    """robfig/cron v3 spec_test.go, TestNext, without its seconds field, and its rules for day fields."""
    assert following(after, expression, ZoneInfo("UTC")) == expected


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        pytest.param(
            "30 2 11 Mar ?", "2012-03-11T00:00:00-05:00", "2013-03-11T02:30:00-04:00", id="a-skipped-time-does-not-come"
        ),
        pytest.param("0 * * * ?", "2012-03-11T01:00:00-05:00", "2012-03-11T03:00:00-04:00", id="hours-go-on-in-spring"),
        pytest.param("0 2 * * ?", "2012-03-11T00:00:00-05:00", "2012-03-12T02:00:00-04:00", id="a-nightly-job-is-lost"),
        pytest.param(
            "30 1 04 Nov ?", "2012-11-04T01:45:00-04:00", "2012-11-04T01:30:00-05:00", id="a-repeated-time-comes-twice"
        ),
        pytest.param("0 * * * ?", "2012-11-04T01:00:00-04:00", "2012-11-04T01:00:00-05:00", id="so-do-hourly-ones"),
        pytest.param("0 1 * * ?", "2012-11-04T01:00:00-05:00", "2012-11-05T01:00:00-05:00", id="but-not-three-times"),
    ],
)
def test_daylight_saving(expression, after, expected):
    """robfig/cron v3 spec_test.go, TestNext, the rows with TZ=America/New_York."""
    assert following(after, expression, NEW_YORK) == expected


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        pytest.param("2024-03-01T07:59:59+01:00", False, id="closed-a-second-before-its-start"),
        pytest.param("2024-03-01T08:00:00+01:00", True, id="open-at-its-start"),
        pytest.param("2024-03-01T19:59:59+01:00", True, id="open-a-second-before-its-end"),
        pytest.param("2024-03-01T20:00:00+01:00", False, id="closed-at-its-end"),
        pytest.param("2024-03-02T12:00:00+01:00", False, id="closed-at-the-weekend"),
        pytest.param("2024-07-01T08:00:00+02:00", True, id="summer-time-moves-the-instant"),
    ],
)
def test_working_day_window(at, is_open):
    """kedacore/keda pkg/scalers/cron_scaler.go: active unless the next start comes before the next end."""
    start, end = cron.parse("0 8 * * 1-5"), cron.parse("0 20 * * 1-5")
    assert cron.is_open(start, end, BERLIN, ns_of(at)) is is_open


@pytest.mark.parametrize(
    ("hour", "is_open"),
    [pytest.param(21, False, id="evening"), pytest.param(23, True, id="night"), pytest.param(5, True, id="early")],
)
def test_a_window_over_midnight_needs_nothing_special(hour, is_open):
    """From 22:00 to 06:00 the window is open at night only."""
    at_ns = ns_of(f"2024-03-01T{hour:02}:30:00+00:00")
    assert cron.is_open(cron.parse("0 22 * * *"), cron.parse("0 6 * * *"), ZoneInfo("UTC"), at_ns) is is_open


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        pytest.param("* * * *", "5 fields", id="four-fields"),
        pytest.param("0 0 0 * * *", "5 fields", id="seconds"),
        pytest.param("@daily", "5 fields", id="descriptors"),
        pytest.param("60 * * * *", r"minute: was '60', must be a number in \[0, 59\]", id="minute-60"),
        pytest.param("0 24 * * *", "hour: was '24'", id="hour-24"),
        pytest.param("0 0 0 * *", "day-of-month: was '0'", id="day-0"),
        pytest.param("0 0 * 13 *", "month: was '13'", id="month-13"),
        pytest.param("0 0 * * 7", "day-of-week: was '7'", id="sunday-is-not-7"),
        pytest.param("0 0 * * monday", "day-of-week: was 'monday'", id="long-names"),
        pytest.param("0 18-8 * * *", "begin after its end", id="a-range-backwards"),
        pytest.param("*/0 * * * *", "minute step: was '0'", id="a-step-of-0"),
        pytest.param("1,,2 * * * *", "minute: was ''", id="an-empty-item"),
        pytest.param("-1 * * * *", "minute: was ''", id="a-negative-minute"),
        pytest.param("0 0 30 2 *", "able to come", id="30-february"),
        pytest.param("0 0 31 4,6 *", "able to come", id="31-april"),
    ],
)
def test_nonsense_is_refused(expression, message):
    """The error names the field and what would be allowed."""
    with pytest.raises(BadInput, match=message):
        cron.parse(expression)


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "*/7", "5-50/9", "0,30"]),
    st.sampled_from(["*", "2", "*/5", "8-18", "1,23"]),
    st.sampled_from(["*", "?", "1", "10-20", "31"]),
    st.sampled_from(["*", "1-3", "dec", "5,7"]),
    st.sampled_from(["*", "0", "mon-fri", "6"]),
)


@given(fields=FIELDS, second=st.integers(946_684_800, 4_102_444_800))
def test_the_next_time_is_later_matches_and_is_the_first(fields, second):
    """Stepping back to just before it gives the same instant: nothing lies in between."""
    schedule = cron.parse(" ".join(fields))
    after_ns = cron.next_after_ns(schedule, NEW_YORK, second * NS_PER_SECOND)
    assert after_ns > second * NS_PER_SECOND
    wall = datetime.fromtimestamp(after_ns // NS_PER_SECOND, UTC).astimezone(NEW_YORK)
    assert (wall.minute in schedule.minutes, wall.hour in schedule.hours, wall.month in schedule.months) == (True,) * 3
    assert cron.next_after_ns(schedule, NEW_YORK, after_ns - NS_PER_SECOND) == after_ns
    middle_ns = (second * NS_PER_SECOND + after_ns) // 2
    assert cron.next_after_ns(schedule, NEW_YORK, middle_ns) == after_ns
