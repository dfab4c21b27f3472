"""Steps of made-up autoscalers for the controller's page: a ramp of demand, scaled one lead time ahead."""

import math
from collections.abc import Iterator

from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.forecast import Forecast
from autoscaler.lead_times.lead_time import Path, Steps
from autoscaler.lead_times.summary import PathSummary, Summary
from autoscaler.outcome import Acted, Finding, Outcome, PoolOutcome, Replicas
from autoscaler.page.history import History
from autoscaler.page.shown import ControllerShown, Shown
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

NOW_NS = 1_790_000_000 * NS_PER_SECOND
LEAD_SECONDS = 240.0
A_REPLICA = 2.4
"""Requests/s that one serves within the SLO."""

KEY = Key("serving", "llama-chat")


def autoscaler(key: Key = KEY, uid: str = "uid-1", mode: str = "Direct") -> Autoscaler:
    spec = PredictiveAutoscalerSpec.model_validate(
        {
            "mode": mode,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": key.name},
            "minReplicas": 2,
            "maxReplicas": 40,
            "profile": "llama-3.1-8b-l4",
            "slo": {"tpotSeconds": 0.075},
        }
    )
    return Autoscaler(key=key, uid=uid, generation=1, resource_version="7", spec=spec)


def demand(at_seconds: float) -> float:
    """Requests/s: a day's wave, and from 40 min before the end a ramp to three times as much."""
    to_end = at_seconds - NOW_NS / NS_PER_SECOND
    wave = 10.0 + 6.0 * math.sin(at_seconds / 86_400 * 2 * math.pi)
    ramp = 22.0 * min(1.0, max(0.0, (to_end + 2400) / 1500))
    return wave + ramp + 0.6 * math.sin(at_seconds / 37.0) + 0.5 * math.sin(at_seconds / 111.0)


def steps(
    seconds: int = 86_400, period: int = 15, key: Key = KEY, uid: str = "uid-1", message: str = ""
) -> Iterator[Outcome]:
    """One after the other until NOW_NS; for two minutes, half an hour before the end, demand is not known."""
    end = NOW_NS // NS_PER_SECOND
    asked: list[tuple[float, int]] = []
    replicas = 6
    for at in range(end - seconds, end + 1, period):
        unknown = 1800 <= end - at < 1920
        level, then = demand(at), demand(at + LEAD_SECONDS)
        ahead = then / A_REPLICA * 1.2
        desired = replicas if unknown else max(replicas - (at % 300 == 0), math.ceil(ahead), 2)
        ready = min((count for when, count in asked if at - LEAD_SECONDS <= when), default=replicas)
        ready = min(ready, replicas)
        numbers = {
            "demand_requests_per_second": level,
            "level_requests_per_second": level,
            "backlog_requests": 0.0,
            "capacity_requests_per_second": A_REPLICA,
            "load_replicas": level / A_REPLICA,
            "ahead_replicas": ahead,
            "margin": 1.02,
            "lead_time_seconds": LEAD_SECONDS,
            "needed_replicas": float(math.ceil(ahead)),
            "known": 1.0,
        }
        change = f"{desired} replicas kept" if desired == replicas else f"{replicas} -> {desired} replicas"
        sentence = message or (
            f"{change}: {level:.1f} req/s now at 2.40 a replica are {level / A_REPLICA:.1f} replicas; 0.95 within the "
            f"SLO over 240 s take {ahead:.1f} (as 6.2 days of its own load teaches, margin 1.02): "
            f"{math.ceil(ahead)} needed"
        )
        yield Outcome(
            key=key,
            uid=uid,
            at_ns=at * NS_PER_SECOND,
            generation=1,
            mode="Direct",
            paused=False,
            decision=Decision(
                desired_replicas=desired,
                reason="FailedGetPodsMetric" if unknown else "ReadyForNewScale",
                message=f"{change}: demand is not known" if unknown else sentence,
                numbers={"known": 0.0, "unknown_seconds": 60.0} if unknown else numbers,
            ),
            replicas=Replicas(asked=replicas, ready=ready, starting=max(0, replicas - ready), pending=0),
            acted=Acted()
            if desired == replicas
            else Acted(to=f"deployments.apps/{key.name}", before=replicas, after=desired),
            findings=_findings(unknown),
            pools=_POOLS if key == KEY else (),
            forecast=None if unknown else _forecast(then),
            seconds=0.004,
        )
        if desired > replicas:
            asked.append((at, replicas))
        replicas = desired


def _forecast(demand_then: float) -> Forecast:
    """Right in the middle."""
    return Forecast(
        lower_requests_per_second=0.85 * demand_then,
        median_requests_per_second=demand_then,
        upper_requests_per_second=1.15 * demand_then,
        lead_time_seconds=LEAD_SECONDS,
        covered_share=0.8125,
    )


def shown(history: History, autoscalers: dict[Key, Autoscaler], *, faults: tuple[str, ...] = ()) -> Shown:
    controller = ControllerShown(
        identity="leadtime-controller-7d9c_1", leader="leadtime-controller-7d9c_1", is_leader=True, faults=faults
    )
    cold = Steps(node_seconds=96.0, pull_seconds=12.0, start_seconds=2.0, load_seconds=152.0)
    warm = Steps(node_seconds=0.0, pull_seconds=0.0, start_seconds=2.0, load_seconds=137.0)
    new_node, warm_node = Path(node="NewNode", image="Pulled"), Path(node="WarmNode", image="Cached")
    lead_times = Summary(
        sentence="median 240 s over 12 pods: node 96, pull 11, load 134; new node 8 of 12",
        paths=(
            PathSummary(path=new_node, pods=8, median_seconds=262.0, p90_seconds=318.0, steps=cold),
            PathSummary(path=warm_node, pods=4, median_seconds=139.0, p90_seconds=151.0, steps=warm),
        ),
    )
    return Shown(
        history=history,
        autoscalers=autoscalers,
        controller=lambda: controller,
        lead_times=lambda key: lead_times if key == KEY else None,
        now_ns=lambda: NOW_NS,
    )


def _findings(unknown: bool) -> tuple[Finding, ...]:
    known = (
        Finding(
            type="DemandKnown",
            status="False",
            reason="NoCompleteScrape",
            message="2 of 9 ready pods gave no metrics for 60 s; look at their port 8000 and at `leadtime doctor`",
        )
        if unknown
        else Finding(type="DemandKnown", status="True", reason="Scraped", message="9 of 9 ready pods within 15 s")
    )
    return (
        Finding(type="Ready", status="True", reason="Scaling", message="observed, decided and written"),
        known,
        Finding(type="ScalingLimited", status="False", reason="DesiredWithinRange", message="within 2 to 40 replicas"),
    )


_POOLS = (
    PoolOutcome(
        name="l4-on-demand",
        provider="GKE",
        floor_nodes=14,
        ready_nodes=12,
        nodes=14,
        condition="Ready",
        state="Resizing",
        message="min size 12 -> 14: 14 nodes are needed for the replicas of one node lead time ahead",
    ),
    PoolOutcome(
        name="l4-spot",
        provider="Recommend",
        floor_nodes=4,
        ready_nodes=2,
        nodes=2,
        condition="StockedOut",
        state="StockedOut",
        message="no L4 in europe-west4-a for 12 min; tried again in 3 min",
    ),
)
