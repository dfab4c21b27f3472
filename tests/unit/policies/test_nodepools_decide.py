"""The floor of a pool over time: each row is a rule of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import BadInput
from policies.nodepools.decide import Headroom, NodeDecision, PoolCondition, PoolState, decide
from policies.nodepools.pool_seen import NodeSeen, PoolSeen, WorkloadNeed
from policies.nodepools.spec import PoolSpec, SpotTerms
from policies.nodepools.stockout import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, PATIENCE
from policies.snapshot import NS_PER_SECOND

START_NS = 1_800_000_000 * NS_PER_SECOND
SPEC = PoolSpec(name="gpu", gpus_per_node=4, max_nodes=10, cooldown_seconds=300.0, provision_seconds=100.0)
HEADROOM = Headroom()


def at(second: float) -> int:
    return START_NS + round(second * NS_PER_SECOND)


def ready(count: int, free_gpus: int = 0, name: str = "old") -> tuple[NodeSeen, ...]:
    """Nodes that stood there before anybody looked: they say nothing of how long one takes."""
    return tuple(
        NodeSeen(name=f"{name}-{each}", asked_ns=at(-9_999), ready_ns=at(-9_999), free_gpus=free_gpus)
        for each in range(count)
    )


def coming(count: int, asked: float, name: str = "new") -> tuple[NodeSeen, ...]:
    return tuple(
        NodeSeen(name=f"{name}-{each}", asked_ns=at(asked), ready_ns=None, free_gpus=4) for each in range(count)
    )


def needs(replicas: int, needed: int | None = 0, placed: int | None = None, gpus: int = 1) -> WorkloadNeed:
    return WorkloadNeed(
        name="chat",
        gpus_per_replica=gpus,
        replicas=replicas,
        placed_replicas=replicas if placed is None else placed,
        needed_replicas=needed,
    )


@dataclass
class Pool:
    """A pool that is told and looks at itself."""

    spec: PoolSpec = SPEC
    state: PoolState = field(default_factory=PoolState)

    def step(self, second: float, seen: PoolSeen) -> NodeDecision:
        decision, self.state = decide(self.spec, HEADROOM, self.state, seen, at(second))
        return decision


def full(nodes: int) -> PoolSeen:
    """All GPUs of that many nodes are taken, and needed."""
    return PoolSeen(nodes=ready(nodes), workloads=(needs(4 * nodes, 4 * nodes),))


def test_pods_that_come_to_stand_on_another_pool_are_no_peak_that_has_passed() -> None:
    """The need of all pools together is what rises and falls."""
    alone, told = Pool(), Pool()
    for pool in (alone, told):
        pool.step(0, PoolSeen(nodes=ready(4), workloads=(needs(16, 16),)))
    fallen = needs(8, 8)
    moved = replace(fallen, elsewhere_replicas=8)
    after_peak = alone.step(30, PoolSeen(nodes=ready(2), workloads=(fallen,)))
    after_move = told.step(30, PoolSeen(nodes=ready(2), workloads=(moved,)))
    assert after_peak.numbers["ahead_gpus"] > 15
    assert after_move.numbers["ahead_gpus"] == pytest.approx(8)


def test_no_room_is_held_for_replicas_that_nobody_may_ask_for() -> None:
    """After a peak its room is kept for a while, but not beyond maxReplicas."""
    after_peak = PoolSeen(nodes=ready(4), workloads=(needs(2, 2),))
    held, _ = _after_a_peak(after_peak)
    bounded = replace(after_peak, workloads=(replace(after_peak.workloads[0], max_replicas=3),))
    capped, numbers = _after_a_peak(bounded)
    assert held[1] > 4, "else nothing is shown"
    assert capped == {1: 1}
    assert numbers["ahead_gpus"] == 3.0
    lower = replace(after_peak, workloads=(replace(after_peak.workloads[0], max_replicas=1),))
    assert _after_a_peak(lower)[0] == {}, "what stands there keeps its room"


def _after_a_peak(seen: PoolSeen) -> tuple[Mapping[int, int], Mapping[str, float]]:
    """(placeholders, numbers) a minute after 16 GPUs were needed."""
    pool = Pool()
    pool.step(0, full(4))
    decision = pool.step(60, seen)
    return decision.placeholders, decision.numbers


# rows: (second, nodes that stand full, replicas needed, floor, reason)
Row = tuple[float, int, int | None, int, str]


@pytest.mark.parametrize(
    "timeline",
    [
        pytest.param([(0, 1, 4, 1, "Ready"), (30, 1, 9, 3, "Ready")], id="up-at-once"),
        pytest.param([(0, 3, 12, 3, "Ready"), (30, 3, None, 3, "NeedUnknown")], id="not-down-on-ignorance"),
        pytest.param(
            [(0, 1, 32, 8, "Ready"), (30, 1, 4, 8, "Ready"), (300, 1, 4, 8, "Cooldown"), (9_000, 1, 4, 1, "Ready")],
            id="down-when-the-peak-has-faded-and-the-cooldown-is-over",
        ),
        pytest.param([(0, 1, 60, 10, "AtMaxNodes")], id="max-nodes-is-a-state"),
        pytest.param(
            [(0, 1, 4, 1, "Ready"), (30, 1, 4, 1, "Ready"), (60, 0, 0, 1, "Ready"), (9_000, 0, 0, 0, "Ready")],
            id="to-zero-in-the-end",
        ),
        pytest.param(
            [(0, 1, 32, 8, "Ready"), (600, 1, None, 8, "NeedUnknown"), (899, 1, 4, 8, "Cooldown")],
            id="the-cooldown-begins-again-after-ignorance",
        ),
        pytest.param([(0, 6, 4, 6, "Ready"), (9_000, 6, 4, 6, "Ready")], id="never-below-the-nodes-that-hold-pods"),
    ],
)
def test_timeline(timeline: Sequence[Row]) -> None:
    pool = Pool()
    for second, nodes, needed, floor, reason in timeline:
        seen = PoolSeen(nodes=ready(nodes), workloads=(needs(4 * nodes, needed),))
        decision = pool.step(second, seen)
        assert (decision.floor_nodes, decision.reason) == (floor, reason), f"at {second} s: {decision.message}"


@pytest.mark.parametrize(
    ("spec", "seen", "floor", "condition", "missing", "words"),
    [
        pytest.param(
            replace(SPEC, max_step_nodes=2),
            PoolSeen(nodes=ready(1), workloads=(needs(32, 32, placed=4),)),
            3,
            PoolCondition.READY,
            0,
            "at most 2 a step",
            id="a-step-is-bounded",
        ),
        pytest.param(
            replace(SPEC, quota_gpus=19),
            PoolSeen(nodes=ready(1), workloads=(needs(32, 32, placed=4),)),
            4,
            PoolCondition.QUOTA_EXCEEDED,
            4,
            "the quota is 19 GPUs; 4 missing",
            id="the-stated-quota",
        ),
        pytest.param(
            replace(SPEC, other_pool="spare-zone"),
            PoolSeen(nodes=ready(2), workloads=(needs(32, 32, placed=8),), quota_refused=True),
            2,
            PoolCondition.QUOTA_EXCEEDED,
            6,
            "the quota is refused by the cloud; 6 missing, to be had from spare-zone",
            id="a-quota-that-the-cloud-names",
        ),
        pytest.param(
            SPEC,
            PoolSeen(nodes=ready(2, free_gpus=1), workloads=(needs(2, 2, gpus=3), needs(2, 2, placed=0, gpus=1))),
            2,
            PoolCondition.READY,
            0,
            "2 nodes of 4",
            id="free-gpus-are-filled-first",
        ),
        pytest.param(
            SPEC,
            PoolSeen(nodes=ready(2, free_gpus=1), workloads=(needs(2, 2, gpus=3), needs(1, 1, placed=0, gpus=2))),
            3,
            PoolCondition.READY,
            0,
            "3 nodes of 4",
            id="a-replica-does-not-span-nodes",
        ),
        pytest.param(
            replace(SPEC, min_nodes=3),
            PoolSeen(nodes=ready(3, free_gpus=4), workloads=(needs(0, 0),)),
            3,
            PoolCondition.READY,
            0,
            "3 nodes kept",
            id="min-nodes",
        ),
    ],
)
def test_the_first_decision(
    spec: PoolSpec, seen: PoolSeen, floor: int, condition: PoolCondition, missing: int, words: str
) -> None:
    decision = Pool(spec).step(0, seen)
    assert (decision.floor_nodes, decision.condition, decision.missing_nodes) == (floor, condition, missing)
    assert words in decision.message
    assert decision.other_pool == (spec.other_pool if missing else None)


def test_headroom_is_what_a_climb_took_before_in_replicas_of_the_pools_sizes() -> None:
    """18 GPUs were needed a moment ago, 5 are now: the rest is kept free, one replica of 8 and so on."""
    spec = replace(SPEC, gpus_per_node=8)
    pool = Pool(spec)
    large, small = needs(1, 1, gpus=4), replace(needs(14, 14), name="small")
    pool.step(0, PoolSeen(nodes=ready(3), workloads=(large, small)))
    few = replace(small, replicas=1, placed_replicas=1, needed_replicas=1)
    seen = PoolSeen(nodes=(*ready(1, free_gpus=3), *ready(2, free_gpus=8, name="idle")), workloads=(large, few))
    decision = pool.step(30, seen)
    assert decision.numbers["ahead_gpus"] == pytest.approx(5 + 13 * 0.967, abs=0.01)
    assert decision.placeholders == {4: 3, 1: 1}
    assert decision.numbers["wanted_nodes"] == 3, "three of 4 GPUs need two more nodes, one of 1 finds room"


def test_how_long_a_node_takes_is_learned() -> None:
    pool = Pool()
    seen = PoolSeen(nodes=ready(1), workloads=(needs(4, 4),))
    assert pool.step(0, seen).numbers["node_lead_time_seconds"] == 100.0
    came = tuple(replace(node, ready_ns=at(10 + 400)) for node in coming(3, asked=10))
    decision = pool.step(420, replace(seen, nodes=(*seen.nodes, *came)))
    assert decision.numbers["node_lead_time_seconds"] == pytest.approx((3 * 100 + 3 * 400) / 6)
    assert pool.step(450, replace(seen, nodes=came)).numbers["node_lead_time_seconds"] == pytest.approx(250), "once"


def test_a_stockout_is_said_and_asked_again_with_longer_pauses_for_one_node() -> None:
    """Three nodes never come. Tries are single nodes, 5, 10, 20 and then 30 min after the last failure."""
    pool = Pool(replace(SPEC, other_pool="spare-zone"))
    patience = PATIENCE * 100.0
    workload = needs(16, 16, placed=4)
    first = pool.step(0, PoolSeen(nodes=ready(1), workloads=(workload,)))
    assert (first.floor_nodes, first.condition) == (4, PoolCondition.READY)
    tries, second, asked, seen_nodes = [], 0.0, 0.0, 3
    for _ in range(1_200):
        second += 30
        nodes = (*ready(1), *coming(seen_nodes, asked, name=f"asked-at-{asked}"))
        decision = pool.step(second, PoolSeen(nodes=nodes, workloads=(workload,)))
        if second <= patience:
            assert decision.condition is PoolCondition.READY
            continue
        assert decision.condition is PoolCondition.STOCKED_OUT
        assert (decision.missing_nodes, decision.other_pool) in [(3, "spare-zone"), (2, "spare-zone")]
        if decision.floor_nodes == 1:
            seen_nodes = 0  # the asks are withdrawn
        elif seen_nodes == 0:
            assert decision.floor_nodes == 2, "one node is tried"
            asked, seen_nodes = second, 1
            tries.append(second)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    backoffs = [min(FIRST_BACKOFF_SECONDS * 2**n, LONGEST_BACKOFF_SECONDS) for n in range(1, len(tries))]
    assert len(pauses) >= 5
    assert pauses == pytest.approx([patience + backoff for backoff in backoffs], abs=61)


def test_a_node_that_comes_ends_a_stockout() -> None:
    pool = Pool()
    workload = needs(16, 16, placed=4)
    pool.step(0, PoolSeen(nodes=ready(1), workloads=(workload,)))
    late = PoolSeen(nodes=(*ready(1), *coming(3, asked=1)), workloads=(workload,))
    stocked_out = pool.step(400, late)
    assert stocked_out.condition is PoolCondition.STOCKED_OUT
    assert "no node came 1 times in a row, the next single one is tried in 300 s" in stocked_out.message
    came = replace(late, nodes=(*ready(1), replace(late.nodes[1], ready_ns=at(410)), *late.nodes[2:]))
    assert pool.step(430, came).condition is PoolCondition.READY, "the others have a learned patience left"
    assert pool.step(430, came).floor_nodes == 4


def test_spot_nodes_have_a_base_on_demand_and_spares_within_max_nodes() -> None:
    spot = SpotTerms(price_per_node_hour=0.3, preemptions_per_node_hour=0.2)
    spec = replace(SPEC, spot=spot, on_demand_base_share=0.25)
    decision = Pool(spec).step(0, full(8))
    assert decision.on_demand_nodes >= 2
    assert decision.spot_nodes > 0
    assert decision.floor_nodes == 8 <= decision.on_demand_nodes + decision.spot_nodes <= spec.max_nodes
    assert decision.numbers["spot_attainment"] >= HEADROOM.attainment
    plain = Pool().step(0, full(8))
    assert (plain.on_demand_nodes, plain.spot_nodes) == (8, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 600),
            st.integers(0, 12),
            st.integers(0, 4),
            st.integers(0, 3),
            st.integers(0, 60),
            st.one_of(st.none(), st.integers(0, 60)),
            st.booleans(),
        ),
        max_size=25,
    ),
    st.integers(0, 5),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(20, 60)),
)
@settings(max_examples=80)
def test_whatever_happens_the_floor_is_within_its_bounds(
    steps: list[tuple[Any, ...]], min_nodes: int, max_step: int, quota: int | None
) -> None:
    pool = Pool(replace(SPEC, min_nodes=min_nodes, max_step_nodes=max_step, quota_gpus=quota))
    second, before = 0.0, None
    for pause, nodes, free, on_way, replicas, needed, refused in steps:
        second += pause
        seen = PoolSeen(
            nodes=(*ready(nodes, free_gpus=free), *coming(on_way, second - 5 * pause)),
            workloads=(needs(replicas, needed, placed=min(replicas, nodes * (4 - free))),),
            quota_refused=refused,
        )
        decision = pool.step(second, seen)
        occupied = nodes if free < 4 else 0
        assert max(min_nodes, min(occupied, 10)) <= decision.floor_nodes <= 10
        if before is not None and needed is None:
            assert decision.floor_nodes >= before, "ignorance"
        if before is not None and decision.floor_nodes > before:
            assert decision.floor_nodes <= max(before + max_step, occupied, min_nodes)
        assert decision.message.startswith("gpu: floor")
        assert decision.on_demand_nodes == decision.floor_nodes
        before = decision.floor_nodes


def test_a_replica_larger_than_a_node_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"gpus_per_replica: was 8, must be in \[1, 4\]"):
        Pool().step(0, PoolSeen(nodes=(), workloads=(needs(1, 1, placed=0, gpus=8),)))
