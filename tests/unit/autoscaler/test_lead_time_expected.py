"""What many lead times say about the next step's."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.lead_times.lead_time import LeadTime, NodeKind, Path, Steps
from autoscaler.lead_times.lead_times import KEPT, LeadTimes, quantile_seconds
from autoscaler.lead_times.step import LONGEST_SECONDS, UNKNOWN_ROOM, Room, Step, step_seconds
from autoscaler.lead_times.summary import summary_of
from policies.snapshot import NS_PER_SECOND

ASSUMED = 240.0


def lead_time(
    number: int,
    seconds: float,
    node: NodeKind = "WarmNode",
    *,
    ordinal: int | None = None,
    zone: str = "a",
    returning: bool = False,
) -> LeadTime:
    """Of pod `number`, created an hour after the one before; a new node takes half of its seconds."""
    wait = seconds / 2 if node == "NewNode" else 0.0
    return LeadTime(
        pod_uid=f"uid-{number}",
        pod=f"vllm-{number}",
        created_ns=number * 3600 * NS_PER_SECOND,
        steps=Steps(node_seconds=wait, pull_seconds=0, start_seconds=2, load_seconds=seconds - wait - 2),
        path=Path(node=node, image="Cached", returning=returning),
        zone=zone,
        ordinal=ordinal,
    )


def of(warm: int = 0, new: int = 0) -> LeadTimes:
    """So many pods of 60 s on warm nodes, then of 300 s on new ones."""
    pods = [lead_time(number, 60) for number in range(warm)]
    return LeadTimes.of([*pods, *(lead_time(warm + number, 300, "NewNode") for number in range(new))])


@pytest.mark.parametrize(
    ("seen", "node", "expected"),
    [
        pytest.param(of(), "WarmNode", 240.0, id="nothing-seen-is-what-was-assumed"),
        pytest.param(of(), "NewNode", 240.0, id="nothing-seen-on-new-nodes-either"),
        pytest.param(of(warm=3), "WarmNode", 150.0, id="three-pods-weigh-as-much-as-the-assumption"),
        pytest.param(of(warm=47), "WarmNode", (3 * 240 + 47 * 60) / 50, id="many-pods-outweigh-it"),
        pytest.param(of(warm=47), "NewNode", 240.0, id="warm-pods-say-nothing-of-new-nodes"),
        pytest.param(of(new=3), "WarmNode", 240.0, id="a-warm-node-takes-no-longer-than-assumed"),
        pytest.param(of(warm=3, new=3), "NewNode", 270.0, id="each-kind-of-node-by-its-own"),
        pytest.param(
            LeadTimes.of([lead_time(1, 900)]), "NewNode", 405.0, id="a-new-node-is-never-sooner-than-a-warm-one"
        ),
    ],
)
def test_one_pod_takes_the_mean_of_its_kind(seen: LeadTimes, node: NodeKind, expected: float) -> None:
    assert seen.expected_seconds(ASSUMED, node) == pytest.approx(expected)


def test_a_pod_that_hung_counts_as_three_medians() -> None:
    seen = LeadTimes.of([*(lead_time(number, 60) for number in range(9)), lead_time(9, 7000)])
    assert seen.expected_seconds(ASSUMED, "WarmNode") == pytest.approx((3 * 240 + 9 * 60 + 180) / 13)


def test_only_the_latest_pods_count_so_that_a_faster_image_shows() -> None:
    slow = [lead_time(number, 500) for number in range(KEPT)]
    fast = [lead_time(KEPT + number, 60) for number in range(KEPT)]
    seen = LeadTimes.of([*fast, *slow])
    assert len(seen) == KEPT
    assert seen.expected_seconds(ASSUMED, "WarmNode") == pytest.approx((3 * 240 + 50 * 60) / 53)


@pytest.mark.parametrize(
    ("step", "room", "expected"),
    [
        pytest.param(Step(), Room(replicas=1), 150.0, id="one-that-fits"),
        pytest.param(Step(), Room(replicas=0), 270.0, id="one-that-needs-a-node"),
        pytest.param(Step(replicas=4), Room(replicas=4), 150.0, id="all-fit"),
        pytest.param(Step(replicas=4), Room(replicas=3), 270.0, id="the-last-one-needs-a-node"),
        pytest.param(Step(replicas=4), UNKNOWN_ROOM, 210.0, id="half-of-the-latest-pods-needed-one"),
        pytest.param(Step(replicas=4, in_order=True), Room(replicas=3), 3 * 150.0 + 270.0, id="in-order-they-add-up"),
        pytest.param(
            Step(replicas=100, in_order=True), Room(replicas=0), LONGEST_SECONDS, id="no-farther-than-two-hours"
        ),
    ],
)
def test_a_step_takes_until_its_last_replica_serves(step: Step, room: Room, expected: float) -> None:
    assert step_seconds(of(warm=3, new=3), step, room, ASSUMED) == pytest.approx(expected)


def test_an_ordinal_that_comes_back_has_its_volume_and_its_zone() -> None:
    """vllm-0 served in zone a and loaded for 300 s first, 60 s since; room is only in zone b."""
    first = [lead_time(number, 300, ordinal=0) for number in range(10)]
    again = [lead_time(10 + number, 60, ordinal=0, returning=True) for number in range(10)]
    seen = LeadTimes.of([*first, *again])
    back, other = Step(ordinals=(0,)), Step(ordinals=(1,))
    in_b = Room(replicas=5, by_zone={"b": 5})
    in_a = Room(replicas=5, by_zone={"a": 1, "b": 4})
    assert step_seconds(seen, back, in_a, ASSUMED) < 100 < step_seconds(seen, other, in_a, ASSUMED)
    assert step_seconds(seen, back, in_b, ASSUMED) == seen.expected_seconds(ASSUMED, "NewNode", returning=True)
    assert step_seconds(seen, other, in_b, ASSUMED) == seen.expected_seconds(ASSUMED, "WarmNode")


def test_the_sentence_gives_the_median_and_its_steps() -> None:
    pods = [lead_time(number, 100) for number in range(4)] + [lead_time(9 + n, 240, "NewNode") for n in range(8)]
    summary = summary_of(LeadTimes.of(pods), ASSUMED)
    assert summary.sentence == "median 240 s over 12 pods: node 120, start 2, load 118; new node 8 of 12"
    assert [(str(row.path), row.pods, row.median_seconds, row.p90_seconds) for row in summary.paths] == [
        ("new node, image cached", 8, 240.0, 240.0),
        ("warm node, image cached", 4, 100.0, 100.0),
    ]


def test_without_a_pod_the_sentence_says_what_is_assumed() -> None:
    assert summary_of(LeadTimes(), ASSUMED).sentence.startswith("assumed 240 s: no pod was seen")
    assert of().new_node_share is None


_PODS = st.lists(
    st.tuples(st.integers(0, 99), st.floats(4, 7200), st.sampled_from(("WarmNode", "NewNode"))), max_size=80
)


@given(_PODS, st.integers(1, 12), st.integers(0, 12), st.booleans(), st.floats(1, 7200))
def test_a_larger_step_or_less_room_never_takes_less(
    pods: list[tuple[int, float, NodeKind]], replicas: int, room: int, in_order: bool, assumed: float
) -> None:
    seen = LeadTimes.of(lead_time(*each) for each in pods)

    def seconds(replicas: int, room: int) -> float:
        return step_seconds(seen, Step(replicas=replicas, in_order=in_order), Room(replicas=room), assumed)

    assert 0 < seconds(replicas, room) <= seconds(replicas + 1, room) <= LONGEST_SECONDS
    assert seconds(replicas, room + 1) <= seconds(replicas, room)


@given(_PODS.filter(bool))
def test_the_order_in_which_pods_are_added_does_not_matter(pods: list[tuple[int, float, NodeKind]]) -> None:
    """As long as each is a pod of its own; the first of a uid and path stays out when the last one comes."""
    each = {number: lead_time(number, seconds, node) for number, seconds, node in pods}.values()
    added = LeadTimes()
    for one in each:
        added = added.added(one)
    assert added == LeadTimes.of(reversed(list(each)))
    assert quantile_seconds(list(added), 0.5) == pytest.approx(median(one.steps.total_seconds for one in added))
