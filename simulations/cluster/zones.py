"""What a cloud may refuse: GPUs beyond a quota, nodes of a zone that has run out, for a window or at random.

A refused ask fails; the node autoscaler then keeps away from that pool's nodes in that zone for a while
(simulations/cluster/node_autoscaler.py) and tries the next zone or pool. A node that was refused costs nothing.
Instants are seconds since the start of the run.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from policies.errors import BadInput
from simulations.lead_time import Stage, check_seconds, generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most so many GPUs of a kind in the region, those on their way included, over all pools. Raises BadInput.

    gpu: as the pools spell it. spot: None counts all nodes, True spot nodes only, False on-demand nodes only
    (Compute Engine has quotas for preemptible GPUs beside those for all; documentation, "Allocation quotas").
    """

    gpu: str
    gpus: int
    spot: bool | None = None

    def __post_init__(self) -> None:
        if not self.gpu:
            raise BadInput("quota.gpu: was empty, must name the GPU as the pools do")
        if self.gpus < 0:
            raise BadInput(f"quota.gpus: was {self.gpus}, must be 0 or more")

    def covers(self, gpu: str, is_spot: bool) -> bool:
        """Whether such nodes count."""
        return gpu == self.gpu and self.spot in (None, is_spot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stockout:
    """A zone has no nodes to give from start_seconds until before end_seconds. Raises BadInput.

    zone: of the pool; empty for all zones. gpu, spot: only of that kind; empty and None for all.
    fails_after_seconds: from an ask until it is refused.
    """

    zone: str
    start_seconds: float
    end_seconds: float
    gpu: str = ""
    spot: bool | None = None
    fails_after_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_seconds < self.end_seconds:
            raise BadInput(
                f"stockout.start_seconds: was {self.start_seconds:g}, must be in [0, {self.end_seconds:g}), before "
                "end_seconds"
            )
        check_seconds("stockout.fails_after_seconds", self.fails_after_seconds)

    def covers(self, zone: str, gpu: str, is_spot: bool, at: float) -> bool:
        """Whether an ask at that instant is refused."""
        return (
            self.start_seconds <= at < self.end_seconds
            and self.zone in ("", zone)
            and self.gpu in ("", gpu)
            and self.spot in (None, is_spot)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomStockouts:
    """Stockouts of a zone that come and go: exponential time between them, lognormal length. Raises BadInput.

    mean_between_seconds: from the end of one to the begin of the next.
    """

    zone: str
    mean_between_seconds: float
    length: Stage
    gpu: str = ""
    spot: bool | None = None
    fails_after_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.mean_between_seconds < math.inf:
            raise BadInput(
                f"stockouts.mean_between_seconds: was {self.mean_between_seconds}, must be more than 0; "
                "leave the process out for none"
            )
        if self.length.median_seconds <= 0.0:
            raise BadInput("stockouts.length: was 0 s, must be more; leave the process out for none")
        check_seconds("stockouts.fails_after_seconds", self.fails_after_seconds)


@dataclass(slots=True)
class StockoutCalendar:
    """All stockouts of a run; those of a random process are drawn as time goes on, equal for equal seeds."""

    given: Iterable[Stockout | RandomStockouts]
    seed: int
    windows: list[Stockout] = field(init=False, default_factory=list)
    _processes: list["_Process"] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for number, each in enumerate(self.given):
            if isinstance(each, Stockout):
                self.windows.append(each)
            else:
                stream = generator(self.seed, "stockouts", each.zone, str(number))
                self._processes.append(_Process(each, stream))

    def at(self, zone: str, gpu: str, is_spot: bool, now: float) -> Stockout | None:
        """The stockout that refuses such an ask; asked for instants that do not go back."""
        for process in self._processes:
            process.draw_until(now)
            if process.window is not None and process.window.covers(zone, gpu, is_spot, now):
                return process.window
        return next((each for each in self.windows if each.covers(zone, gpu, is_spot, now)), None)


@dataclass(slots=True)
class _Process:
    """window: the stockout that is under way or comes next."""

    spec: RandomStockouts
    stream: np.random.Generator
    window: Stockout | None = None

    def draw_until(self, now: float) -> None:
        while self.window is None or self.window.end_seconds <= now:
            after = 0.0 if self.window is None else self.window.end_seconds
            start = after + float(self.stream.exponential(self.spec.mean_between_seconds))
            length = self.spec.length.seconds(float(self.stream.standard_normal()))
            self.window = Stockout(
                zone=self.spec.zone,
                start_seconds=start,
                end_seconds=start + length,
                gpu=self.spec.gpu,
                spot=self.spec.spot,
                fails_after_seconds=self.spec.fails_after_seconds,
            )
