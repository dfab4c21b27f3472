"""Whether the kubelet kills a server that still loads its model, and whether a scale-up looks like a failed rollout.

Times and defaults: kubernetes/api core/v1/types.go (Probe), apps/v1/types.go, v1.36; the kubelet kills after
failureThreshold failures in a row, periodSeconds apart, the first of them after initialDelaySeconds.
"""

from collections.abc import Iterator

from autoscaler.autoscaler import Autoscaler
from leadtime.doctor.finding import Finding, fail, ok, warn
from leadtime.doctor.gathered import Gathered, Json, label
from leadtime.pod_template import pod_spec, serving_container

_PERIOD_SECONDS, _FAILURES = 10, 3
_PROGRESS_SECONDS = 600
_ROOM = 1.5
"""A cold image cache or a busy disk makes a load half as long again."""


def check_probes(gathered: Gathered) -> Iterator[Finding]:
    for each, target in gathered.targets():
        workload = gathered.workloads.get(target)
        spec = None if workload is None else pod_spec(workload)
        container = None if spec is None else serving_container(spec)
        if workload is None or spec is None or container is None:
            continue
        load_seconds, known_by = _load(each, gathered)
        found = list(_killed(each, container, load_seconds, known_by))
        found += _given_up(each, workload)
        fine = f"{label(each)}: no probe kills a server within the {load_seconds:.0f} s {known_by}"
        yield from found or [ok("probes", fine)]


def _load(each: Autoscaler, gathered: Gathered) -> tuple[float, str]:
    """Seconds from the server's start to Ready, and how that is known."""
    learned = gathered.load_seconds.get((each.key.namespace, each.key.name))
    if learned is not None:
        return learned, "that loading was seen to take"
    assert each.spec is not None
    return each.spec.lead_time.assumed_seconds, "of leadTime.assumedSeconds"


def _killed(each: Autoscaler, container: Json, load_seconds: float, known_by: str) -> Iterator[Finding]:
    """A startup probe holds the liveness probe back until it succeeded."""
    name = "startupProbe" if container.get("startupProbe") is not None else "livenessProbe"
    probe = container.get(name)
    if probe is None:
        return
    seconds = _seconds_until_kill(probe)
    if seconds >= load_seconds * _ROOM:
        return
    period = probe.get("periodSeconds") or _PERIOD_SECONDS
    failures = -(-int(load_seconds * _ROOM) // period)
    where = f"container {container.get('name')}"
    remedy = f"give {where} a startupProbe with periodSeconds {period} and failureThreshold {failures}"
    what = f"{label(each)}: {name} of {where} kills a server after {seconds:.0f} s"
    if seconds < load_seconds:
        yield fail("probes", f"{what}, before it is loaded: {load_seconds:.0f} s {known_by}", remedy)
    else:
        yield warn("probes", f"{what}, little more than the {load_seconds:.0f} s {known_by}", remedy)


def _seconds_until_kill(probe: Json) -> float:
    failures = probe.get("failureThreshold") or _FAILURES
    return float((probe.get("initialDelaySeconds") or 0) + failures * (probe.get("periodSeconds") or _PERIOD_SECONDS))


def _given_up(each: Autoscaler, workload: Json) -> Iterator[Finding]:
    assert each.spec is not None
    if workload.get("kind") != "Deployment":
        return
    deadline = (workload.get("spec") or {}).get("progressDeadlineSeconds", _PROGRESS_SECONDS)
    if deadline < each.spec.lead_time.assumed_seconds:
        what = f"{label(each)}: progressDeadlineSeconds is {deadline}, less than a lead time"
        yield warn("probes", f"{what}: every scale-up looks like a failed rollout", "raise it")
