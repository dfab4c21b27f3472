"""What events say, in the words that schedulers, autoscalers and kubelets use.

The texts are from published `kubectl describe pod` and `kubectl get events` outputs: guides of
GoogleCloudPlatform/accelerated-platforms (use-cases/inferencing) and awslabs/data-on-eks, issue reports, and the
formats of kubernetes 1.36 (pkg/scheduler/framework/types.go, pkg/kubelet/images/image_manager.go).
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_story import PRESENT, PULLED, event, ns

from autoscaler.lead_times.event_facts import duration_seconds, event_facts, lacks_nodes, pull_seconds


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            "0/3 nodes are available: 1 Insufficient ephemeral-storage, 1 Insufficient nvidia.com/gpu, 2 node(s) "
            "didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 1 No preemption victims "
            "found for incoming pod, 2 Preemption is not helpful for scheduling.",
            True,
            id="gke-no-gpu-left",
        ),
        pytest.param(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are "
            "available: 1 Preemption is not helpful for scheduling..",
            True,
            id="a-pool-scaled-to-zero",
        ),
        pytest.param("0/2 nodes are available: 2 node(s) had untolerated taint(s).", True, id="only-other-pools-nodes"),
        pytest.param("0/4 nodes are available: 4 Insufficient pods.", True, id="a-full-node"),
        pytest.param("0/2 nodes are available: 2 Too many pods.", True, id="too-many-pods"),
        pytest.param("no nodes available to schedule pods", True, id="no-node-at-all"),
        pytest.param(
            "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.", True, id="one-pod-a-node"
        ),
        pytest.param(
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are "
            "available: 3 No preemption victims found for incoming pod.",
            False,
            id="a-volume-that-is-not-there",
        ),
        pytest.param("0/9 nodes are available: 9 node(s) were unschedulable.", False, id="cordoned"),
        pytest.param('persistentvolumeclaim "model-weights" not found', False, id="a-claim-that-is-not-there"),
        pytest.param(
            "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.", False, id="ports"
        ),
    ],
)
def test_more_nodes_would_help_where_room_or_fitting_nodes_are_missing(message: str, expected: bool) -> None:
    assert lacks_nodes(message) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(PULLED, 248.602, id="with-the-waiting-for-other-pulls"),
        pytest.param('Successfully pulled image "vllm/vllm-openai:v0.28.0" in 3m44s', 224.0, id="kubelet-1.26"),
        pytest.param(
            'Successfully pulled image "a/b" in 890ms (890ms including waiting). Image size: 890929878 bytes.',
            0.89,
            id="milliseconds",
        ),
        pytest.param('Successfully pulled image "nginx"', None, id="kubelet-1.19-has-no-duration"),
        pytest.param('Successfully pulled image "a in b" in 1h2m3.5s (1h2m3.5s including waiting)', 3723.5, id="hours"),
    ],
)
def test_a_pull_takes_what_its_event_says(message: str, expected: float | None) -> None:
    assert pull_seconds(message) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("text", ["", "5", "5 s", "-3s", "3sx", "bytes."])
def test_what_is_no_go_duration_is_none(text: str) -> None:
    assert duration_seconds(text) is None


@given(st.text(max_size=200))
def test_no_message_breaks_the_reading(text: str) -> None:
    lacks_nodes(text)
    seconds = pull_seconds(f"Successfully pulled image {text}")
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        pytest.param(
            "TriggeredScaleUp", "pod triggered scale-up: [{aks-gretelgpu-27672801-vmss 0->1 (max: 3)}]", id="ca"
        ),
        pytest.param("Nominated", "Pod should schedule on: nodeclaim/gpu-ljvhl", id="karpenter"),
    ],
)
def test_an_autoscaler_that_takes_a_pod_up_is_noticed(reason: str, message: str) -> None:
    found = event_facts(event(reason, 2, message))
    assert found is not None
    assert found[1].scale_up_ns == ns(2)


def test_microseconds_go_before_whole_seconds_and_a_series_counts_once() -> None:
    """The scheduler writes by events.k8s.io: eventTime, and no firstTimestamp."""
    told = event("Scheduled", 74, "Successfully assigned inference/vllm to gpu-1")
    told |= {"firstTimestamp": None, "eventTime": "2026-09-04T20:15:15.250000Z", "series": {"count": 5}}
    found = event_facts(told)
    assert found is not None
    assert found[1].scheduled_ns == ns(74.25)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"reason": "Scheduled", "involvedObject": {"kind": "Node", "uid": "n"}}, id="of-a-node"),
        pytest.param({**event("BackOff", 1)}, id="of-no-meaning"),
        pytest.param({"reason": "Scheduled", "involvedObject": {"kind": "Pod"}}, id="of-nobody"),
        pytest.param({**event("Scheduled", 1), "firstTimestamp": None}, id="without-a-time"),
        pytest.param({}, id="empty"),
    ],
)
def test_other_events_say_nothing(other: dict[str, Any]) -> None:
    assert event_facts(other) is None


def test_events_api_names_are_read_too() -> None:
    told = event("Pulled", 300, PRESENT)
    told = {
        "reason": "Pulled",
        "note": PRESENT,
        "regarding": told["involvedObject"],
        "eventTime": "2026-09-04T20:19:01Z",
    }
    found = event_facts(told)
    assert found is not None
    assert found[1].pull_seconds(until_ns=ns(301)) == (False, 0.0)
