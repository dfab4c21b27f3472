"""The floor that the calendar puts under the replica count now."""

from collections.abc import Sequence

from policies import cron
from policies.combined.spec import ScheduledFloor


def floor_now(schedules: Sequence[ScheduledFloor], now_ns: int) -> ScheduledFloor | None:
    """The highest floor in force; the first of equals; None outside of all of them. Texts as `check` lets through."""
    in_force = [floor for floor in schedules if _is_in_force(floor, now_ns)]
    return max(in_force, key=lambda floor: floor.min_replicas, default=None)


def _is_in_force(floor: ScheduledFloor, now_ns: int) -> bool:
    zone = cron.time_zone(floor.time_zone)
    return cron.is_open(cron.parse(floor.start), cron.parse(floor.end), zone, now_ns)
