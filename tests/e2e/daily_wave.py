"""A demand that has the same shape every day: told to the model servers now, and kept in a controller's file of the
days before, as a controller that had run for so long would have kept it, with what it had learned from them.

    wave = DailyWave(low=6.0, high=60.0, starts=time.time() + 90)
    past = Past(wave, learned=learned_from(wave, spec, time.time()), lead_times=pods_seen(15.0, 8.0, now=time.time()))
    asyncio.run(past.write(file, [Key("team-a", "vllm")], now=time.time()))
    with following(scene, wave, ["vllm"]):
        ...
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from beside import beside
from scenario import Scenario

from autoscaler.cluster import Key
from autoscaler.lead_times.lead_time import LeadTime, Steps
from autoscaler.lead_times.lead_time import Path as PodPath
from autoscaler.lead_times.store import Store
from policies.combined.backfill import begun
from policies.combined.decide import learn
from policies.combined.learned_json import learned_json
from policies.combined.spec import CombinedSpec
from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND

DAYS = 8
PROMPT_TOKENS, OUTPUT_TOKENS = 200, 100  # what the exporter's demand has unless it is told otherwise
CHECKS_PER_SECOND = 1.0  # of one token each, beside the demand: exporter_fleet.LiveDemand
_MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyWave:
    """Requests/s: `low`, and from `starts` on `high` for lasts_seconds, with a slope of slope_seconds at either end;
    again after each period, which divides a day. starts: seconds since the epoch, of any of them.
    """

    low: float
    high: float
    starts: float
    slope_seconds: float = 60.0
    lasts_seconds: float = 2_400.0
    period_seconds: float = 14_400.0

    def rate(self, at: float) -> float:
        """At this time, seconds since the epoch."""
        since = (at - self.starts) % self.period_seconds
        up = min(1.0, since / self.slope_seconds)
        down = min(1.0, max(0.0, (since - self.lasts_seconds) / self.slope_seconds))
        return self.low + (self.high - self.low) * (up - down)

    def days_until(self, now: float) -> Samples:
        """The last DAYS by the minute, with the checks, each sample at the end of its minute."""
        minutes = np.arange(int(now) // _MINUTE_SECONDS - DAYS * 1_440, int(now) // _MINUTE_SECONDS)
        rates = np.array([self.rate((minute + 0.5) * _MINUTE_SECONDS) for minute in minutes])
        requests = rates + CHECKS_PER_SECOND
        return Samples(
            at_ns=(minutes + 1) * _MINUTE_SECONDS * NS_PER_SECOND,
            requests_per_second=requests,
            prompt_tokens=(rates * PROMPT_TOKENS + CHECKS_PER_SECOND) / requests,
            output_tokens=(rates * OUTPUT_TOKENS + CHECKS_PER_SECOND) / requests,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a controller has of a workload. learned: as policies/combined/learned_json.py writes it."""

    wave: DailyWave
    learned: str
    lead_times: Sequence[LeadTime]

    async def write(self, file: Path, keys: Iterable[Key], now: float) -> None:
        """The file, with the same past of all of these workloads, until now (seconds since the epoch)."""
        store, days = Store(file, clock=_At(round(now * NS_PER_SECOND))), self.wave.days_until(now)
        columns = (days.at_ns, days.requests_per_second, days.prompt_tokens, days.output_tokens)
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        for key in keys:
            for at_ns, *demand in rows:
                store.add_load(key, at_ns - NS_PER_SECOND, *demand)  # within the minute
            for each in self.lead_times:
                store.add_lead_time(key, each)
            store.add_learned(key, self.learned)
        await store.close()


def learned_from(wave: DailyWave, spec: CombinedSpec, now: float) -> str:
    """What the rule learns from these days; some seconds of work."""
    now_ns = round(now * NS_PER_SECOND)
    state, _ = begun(spec, wave.days_until(now), now_ns)
    return learned_json(spec, learn(spec, state, now_ns))


def pods_seen(node_seconds: float, load_seconds: float, *, now: float, pods: int = 20) -> list[LeadTime]:
    """Lead times of as many pods, each of which waited for a node and then for its model; an hour ago."""
    created_ns = round((now - 3_600) * NS_PER_SECOND)
    steps = Steps(node_seconds=node_seconds, pull_seconds=0.0, start_seconds=0.0, load_seconds=load_seconds)
    return [
        LeadTime(pod_uid=name, pod=name, created_ns=created_ns, steps=steps, path=PodPath(node="NewNode"))
        for name in (f"seen-{number}" for number in range(pods))
    ]


@contextmanager
def following(scene: Scenario, wave: DailyWave, apps: Iterable[str], *, period_seconds: float = 1.0) -> Iterator[None]:
    """The demand of these workloads is the wave's, until the end of the block. A failure to say so is raised there."""
    told = tuple(apps)

    def follow(stopped: threading.Event) -> None:
        while not stopped.is_set():
            for app in told:
                scene.demands(wave.rate(time.time()), app=app)
            stopped.wait(period_seconds)

    with beside(follow):
        yield


@dataclass(frozen=True, slots=True)
class _At:
    """A clock that stands."""

    ns: int

    def now_ns(self) -> int:
        return self.ns
