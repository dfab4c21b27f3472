"""Cron expressions of five fields, read and evaluated in a time zone: minute hour day-of-month month day-of-week.

Source: robfig/cron v3 (parser.go, spec.go), which KEDA's cron scaler uses: `*` or `?`, lists `1,3`, ranges `1-5`,
steps `*/15`, `8/2` (from 8 to the end), `8-18/2`, and names (`jan`, `mon`), in upper or lower case. Sunday is 0;
7 is refused, as there. With both day fields restricted a day matches either of them, else both. A wall-clock time
that daylight saving skips does not come that day, one that it repeats comes twice.

Left out: descriptors such as `@daily`, and a `TZ=` prefix. An expression that never comes (30 February) is refused
here; there its next time is the year 1.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_LONGEST_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_SEARCHED_DAYS = 9 * 366
"""29 February is at most 8 years away (1896 to 1904, 2096 to 2104)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When an expression comes. any_day_of_month, any_day_of_week: the field was a star, which matters for "either"."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    any_day_of_month: bool
    any_day_of_week: bool


@lru_cache(maxsize=4096)
def parse(text: str) -> Schedule:
    """Read an expression. Raises BadInput that names the field."""
    fields = text.split()
    if len(fields) != 5:
        raise BadInput(
            f"cron: was {text!r}, must have 5 fields (minute hour day-of-month month day-of-week), not {len(fields)}"
        )
    minutes, _ = _field(fields[0], "minute", 0, 59)
    hours, _ = _field(fields[1], "hour", 0, 23)
    days_of_month, any_day_of_month = _field(fields[2], "day-of-month", 1, 31)
    months, _ = _field(fields[3], "month", 1, 12, _MONTHS)
    days_of_week, any_day_of_week = _field(fields[4], "day-of-week", 0, 6, _DAYS)
    by_month_only = any_day_of_week or any_day_of_month
    if by_month_only and all(min(days_of_month) > _LONGEST_MONTHS.get(month, 31) for month in months):
        raise BadInput(f"cron: was {text!r}, must be able to come: no such day in the month; change one of them")
    return Schedule(
        text=text,
        minutes=minutes,
        hours=hours,
        days_of_month=days_of_month,
        months=months,
        days_of_week=days_of_week,
        any_day_of_month=any_day_of_month,
        any_day_of_week=any_day_of_week,
    )


def time_zone(name: str) -> ZoneInfo:
    """Of the IANA database. Raises BadInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"timeZone: was {name!r}, must be a name of the IANA database such as Europe/Berlin") from None


def next_after_ns(schedule: Schedule, zone: ZoneInfo, now_ns: int) -> int:
    """The first instant strictly after now at which the schedule comes."""
    now_second = now_ns // NS_PER_SECOND
    day = datetime.fromtimestamp(now_second, zone).date()
    for _ in range(_SEARCHED_DAYS):
        if _is_day(schedule, day):
            instants = _instants(schedule, zone, day)
            index = bisect_right(instants, now_second)
            if index < len(instants):
                return instants[index] * NS_PER_SECOND
        day += timedelta(days=1)
    raise AssertionError(f"{schedule.text}: parse lets only schedules through that come")


def is_open(start: Schedule, end: Schedule, zone: ZoneInfo, now_ns: int) -> bool:
    """Whether a window from `start` to `end` is open: its next start does not come before its next end.

    Source: kedacore/keda pkg/scalers/cron_scaler.go, GetMetricsAndActivity. Open from the start's instant on,
    closed from the end's on; overnight windows need nothing special.
    """
    return next_after_ns(start, zone, now_ns) >= next_after_ns(end, zone, now_ns)


def _is_day(schedule: Schedule, day: date) -> bool:
    if day.month not in schedule.months:
        return False
    by_month = day.day in schedule.days_of_month
    by_week = day.isoweekday() % 7 in schedule.days_of_week
    if schedule.any_day_of_month or schedule.any_day_of_week:
        return by_month and by_week
    return by_month or by_week


@lru_cache(maxsize=1024)
def _instants(schedule: Schedule, zone: ZoneInfo, day: date) -> tuple[int, ...]:
    """Unix seconds at which the schedule comes on a day that matches, ascending."""
    instants: set[int] = set()
    for hour in schedule.hours:
        for minute in schedule.minutes:
            wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            for each in (wall, wall.replace(fold=1)):
                back = each.astimezone(UTC).astimezone(zone)
                if back.replace(tzinfo=None) == wall.replace(tzinfo=None):  # else daylight saving skips it
                    instants.add(int(each.timestamp()))
    return tuple(sorted(instants))


def _field(
    text: str, name: str, low: int, high: int, names: Mapping[str, int] | None = None
) -> tuple[frozenset[int], bool]:
    """(values of one field, whether it is a star). A star with a step above 1 is no star, as upstream."""
    values: set[int] = set()
    star = False
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, f"{name} step", 1, high, {}) if slash else 1
        if span in {"*", "?"}:
            first, last = low, high
            star = star or step == 1
        else:
            first_text, dash, last_text = span.partition("-")
            first = _number(first_text, name, low, high, names or {})
            last = high if slash else first
            if dash:
                last = _number(last_text, name, low, high, names or {})
        if first > last:
            raise BadInput(f"cron {name}: was {part!r}, must not begin after its end; split it into two ranges")
        values.update(range(first, last + 1, step))
    return frozenset(values), star


def _number(text: str, name: str, low: int, high: int, names: Mapping[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        also = f" or one of {', '.join(names)}" if names else ""
        raise BadInput(f"cron {name}: was {text!r}, must be a number in [{low}, {high}]{also}")
    return int(text)
