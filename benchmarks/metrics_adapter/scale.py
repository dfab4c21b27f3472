"""10,000 series on 1,000 pods and 10,000 HPAs that ask every 15 s: memory and latency, collection included."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metrics_adapter.agreement import METRIC, Disagreement, expected_milli, seconds_since_epoch
from metrics_adapter.fleet import EVERY_POD, METRICS, Fleet, pods_target, ten_thousand_targets
from metrics_adapter.load import Load
from metrics_adapter.processes import Usage
from metrics_adapter.sides import Side
from metrics_adapter.stage import Stage

FLEET = Fleet(namespace="scale", workloads=500, pods_each=2)
REQUESTS_PER_SECOND = 10_000 / 15
INTERVAL_SECONDS = 15
"""Of the adapter's collections, and of Prometheus' scrapes where that is the source."""
MAX_AGE_SECONDS = {"scrape": 2 * INTERVAL_SECONDS, "prometheus": 3 * INTERVAL_SECONDS}
"""An interval for each hop, and one for the rest."""
TARGET_RESIDENT_MB = 200.0
TARGET_P99_SECONDS = 0.020


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What was seen. cores: that the adapter used on average, and that programs used which are not ours.

    waited: part of the time in which the adapter could have run and had no core.
    """

    source: str
    series: int
    targets: int
    load: Load
    peak_resident_mb: float
    resident_mb: float
    cores: float
    others_cores: float
    waited: float
    ready_seconds: float

    @property
    def missed(self) -> list[str]:
        """Targets that were not reached."""
        missed = []
        if self.peak_resident_mb > TARGET_RESIDENT_MB:
            missed.append(f"{self.source}: memory {self.peak_resident_mb:.0f} MB > {TARGET_RESIDENT_MB:.0f} MB")
        if self.load.p99 > TARGET_P99_SECONDS:
            missed.append(f"{self.source}: p99 {self.load.p99 * 1e3:.1f} ms > {TARGET_P99_SECONDS * 1e3:.0f} ms")
        return missed


def run_scale(stage: Stage, source: dict[str, Any], *, seconds: float, tell: Callable[[str], None]) -> Scale:
    """One source. The adapter is started for it, asked for seconds, and ended."""
    kind = next(iter(source))
    began = time.monotonic()
    side = stage.start_leadtime(source)
    ready_seconds = time.monotonic() - began
    try:
        side.wait_until(lambda: _right(side, stage.generation, MAX_AGE_SECONDS[kind]), "the right values of 1,000 pods")
        targets = ten_thousand_targets(FLEET)
        tell(f"  {kind}: ready after {ready_seconds:.1f} s; {REQUESTS_PER_SECOND:.0f} requests/s for {seconds:g} s")
        (group,) = side.groups
        early, waited = Usage.now(), group.waited_seconds()
        load = stage.client.run(
            side.port, targets, seconds=seconds, max_age_seconds=MAX_AGE_SECONDS[kind], per_second=REQUESTS_PER_SECOND
        )
        late = Usage.now()
        return Scale(
            source=kind,
            series=FLEET.pods * len(METRICS),
            targets=len(targets),
            load=load,
            peak_resident_mb=group.peak_resident_mb(),
            resident_mb=group.resident_mb(),
            cores=(late.of(side.groups) - early.of(side.groups)) / (late.at - early.at),
            others_cores=late.others_since(early, stage.groups),
            waited=(group.waited_seconds() - waited) / (late.at - early.at),
            ready_seconds=ready_seconds,
        )
    finally:
        stage.stop("leadtime")


def _right(side: Side, generation: int, max_age_seconds: float) -> bool:
    answer = side.ask(pods_target(FLEET.namespace, METRIC, EVERY_POD))
    expected = expected_milli(FLEET, range(FLEET.pods), generation)
    wrong = [name for name, milli in answer.by_object.items() if expected.get(name) != milli]
    if wrong:
        raise Disagreement(f"leadtime: {METRIC} of {wrong[0]} is {answer.by_object[wrong[0]]} m")
    oldest = min((seconds_since_epoch(str(item["timestamp"])) for item in answer.items), default=0)
    return len(answer.items) == FLEET.pods and answer.at - oldest < max_age_seconds
