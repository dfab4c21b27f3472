"""A PredictiveAutoscaler for people to read: from demand to what was written, step by step. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from policies.predictive.need import own_load

Json = Mapping[str, Any]

_STALE_SECONDS = 60.0
_SHOWN_DECISIONS = 5
_FIRST_LOOK = {
    "DemandKnown": "`leadtime doctor` asks for the metrics, and names the pods that give none",
    "AbleToScale": "`leadtime doctor` checks the controller's rights",
    "ScalingLimited": "raise the bound or the policy, or leave it as the limit that you chose",
    "NodePoolsReady": "the pool's own line says what its provider told",
    "PodDeletionCostSet": "`leadtime doctor` checks the controller's rights",
}
"""Where to look first, beside the remedy in a condition's own message."""


def as_text(found: Json, page: Json | None, *, now_seconds: float, notes: Sequence[str] = ()) -> str:
    """found: the object. page: the controller's answer of /api/v1/autoscalers/NAMESPACE/NAME, None without one."""
    metadata, spec, status = found["metadata"], found.get("spec") or {}, found.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    mode = spec.get("mode", "Recommend")
    lines = [
        f"PredictiveAutoscaler {metadata['name']} in namespace {metadata.get('namespace', '(cluster)')}",
        _line("target", f"{target.get('kind', '?')}/{target.get('name', '?')}, mode {mode}"),
    ]
    lines += [_line("note", note) for note in (*_state(metadata, status, now_seconds), *notes)]
    if status:
        lines += ["", *(_line(name, text) for name, text in _decided(spec, status, page, now_seconds))]
        lines += ["", *_conditions(status)]
    if page is not None:
        lines += _page(page, now_seconds)
    return "\n".join(lines).rstrip()


def _state(metadata: Json, status: Json, now_seconds: float) -> Iterator[str]:
    """Why what is said may not be of now."""
    if not status:
        yield "nothing was decided yet: the controller does not run or does not watch here; `leadtime doctor` tells"
        return
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        yield "the spec was changed since; the next step decides by it"
    if status.get("paused"):
        yield "paused: what follows would be done, and nothing is written"
    age = _age(status.get("lastDecisionTime"), now_seconds)
    if age is not None and age > _STALE_SECONDS:
        yield f"the last decision is {_span(age)} old: see Ready below; if that is well, the controller is away"


def _decided(spec: Json, status: Json, page: Json | None, now_seconds: float) -> Iterator[tuple[str, str]]:
    """Name and text of each step, in the order in which one follows from the other; steps that are not known are not
    named."""
    numbers = ((page or {}).get("decision") or {}).get("numbers") or {}
    demand, forecast = status.get("demand") or {}, status.get("forecast") or {}
    capacity = (status.get("capacity") or {}).get("requestsPerSecondPerReplica")
    if demand.get("requestsPerSecond") is not None:
        text = f"{demand['requestsPerSecond']:g} requests/s arrive"
        if demand.get("backlogRequests"):
            text += f", {demand['backlogRequests']:g} wait"
        if demand.get("promptTokens") and demand.get("outputTokens"):
            text += f"; one has {demand['promptTokens']:.0f} prompt and {demand['outputTokens']:.0f} output tokens"
        yield "demand", text
    if capacity is not None:
        now = f": {forecast['nowReplicas']:g} replicas now" if "nowReplicas" in forecast else ""
        yield "capacity", f"{capacity:g} requests/s a replica, {_slo(spec)}{now}"
    if "medianRequestsPerSecond" in forecast:
        yield "forecast", _forecast(forecast)
    if "aheadReplicas" in forecast:
        yield "ahead", _ahead(forecast)
    for name, key, words in (
        ("metrics", "metrics_replicas", "spec.metrics ask for {:g}"),
        ("floor", "schedule_replicas", "a schedule asks for at least {:g}"),
        ("held", "held_replicas", "the last known need of {:g} stands in for the unknown one"),
    ):
        if numbers.get(key) is not None:
            yield name, words.format(numbers[key])
    if numbers.get("wanted_replicas") is not None:
        yield "wanted", f"{numbers['wanted_replicas']:g}, the largest of these"
    if status.get("desiredReplicas") is not None:
        yield "behavior", f"{status['desiredReplicas']} after windows, policies and bounds ({_bounds(spec)})"
        age = _age(status.get("lastDecisionTime"), now_seconds)
        ago = "" if age is None else f", {_span(age)} ago"
        yield "decided", f"{status['desiredReplicas']} replicas, {status.get('reason', '')}{ago}"
        yield "why", status.get("message", "")
    if status.get("currentReplicas") is not None:
        starting, pending = status.get("startingReplicas", 0), status.get("pendingReplicas", 0)
        waiting = f", {pending} of them without a node" if pending else ""
        ready = status.get("readyReplicas", 0)
        yield "replicas", f"{status['currentReplicas']} asked for, {ready} ready, {starting} starting{waiting}"
    yield "written", _written(spec, status, page, now_seconds)
    if status.get("hourlyCost") is not None:
        yield "cost", f"{status['hourlyCost']:g} an hour for the replicas asked for"


def _slo(spec: Json) -> str:
    slo = spec.get("slo") or {}
    share = f"{slo.get('attainment', 0.95) * 100:g} %"
    return f"{share} within TTFT {slo.get('ttftSeconds', 2):g} s and TPOT {slo.get('tpotSeconds', 0):g} s"


def _forecast(forecast: Json) -> str:
    lower, upper = forecast.get("lowerRequestsPerSecond", 0), forecast.get("upperRequestsPerSecond", 0)
    text = f"{lower:g} to {upper:g} requests/s in four of five cases, {forecast['medianRequestsPerSecond']:g} in the "
    text += f"middle, {forecast.get('leadTimeSeconds', 0):.0f} s ahead"
    covered = forecast.get("coveredShare")
    return text if covered is None else f"{text}; {covered:.0%} of the last day came as told"


def _ahead(forecast: Json) -> str:
    learned = forecast.get("learnedDays")
    by = f"learned from {own_load(learned)}" if learned else "as other services' load teaches"
    rate = forecast.get("aheadRequestsPerSecond")
    text = f"{forecast['aheadReplicas']:g} replicas for the next {forecast.get('leadTimeSeconds', 0):.0f} s"
    text += f" ({rate:g} requests/s)" if rate is not None else ""
    return f"{text}, {by}, margin {forecast.get('margin', 1):g}"


def _bounds(spec: Json) -> str:
    return f"{spec.get('minReplicas', 1)} to {spec.get('maxReplicas', '?')}"


def _written(spec: Json, status: Json, page: Json | None, now_seconds: float) -> str:
    """What was written or withheld at the last step, by the leader's own word where it is known."""
    age = _age(status.get("lastScaleTime"), now_seconds)
    last = "nothing was written yet" if age is None else f"last written {_span(age)} ago"
    acted = (page or {}).get("acted")
    if page is not None and acted and page["controller"]["isLeader"]:
        if acted["error"]:
            return f"the write failed and is tried again: {acted['error']}; {last}"
        if acted["withheld"]:
            return f"withheld: {acted['withheld']}; {last}"
        if acted["to"] and acted["after"] is not None:
            return f"{acted['to']}: {acted['before']} -> {acted['after']}"
    if spec.get("mode", "Recommend") == "Recommend":
        return "nothing: mode Recommend only says; set mode to Metric, Floor or Direct to have it done"
    return last


def _conditions(status: Json) -> Iterator[str]:
    wrong = [each for each in status.get("conditions") or () if not _is_well(each)]
    if not wrong:
        yield "all conditions are as they should be"
        return
    yield "not as it should be:"
    told: set[str] = set()
    for each in sorted(wrong, key=lambda one: one["type"] == "Ready"):
        if each["type"] == "Ready" and each["message"] in told:
            continue  # it repeats the first of the others
        told.add(each["message"])
        yield f"  {each['type']} {each['status']}, {each['reason']}, since {each.get('lastTransitionTime', '?')}"
        yield f"      {each['message']}"
        if each["type"] in _FIRST_LOOK:
            yield f"      next: {_FIRST_LOOK[each['type']]}"


def _is_well(condition: Json) -> bool:
    return bool(condition["status"] == ("False" if condition["type"] == "ScalingLimited" else "True"))


def _page(page: Json, now_seconds: float) -> Iterator[str]:
    controller = page["controller"]
    said_by = f"as {controller['identity']} tells"
    if not controller["isLeader"]:
        said_by += f", which follows {controller['leader'] or 'nobody yet'} and writes nothing"
    decisions = page["decisions"][:_SHOWN_DECISIONS]
    if decisions:
        yield ""
        yield f"last decisions that changed something ({said_by}):"
        for told in decisions:
            wrote = f" [written to {told['wrote']}]" if told["wrote"] else ""
            withheld = f" [not written: {told['withheld']}]" if told["withheld"] else ""
            yield f"  {_span(now_seconds - told['at'])} ago  {told['message']}{wrote}{withheld}"
    if page["leadTimes"] is not None:
        yield ""
        yield f"lead time: {page['leadTimes']['sentence']}"
        for path in page["leadTimes"]["paths"]:
            median, p90 = path["medianSeconds"], path["p90Seconds"]
            yield f"  {path['path']}: {path['pods']} pods, median {median:.0f} s, 90 % within {p90:.0f} s"
    if page["nodePools"]:
        yield ""
        yield "node pools:"
        for pool in page["nodePools"]:
            nodes = f"{pool['readyNodes']} of {pool['nodes']} nodes ready, floor {pool['floorNodes']}"
            yield f"  {pool['name']} ({pool['provider']}) {pool['state']}: {nodes}; {pool['message']}"


def _line(name: str, text: str) -> str:
    return f"  {name:<10}{text}"


def _age(at: str | None, now_seconds: float) -> float | None:
    if at is None:
        return None
    return max(0.0, now_seconds - datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
