"""A calendar: in cron windows at least so many replicas, outside of them the base count.

What an admin writes who knows the working day. A window is open while its next end comes before its next start,
both in the schedule's time zone; of several open windows the largest counts. Nothing is measured, so this is
also the floor that a clairvoyant admin would put under a reactive policy.

Source: kedacore/keda pkg/scalers/cron_scaler.go (GetMetricsAndActivity: the start and end crons and which of
them is next); kept there for one window a trigger, and the HPA takes the maximum over triggers.
"""

import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from policies import cron
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.policy import Policy
from policies.snapshot import Snapshot

_ROUNDING = 1e-9
"""Of scale x replicas: 0.1 x 30 is 3.0000000000000004 as a float and means 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One span of the calendar with its replica count.

    start, end: cron expressions of five fields (minute hour day-of-month month day-of-week).
    """

    start: str
    end: str
    replicas: int

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read `0 8 * * 1-5 -> 0 20 * * 1-5 = 8`. Raises BadInput."""
        crons, _, replicas = text.rpartition("=")
        start, arrow, end = crons.partition("->")
        if not arrow or not replicas.strip().isdecimal():
            raise BadInput(
                f"window: was {text!r}, must be START -> END = REPLICAS with two cron expressions, "
                "such as '0 8 * * 1-5 -> 0 20 * * 1-5 = 8'"
            )
        return cls(start=start.strip(), end=end.strip(), replicas=int(replicas))

    def __str__(self) -> str:
        return f"{self.start} -> {self.end} = {self.replicas}"


_WORKING_DAY = (Window(start="0 8 * * 1-5", end="0 20 * * 1-5", replicas=8),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """The calendar and its bounds."""

    base_replicas: int = parameter("replicas", "outside of every window", 2)
    windows: tuple[Window, ...] = parameter(
        "cron -> cron = replicas", "floors over the base, separated by semicolons", _WORKING_DAY
    )
    time_zone: str = parameter("IANA name", "in which the crons are read, daylight saving included", "UTC")
    scale: float = parameter("factor", "multiplies the windows' replicas, rounded up", 1.0)
    max_replicas: int = parameter("replicas", "never more", 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWindow:
    """The largest window that is open now, its count scaled."""

    window: Window
    replicas: int


def schedule_policy(spec: ScheduleSpec, name: str = "schedule") -> Policy[ScheduleSpec, None]:
    """The rule with its spec checked; raises BadInput."""
    if not 1 <= spec.base_replicas <= spec.max_replicas:
        raise BadInput(
            f"baseReplicas: was {spec.base_replicas}, must be in [1, {spec.max_replicas}], the largest allowed count"
        )
    if not 0.0 <= spec.scale <= 1_000.0:
        raise BadInput(f"scale: was {spec.scale}, must be in [0, 1000]")
    cron.time_zone(spec.time_zone)
    for index, window in enumerate(spec.windows):
        if window.replicas < 0:
            raise BadInput(f"windows[{index}].replicas: was {window.replicas}, must be >= 0")
        for field, text in (("start", window.start), ("end", window.end)):
            try:
                cron.parse(text)
            except BadInput as error:
                raise BadInput(f"windows[{index}].{field}: {error}") from error
        if window.start == window.end:
            raise BadInput(f"windows[{index}].end: was {window.end!r}, must differ from start")
    return Policy(name=name, decide=decide, spec=spec, initial_state=None, queries=())


def decide(spec: ScheduleSpec, state: None, snapshot: Snapshot, now_ns: int) -> tuple[Decision, None]:
    """Ask for what the calendar says at this instant."""
    largest = _largest_open(spec, now_ns)
    wanted = max(spec.base_replicas, 0 if largest is None else largest.replicas)
    desired = min(wanted, spec.max_replicas)
    if wanted > spec.max_replicas:
        reason, why = "TooManyReplicas", f"the calendar says {wanted}, at most {spec.max_replicas} are allowed"
    elif largest is not None and largest.replicas >= spec.base_replicas:
        reason, why = "WindowOpen", f"window {largest.window} is open"
    elif largest is not None:
        reason, why = "OutsideWindows", f"the open window's {largest.replicas} is below the base count"
    else:
        reason, why = "OutsideWindows", "no window is open, the base count holds"
    if spec.scale != 1.0 and largest is not None:
        why += f" (scaled by {spec.scale:g})"
    kept = desired == snapshot.replicas
    change = f"{desired} replicas kept" if kept else f"{snapshot.replicas} -> {desired} replicas"
    numbers = {"replicas": float(snapshot.replicas), "desired_replicas": float(desired)}
    if largest is not None:
        numbers["window_replicas"] = float(largest.replicas)
    return Decision(desired_replicas=desired, reason=reason, message=f"{change}: {why}", numbers=numbers), state


def _largest_open(spec: ScheduleSpec, now_ns: int) -> OpenWindow | None:
    zone = ZoneInfo(spec.time_zone)
    opened = [
        OpenWindow(window=window, replicas=math.ceil(spec.scale * window.replicas - _ROUNDING))
        for window in spec.windows
        if cron.is_open(cron.parse(window.start), cron.parse(window.end), zone, now_ns)
    ]
    return max(opened, key=lambda each: each.replicas, default=None)


ENTRY = PolicyEntry(
    name="schedule",
    summary="cron windows with a time zone, as floors over a base count",
    source="kedacore/keda pkg/scalers/cron_scaler.go, for when a window is open",
    spec=ScheduleSpec,
    knob="scale",
    build=schedule_policy,
)
