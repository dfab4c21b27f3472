"""Whether the controller is installed, runs, and sees the same time as everybody else."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from autoscaler.crd.custom_resource import custom_resource_definition
from autoscaler.leader.record import record_of
from leadtime.doctor.finding import Finding, fail, ok, warn
from leadtime.doctor.gathered import Gathered
from leadtime.pod_template import conditions_of

CONTROLLER = "leadtime-controller"
NAMESPACE = "leadtime-system"
_APPLY = "kubectl apply -k manifests/controller/base"

_WARN_SKEW_SECONDS, _FAIL_SKEW_SECONDS = 5.0, 60.0
"""A sample that is a scrape old is fresh; one that is four old is not: metrics are judged by their age."""
_LEASES = 2
"""Lease durations without a renewal after which nobody leads: another would have taken over after one."""


def check_installation(gathered: Gathered) -> Iterator[Finding]:
    yield from _unread(gathered)
    yield from _crd(gathered)
    if gathered.source == "cluster":
        yield from _controller(gathered)
        yield from _lease(gathered)
        yield from _clock(gathered)


def _unread(gathered: Gathered) -> Iterator[Finding]:
    """What the person who asks may not see is no fault of the cluster."""
    for what, why in gathered.unread.items():
        yield warn("access", f"{what} could not be read: {why}", "ask for the right, or let an administrator run this")
    if gathered.source == "cluster" and not gathered.unread:
        yield ok("access", "everything that is checked could be read")


def _crd(gathered: Gathered) -> Iterator[Finding]:
    crd = gathered.crd
    if crd is None:
        if gathered.source == "cluster" and "CustomResourceDefinition" not in gathered.unread:
            yield fail("crd", "the CRD predictiveautoscalers.autoscaling.leadtime.dev is not installed", _APPLY)
        return
    if gathered.source == "cluster":
        established = dict(conditions_of(crd)).get("Established", {})
        if established.get("status") != "True":
            yield fail("crd", f"the CRD is not established: {established.get('message', 'no word')}", _APPLY)
            return
    missing = sorted(_fields(custom_resource_definition()) - _fields(crd))
    if missing:
        some = ", ".join(missing[:3])
        yield fail("crd", f"the CRD is of another release: it lacks {some}{' and more' if missing[3:] else ''}", _APPLY)
    elif _schema(crd) != _schema(custom_resource_definition()):
        yield warn("crd", "the CRD differs from this release's in ranges, defaults or texts", _APPLY)
    else:
        yield ok("crd", "the CRD is current" if gathered.source == "manifests" else "the CRD is installed and current")


def _schema(crd: Mapping[str, Any]) -> Any:
    versions = (crd.get("spec") or {}).get("versions") or [{}]
    return (versions[0].get("schema") or {}).get("openAPIV3Schema")


def _fields(crd: Mapping[str, Any]) -> set[str]:
    return set(_paths(_schema(crd) or {}, ""))


def _paths(schema: Mapping[str, Any], at: str) -> Iterator[str]:
    for name, inner in (schema.get("properties") or {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _paths(inner, path)
        yield from _paths(inner.get("items") or {}, f"{path}[]")


def _controller(gathered: Gathered) -> Iterator[Finding]:
    deployment = gathered.controller
    if deployment is None:
        if f"Deployment {CONTROLLER}" not in gathered.unread:
            yield fail("controller", f"no Deployment {CONTROLLER} in namespace {NAMESPACE}", _APPLY)
        return
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    available = (deployment.get("status") or {}).get("availableReplicas", 0)
    logs = f"kubectl logs -n {NAMESPACE} deployment/{CONTROLLER}, and kubectl describe of its pods"
    if available < 1:
        yield fail("controller", f"none of the controller's {wanted} replicas is available", logs)
    elif available < wanted:
        yield warn("controller", f"{available} of the controller's {wanted} replicas are available", logs)
    else:
        yield ok("controller", f"{available} of {wanted} replicas are available")


def _lease(gathered: Gathered) -> Iterator[Finding]:
    if gathered.lease is None or gathered.clocks is None:
        if gathered.lease is None and f"Lease {CONTROLLER}" not in gathered.unread:
            yield fail("leader", f"no Lease {CONTROLLER} in namespace {NAMESPACE}: no controller ever led", _APPLY)
        return
    record = record_of(gathered.lease)
    age = None
    if record.renew_time:
        renewed = datetime.fromisoformat(record.renew_time).replace(tzinfo=UTC).timestamp()
        age = gathered.clocks.server_seconds - renewed
    if not record.holder or age is None:
        yield fail("leader", "nobody leads: the Lease has no holder", f"look at the pods of {NAMESPACE}")
    elif age > _LEASES * max(record.duration_seconds, 1):
        what = f"nobody leads: {record.holder} last renewed the Lease {age:.0f} s ago"
        yield fail("leader", what, f"look at the pods of {NAMESPACE}")
    else:
        yield ok("leader", f"{record.holder} leads; it renewed the Lease {max(age, 0.0):.0f} s ago")


def _clock(gathered: Gathered) -> Iterator[Finding]:
    if gathered.clocks is None:
        return
    skew = gathered.clocks.own_seconds - gathered.clocks.server_seconds
    remedy = "synchronise it (chrony, systemd-timesyncd); where it runs on a node of the cluster, that node's"
    what = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server's"
    if abs(skew) > _FAIL_SKEW_SECONDS:
        yield fail("clock", what, remedy)
    elif abs(skew) > _WARN_SKEW_SECONDS:
        yield warn("clock", what, remedy)
    else:
        yield ok("clock", "this machine's clock agrees with the API server's to the second it tells")
