"""From a pod's objects to its lead time, or to why it is evidence of none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pod_story import NO_GPU, PRESENT, PULLED, event, node, ns, pod

from autoscaler.lead_times.event_facts import EventFacts, event_facts
from autoscaler.lead_times.lead_time import LeadTime, Path
from autoscaler.lead_times.node_facts import node_facts
from autoscaler.lead_times.pod_facts import pod_facts
from autoscaler.lead_times.timeline import Timeline, joined, lead_time_of

Json = dict[str, Any]

GKE_COLD_START = [
    pod(unschedulable=NO_GPU),
    event("FailedScheduling", 0, NO_GPU),
    event("TriggeredScaleUp", 2, "Pod triggered scale-up: [{https://www.googleapis.com/compute/v1/projects/"),
    event(
        "FailedScheduling", 37, "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient nvidia."
    ),
    event(
        "FailedScheduling", 52, "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. no new claims to deallocate"
    ),
    event("Scheduled", 74, "Successfully assigned inference/vllm-86d74d98f8-8d8mj to gke-inference-gpu"),
    pod(scheduled=74),
    event("Pulling", 77, 'Pulling image "vllm/vllm-openai:v0.27.1"', container="vllm"),
    event("Pulled", 325, PULLED, container="vllm"),
    event("Created", 326, "Container created", container="vllm"),
    event("Started", 326, "Container started", container="vllm"),
    event("Unhealthy", 459, "Readiness probe failed"),
    pod(scheduled=74, started=326),
    pod(scheduled=74, started=326, ready=622),
]
"""vLLM 0.27.1 on a GPU pool of GKE 1.35 that was scaled to zero, as its events were published; the readiness is by the
first token, 623 s after the request."""


def timeline_of(objects: list[Json]) -> Timeline:
    pods = [pod_facts(each) for each in objects if "spec" in each]
    timeline = Timeline(pod=pods[0])
    for facts in pods:
        timeline = joined(timeline, pod=facts)
    for each in objects:
        if "reason" in each and (found := event_facts(each)) is not None:
            timeline = joined(timeline, events=found[1])
    return timeline


def evidence(objects: list[Json], **options: Any) -> LeadTime:
    found = lead_time_of(timeline_of(objects), **{"node": None, **options})
    assert isinstance(found, LeadTime), found
    return found


def test_a_cold_start_takes_the_time_of_its_node_its_image_and_its_model() -> None:
    found = evidence(GKE_COLD_START, node=node_facts(node(created=38, ready=50, spot=True)))
    steps = found.steps
    assert (steps.node_seconds, steps.load_seconds) == (74.0, 296.0)
    assert steps.pull_seconds == pytest.approx(248.602)
    assert steps.start_seconds == pytest.approx(252 - 248.602)
    assert steps.total_seconds == pytest.approx(622)
    assert found.path == Path(node="NewNode", image="Pulled", spot=True)
    assert (found.zone, found.revision, found.ready_ns) == ("us-central1-a", "86d74d98f8", ns(622))


def test_without_the_node_the_autoscaler_is_believed() -> None:
    assert evidence(GKE_COLD_START).path.node == "NewNode"


def test_a_pod_on_a_node_that_was_there_takes_the_warm_path() -> None:
    story = [
        event("Pulled", 3, PRESENT, container="vllm"),
        pod(scheduled=1, started=4),
        pod(scheduled=1, started=4, ready=124),
    ]
    found = evidence(story, node=node_facts(node(created=-9000, ready=-8900)), asked_ns=ns(-2.5))
    assert found.path == Path(node="WarmNode", image="Cached")
    assert found.steps.ask_seconds == 2.5
    assert found.steps.total_seconds == 126.5


def test_a_node_that_was_on_its_way_counts_as_new() -> None:
    """Another pod had asked for it; this one waited for it all the same."""
    story = [pod(), pod(scheduled=60, started=61, ready=100)]
    assert evidence(story, node=node_facts(node(created=-40, ready=55))).path.node == "NewNode"


def test_a_node_whose_readiness_flapped_later_was_there_before() -> None:
    story = [pod(), pod(scheduled=1, started=2, ready=60)]
    assert evidence(story, node=node_facts(node(created=-9000, ready=3000))).path.node == "WarmNode"


def test_a_placeholder_that_makes_room_by_preemption_is_a_warm_node() -> None:
    story = [pod(unschedulable=NO_GPU, nominated="gpu-1"), pod(scheduled=33, started=35, ready=95)]
    assert evidence(story, node=node_facts(node(created=-500, ready=-450))).path.node == "WarmNode"


def test_an_old_kubelet_is_read_by_the_time_between_its_events() -> None:
    story = [
        event("Pulling", 3, 'Pulling image "x"', container="vllm"),
        event("Pulled", 43, 'Successfully pulled image "x"', container="vllm"),
        pod(scheduled=1, started=44),
        pod(scheduled=1, started=44, ready=100),
    ]
    found = evidence(story, node=node_facts(node(created=-500)))
    assert (found.path.image, found.steps.pull_seconds) == ("Pulled", 40.0)


OLD_NODE = node_facts(node(created=-9000, ready=-8900))


@pytest.mark.parametrize(
    ("story", "why"),
    [
        pytest.param([pod(scheduled=0, started=0)], None, id="not-ready-yet"),
        pytest.param([pod(scheduled=0, started=0, ready=0)], "ReadyAtOnce", id="nobody-waited"),
        pytest.param([pod(scheduled=1, started=90, ready=200, restarts=1)], "Restarted", id="it-crashed-while-loading"),
        pytest.param([pod(gated=True), pod(scheduled=60, started=61, ready=90)], "SchedulingGated", id="gated"),
        pytest.param(
            [
                pod(unschedulable="0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
                pod(scheduled=300, started=301, ready=400),
            ],
            "UnschedulableOtherwise",
            id="it-waited-for-a-volume",
        ),
        pytest.param(
            [pod(unschedulable=NO_GPU), pod(scheduled=900, started=901, ready=1000)],
            "WaitedForRoom",
            id="another-workload-left",
        ),
        pytest.param([pod(), pod(scheduled=5, started=1, ready=90)], "ClockSkew", id="started-before-it-was-scheduled"),
        pytest.param([pod(), pod(scheduled=1, started=2, ready=7300)], "TooLong", id="over-two-hours"),
        pytest.param([pod(scheduled=1, started=2, ready=3000)], "TooLong", id="ready-again-before-it-was-first-seen"),
        pytest.param([pod(), pod(scheduled=1, ready=90)], "Incomplete", id="without-container-statuses"),
    ],
)
def test_what_is_no_evidence_says_why(story: list[Json], why: str | None) -> None:
    assert lead_time_of(timeline_of(story), node=OLD_NODE) == why


def test_the_second_that_the_api_cuts_off_is_no_clock_skew() -> None:
    assert evidence([pod(), pod(scheduled=2, started=1, ready=60)], node=OLD_NODE).steps.start_seconds == 0.0


def test_ready_again_after_a_failed_probe_changes_nothing() -> None:
    story = [pod(), pod(scheduled=1, started=2, ready=60), pod(scheduled=1, started=2, ready=5000)]
    assert evidence(story, node=OLD_NODE).steps.total_seconds == 60.0


@pytest.mark.parametrize(
    ("other", "is_evidence"),
    [
        pytest.param(pod("old", created=-500, revision="other"), False, id="an-old-revision-is-still-there"),
        pytest.param(pod("old", created=-500, revision="other", deleted=-5), True, id="all-old-ones-were-gone"),
        pytest.param(pod("old", created=-500, revision="other", deleted=5), False, id="it-was-deleted-after"),
        pytest.param(pod("new", created=5, revision="other"), True, id="the-next-revision-came-later"),
        pytest.param(pod("same", created=-500), True, id="a-sibling"),
    ],
)
def test_pods_of_a_rolling_update_are_no_scale_up(other: Json, is_evidence: bool) -> None:
    story = [pod(), pod(scheduled=1, started=2, ready=60)]
    found = lead_time_of(timeline_of(story), node=OLD_NODE, others=[pod_facts(other)])
    assert isinstance(found, LeadTime) is is_evidence
    assert is_evidence or found == "Rollout"


def test_a_stateful_sets_ordinal_is_known_without_the_label_too() -> None:
    found = evidence(
        [pod("vllm-12", owner="StatefulSet"), pod("vllm-12", owner="StatefulSet", scheduled=1, started=2, ready=60)],
        node=OLD_NODE,
    )
    assert found.ordinal == 12


@settings(max_examples=60)
@given(st.permutations(GKE_COLD_START))
def test_the_order_in_which_watches_bring_it_does_not_matter(objects: list[Json]) -> None:
    new_node = node_facts(node(created=38, ready=50))
    assert evidence(objects, node=new_node) == evidence(GKE_COLD_START, node=new_node)


_SECONDS = st.integers(-100, 8000)


@settings(max_examples=300)
@given(
    scheduled=_SECONDS,
    started=_SECONDS,
    ready=_SECONDS,
    node_created=_SECONDS,
    pulled=_SECONDS,
    pull=st.integers(0, 900),
)
def test_no_step_is_ever_negative(
    scheduled: int, started: int, ready: int, node_created: int, pulled: int, pull: int
) -> None:
    story = [
        pod(unschedulable=NO_GPU),
        pod(scheduled=scheduled, started=started, ready=ready),
        event(
            "Pulled", pulled, f'Successfully pulled image "x" in {pull}s ({pull}s including waiting)', container="vllm"
        ),
    ]
    found = lead_time_of(timeline_of(story), node=node_facts(node(created=node_created)))
    if isinstance(found, LeadTime):
        steps = found.steps
        parts = (steps.ask_seconds, steps.node_seconds, steps.pull_seconds, steps.start_seconds, steps.load_seconds)
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(steps.total_seconds)
        assert 1 <= steps.total_seconds <= 7200


def test_facts_of_no_events_change_nothing() -> None:
    timeline = timeline_of(GKE_COLD_START)
    assert joined(timeline, events=EventFacts()) == timeline
