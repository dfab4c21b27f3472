"""How syncs are put together from what was recorded, and what a healthy cluster hardly ever does. Runs without one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from audit_log import Request, unix_ns
from decision_log import DecisionLog, Logged, read_decision_log
from kube_api import Object
from metric_replies import asks
from pod_history import PodChange, views
from recording_proxy import Reply
from sync_join import Recording, recorded_hpas
from sync_replay import compare

from policies.hpa import ControllerOptions
from policies.snapshot import MetricQuery, Pod

pytestmark = pytest.mark.e2e

WAITING = "vllm:num_requests_waiting"
SPEC: Object = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
    "minReplicas": 1,
    "maxReplicas": 5,
    "metrics": [
        {"type": "Pods", "pods": {"metric": {"name": WAITING}, "target": {"type": "AverageValue", "averageValue": "5"}}}
    ],
}
QUERY = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/n/pods/%2A/{WAITING}?labelSelector=app%3Dvllm"


def request(at: int, verb: str, resource: str, name: str = "vllm", *, status: int = 200, **more: object) -> Request:
    known: Object = {"audit_id": f"at-{at}", "received_ns": at, "answered_ns": at, "uri": "", "group": "apps"}
    return Request(verb=verb, resource=resource, name=name, namespace="n", status=status, **(known | more))


def read(at: int, replicas: int) -> Request:
    scale = {"spec": {"replicas": replicas}, "status": {"replicas": replicas, "selector": "app=vllm"}}
    return request(at, "get", "deployments/scale", reply=scale)


def ask(at: int) -> Request:
    return request(at, "get", f"pods/{WAITING}", "*", uri=QUERY, group="custom.metrics.k8s.io")


def write(at: int, replicas: int, *, status: int = 200) -> Request:
    return request(at, "update", "deployments/scale", status=status, sent={"spec": {"replicas": replicas}})


def report(at: int, current: int, desired: int, able: str, *, limited: str = "False", status: int = 200) -> Request:
    reasons = {
        "AbleToScale": ("True", able),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": (limited, "DesiredWithinRange"),
    }
    conditions = [{"type": kind, "status": pair[0], "reason": pair[1]} for kind, pair in reasons.items()]
    metric = {"type": "Pods", "pods": {"metric": {"name": WAITING}, "current": {"averageValue": "15"}}}
    body = {
        "currentReplicas": current,
        "desiredReplicas": desired,
        "conditions": conditions,
        "currentMetrics": [metric],
    }
    sent = {"spec": SPEC, "status": body}
    return request(at, "update", "horizontalpodautoscalers/status", "queue", status=status, sent=sent)


def proposed(at: int, replicas: int) -> Logged:
    return Logged(at, "Deployment/n/vllm", replicas, f"pods metric {WAITING}")


def appeared(at: int, name: str, *, phase: str = "Running") -> PodChange:
    pod = Pod(name=name, phase=phase, ready="True")  # type: ignore[arg-type]
    return PodChange(at_ns=at, namespace="n", labels={"app": "vllm"}, uid=name, pod=pod)


def recording(requests: Sequence[Request], proposals: Sequence[Logged]) -> Recording:
    """Every request for the metric is answered with 15, of pod a."""
    item = {"describedObject": {"name": "a"}, "value": "15", "timestamp": "2026-11-21T10:00:00Z"}
    asked = [one for one in requests if one.uri]
    return Recording(
        options=ControllerOptions(),
        requests=requests,
        log=DecisionLog(proposals=tuple(proposals)),
        replies={one.audit_id: Reply(200, {"items": [item]}) for one in asked},
        pods=[appeared(0, "a")],
    )


UP = [read(1, 1), ask(2), write(4, 3), report(5, 1, 3, "SucceededRescale"), read(9, 3)]


def test_a_sync_is_from_one_read_of_the_scale_to_the_next() -> None:
    """15 waiting at a target of 5 are 3 replicas: seen, proposed, written, reported; the next has no end yet."""
    (hpa,) = recorded_hpas(recording(UP, [proposed(3, 3)]))
    (sync,) = hpa.syncs
    assert (sync.at_ns, sync.replicas, hpa.cut_off) == (3, 1, 1)
    assert (sync.answer.proposed, sync.answer.written, sync.answer.status.desired_replicas) == (3, 3, 3)
    assert compare([hpa]).matched == 1


def test_the_last_sync_is_until_the_hpa_is_gone() -> None:
    known = recording([*UP, ask(10)], [proposed(3, 3), proposed(11, 3)])
    gone = replace(known.log, deletions=(Logged(19, "n/other"), Logged(29, "n/queue")))
    (hpa,) = recorded_hpas(replace(known, log=gone))
    assert (len(hpa.syncs), hpa.cut_off) == (2, 0)


def test_a_write_that_is_tried_again_is_of_the_same_sync() -> None:
    """After a conflict the controller reads the scale once more, and writes what it had decided."""
    tried = [read(1, 1), ask(2), write(4, 3, status=409), read(5, 2), write(6, 3)]
    (hpa,) = recorded_hpas(recording([*tried, report(7, 1, 3, "SucceededRescale"), read(9, 3)], [proposed(3, 3)]))
    assert [(sync.replicas, sync.answer.written) for sync in hpa.syncs] == [(1, 3)]
    assert compare([hpa]).matched == 1


def test_a_status_that_could_not_be_written_is_compared_all_the_same() -> None:
    """It was computed; the next sync starts from the scale that was written, and from the status of before."""
    refused = [*UP[:3], report(5, 1, 3, "SucceededRescale", status=409)]
    later = [read(9, 3), ask(10), report(12, 3, 3, "ReadyForNewScale"), read(19, 3)]
    (hpa,) = recorded_hpas(recording([*refused, *later], [proposed(3, 3), proposed(11, 3)]))
    assert [sync.status_write_failed for sync in hpa.syncs] == [True, False]
    assert compare([hpa]).matched == 2


def test_what_follows_a_sync_that_cannot_be_replayed_is_not_replayed_either() -> None:
    """Of two syncs the first has no reply: both are unmatched, and none is taken to be equal."""
    again = [ask(10), read(19, 3)]
    known = recording([*UP, *again], [proposed(3, 3), proposed(11, 3)])
    (hpa,) = recorded_hpas(replace(known, replies={"at-10": known.replies["at-10"]}))
    found = compare([hpa])
    assert (found.matched, len(found.mismatches), len(found.lost)) == (0, 0, 2)
    assert f"no reply of {QUERY} is known" in found.lost[0]


def test_pods_as_they_were_at_another_time_are_tried_and_counted() -> None:
    """Without pods nothing could have been computed; just before or after there was one, which gives the answer."""
    (hpa,) = recorded_hpas(recording(UP, [proposed(3, 3)]))
    (sync,) = hpa.syncs
    found = compare([replace(hpa, syncs=(replace(sync, views=((), *sync.views)),))])
    assert (found.matched, found.ambiguous, found.resolved) == (1, 1, 1)
    assert len(compare([replace(hpa, syncs=(replace(sync, views=((),)),))]).mismatches) == 1


def test_views_are_the_nearest_first_and_each_once() -> None:
    changes = (appeared(10, "a"), appeared(20, "b"), appeared(25, "b"), appeared(40, "c"))
    seen = views(changes, "app=vllm", at_ns=30, slack_ns=11)
    assert [[pod.name for pod in view] for view in seen] == [["a", "b"], ["a", "b", "c"], ["a"]]
    assert views(changes, "app=other", at_ns=30, slack_ns=10) == ((),)


@pytest.mark.parametrize(
    ("query", "uri", "is_its"),
    [
        (MetricQuery(type="Pods", name=WAITING), QUERY, True),
        (MetricQuery(type="Pods", name="vllm:num_requests_running"), QUERY, False),
        (MetricQuery(type="Pods", name=WAITING), QUERY.replace("vllm", "other", 1), False),
        (
            MetricQuery(type="External", name="Prompts", selector=(("a", "b"), ("c", "d"))),
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/n/prompts?labelSelector=a%3Db%2Cc%3Dd",
            True,
        ),
        (
            MetricQuery(type="External", name="Prompts"),
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/n/prompts?labelSelector=a%3Db",
            False,
        ),
        (
            MetricQuery(type="Object", name="queue", object_name="Service/vllm"),
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/n/services/vllm/queue",
            True,
        ),
        (
            MetricQuery(type="Resource", name="cpu"),
            "/apis/metrics.k8s.io/v1beta1/namespaces/n/pods?labelSelector=app%3Dvllm",
            True,
        ),
    ],
)
def test_which_request_is_a_querys(query: MetricQuery, uri: str, is_its: bool) -> None:
    assert asks(query, uri, pod_selector="app=vllm") == is_its


def test_the_controllers_log(tmp_path: Path) -> None:
    """A line of each kind as the controller of 1.36.3 wrote them; klog writes local time, and no year."""
    log = tmp_path / "log"
    log.write_text(
        'I0102 03:04:05.000006  11 horizontal.go:901] "Proposing desired replicas from zero" desiredReplicas=3 metric="'
        'external metric prompts(nil)" tolerances={} timestamp="2026-01-02 03:04:05" scaleTarget="Deployment/n/vllm"\n'
        'I0102 03:04:05.000007  11 horizontal.go:982] "Successfully rescaled" HPA="n/queue" currentReplicas=0 '
        'desiredReplicas=3 reason="external metric prompts(nil) above target"\n'
        'I0102 03:04:05.000009  11 horizontal.go:521] "Horizontal Pod Autoscaler has been deleted" HPA="n/queue"\n'
    )
    found = read_decision_log(log)
    (proposal,), (rescale,), (deletion,) = found.proposals, found.rescales, found.deletions
    assert (proposal.of, proposal.replicas, proposal.metric) == ("Deployment/n/vllm", 3, "external metric prompts(nil)")
    assert (rescale.of, rescale.replicas, deletion.of) == ("n/queue", 3, "n/queue")
    assert (rescale.at_ns - proposal.at_ns, deletion.at_ns - rescale.at_ns) == (1000, 2000)


def test_instants_keep_their_microseconds() -> None:
    assert unix_ns("1970-01-01T00:00:01.000002Z") == 1_000_002_000
