"""The answers of /api/v1/autoscalers: what the page and `leadtime explain` read. Keys are camelCase, instants Unix
seconds, shares in [0, 1]; null is unknown."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pydantic.alias_generators import to_camel

from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.explain.conditions import conditions, is_well
from autoscaler.forecast import Forecast
from autoscaler.lead_times.summary import Summary
from autoscaler.outcome import Outcome
from autoscaler.page.history import COLUMNS, Past
from autoscaler.page.shown import Shown
from policies.snapshot import NS_PER_SECOND

Json = dict[str, Any]

LISTED = 100
"""Of a list: an answer stays below 100 kB; the search finds the others."""


def list_json(shown: Shown, search: str = "", limit: int = LISTED) -> Json:
    """Those whose namespace, name, target or reason holds each word of the search; what is wrong comes first."""
    words = search.casefold().split()
    rows = [_row(shown, autoscaler) for autoscaler in shown.autoscalers.values()]
    found = [row for row in rows if all(word in _searched(row) for word in words)]
    found.sort(key=lambda row: (not row["troubles"], row["namespace"], row["name"]))
    return {**_head(shown), "total": len(rows), "found": len(found), "items": found[:limit]}


def autoscaler_json(shown: Shown, key: Key, after_seconds: int = 0) -> Json | None:
    """One of them whole; of its history only what is newer than after_seconds. None: there is no such object."""
    autoscaler = shown.autoscalers.get(key)
    if autoscaler is None:
        return None
    past = shown.history.past(key)
    past = past if past is not None and past.uid == autoscaler.uid else None
    last = None if past is None else past.last
    return {
        **_head(shown),
        **_row(shown, autoscaler),
        "spec": None if autoscaler.spec is None else _spec(autoscaler.spec),
        "decision": None if last is None or last.decision is None else _camel(asdict(last.decision)),
        "acted": None if last is None else _camel(asdict(last.acted)),
        "stepSeconds": None if last is None else round(last.seconds, 4),
        "conditions": [] if last is None else [asdict(finding) for finding in conditions(last)],
        "nodePools": [] if last is None else [_camel(asdict(pool)) for pool in last.pools],
        "leadTimes": None if (known := shown.lead_times(key)) is None else _lead_times(known),
        "decisions": [] if past is None else _told(past),
        "history": _history(past, after_seconds),
    }


def _head(shown: Shown) -> Json:
    return {"now": shown.now_ns() / NS_PER_SECOND, "controller": _camel(asdict(shown.controller()))}


def _row(shown: Shown, autoscaler: Autoscaler) -> Json:
    """What the list tells of an object; also the head of its own page."""
    past = shown.history.past(autoscaler.key)
    last = past.last if past is not None and past.uid == autoscaler.uid else None
    decision = None if last is None else last.decision
    numbers = {} if decision is None else decision.numbers
    spec = autoscaler.spec
    return {
        "namespace": autoscaler.key.namespace,
        "name": autoscaler.key.name,
        "target": "" if spec is None else f"{spec.scale_target_ref.kind}/{spec.scale_target_ref.name}",
        "mode": None if spec is None else spec.mode,
        "paused": last.paused if last is not None else spec is not None and spec.paused,
        "at": None if last is None else last.at_ns / NS_PER_SECOND,
        "demandRequestsPerSecond": _number(numbers.get("level_requests_per_second")),
        "capacityRequestsPerSecond": _number(numbers.get("capacity_requests_per_second")),
        "aheadReplicas": _number(numbers.get("ahead_replicas")),
        "forecast": None if last is None or last.forecast is None else _forecast(last.forecast),
        "replicas": None if last is None or last.replicas is None else asdict(last.replicas),
        "desiredReplicas": None if decision is None else decision.desired_replicas,
        "reason": "" if decision is None else decision.reason,
        "message": autoscaler.fault or ("" if decision is None else decision.message),
        "troubles": _troubles(autoscaler, last),
    }


def _forecast(told: Forecast) -> Json:
    """Requests/s one lead time ahead, and the share of outcomes that lay within."""
    return {to_camel(name): _number(value) for name, value in asdict(told).items()}


def _troubles(autoscaler: Autoscaler, last: Outcome | None) -> list[str]:
    """Sentences, each with its remedy where there is one. That a person paused it is none, nor that `behavior` holds
    the count for a while; that maxReplicas does, is."""
    found = [autoscaler.fault] if autoscaler.fault else []
    for condition in () if last is None else conditions(last):
        is_passing = condition.type == "ScalingLimited" and condition.reason != "TooManyReplicas"
        if not is_well(condition) and not is_passing and condition.reason != "Paused":
            found.append(condition.message)
    return list(dict.fromkeys(found))


def _searched(row: Json) -> str:
    return f"{row['namespace']}/{row['name']} {row['target']} {row['mode']} {row['reason']}".casefold()


def _spec(spec: PredictiveAutoscalerSpec) -> Json:
    """What an admin asked for, as the object has it; its metrics and pools are told by what became of them."""
    wanted = {"mode", "min_replicas", "max_replicas", "profile", "slo", "cost", "schedules"}
    return spec.model_dump(mode="json", by_alias=True, include=wanted)


def _lead_times(summary: Summary) -> Json:
    """steps: medians, each on its own, in seconds."""
    paths = [
        {
            "path": str(each.path),
            "pods": each.pods,
            "medianSeconds": _number(each.median_seconds),
            "p90Seconds": _number(each.p90_seconds),
            "steps": {to_camel(name): _number(value) for name, value in asdict(each.steps).items()},
        }
        for each in summary.paths
    ]
    return {"sentence": summary.sentence, "paths": paths}


def _told(past: Past) -> list[Json]:
    """Newest first."""
    return [
        {
            "at": told.at_ns / NS_PER_SECOND,
            **{key: value for key, value in _camel(asdict(told)).items() if key != "atNs"},
        }
        for told in reversed(past.told)
    ]


def _history(past: Past | None, after_seconds: int) -> Json:
    """A list for each column, all of one length, oldest first."""
    if past is None:
        return {"at": [], **{to_camel(name): [] for name in COLUMNS}}
    seconds, values = past.rows(after_seconds)
    columns = {to_camel(name): _numbers(values[:, index].tolist()) for index, name in enumerate(COLUMNS)}
    return {"at": seconds.tolist(), **columns}


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float | None) -> float | None:
    """Four digits after the point are more than any chart shows; NaN is no JSON."""
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _camel(value: Any) -> Any:
    """Keys of dataclasses in camelCase, at every depth but under `numbers`, whose names are the decision's own."""
    if isinstance(value, dict):
        return {to_camel(key): _plain(inner) if key == "numbers" else _camel(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(inner) for inner in value]
    return value


def _plain(numbers: Mapping[str, float]) -> Json:
    return {name: _number(value) for name, value in numbers.items()}
