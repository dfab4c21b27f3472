"""Deletion costs of pods: written where nodes differ, nobody else's touched, and taken off when nobody wants them."""

from typing import Any

import pytest
from fake_cluster_api import running_pod
from fake_pod_api import FakePodApi
from made_objects import KEY, at, autoscaler, outcome, scale

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.series import PodKey
from autoscaler.act.deletion_cost import MOST_WRITES
from autoscaler.act.writer import Writer
from autoscaler.autoscaler import PAUSED_ANNOTATION, Autoscaler
from autoscaler.cluster import Key
from autoscaler.deletion_costs import DeletionCosts
from autoscaler.explain.conditions import conditions
from autoscaler.leader.leadership import Leadership, Timing
from autoscaler.node_pools.node_worths import node_worths, on_demand_shares
from autoscaler.node_pools.seen import PLACEHOLDER_LABEL, NodeNow
from autoscaler.observe.observer import Seen
from autoscaler.observe.pod_seen import PodSeen, watched_pod
from autoscaler.outcome import Finding
from policies.nodepools.decide import Headroom
from policies.snapshot import Snapshot

SPOT_POOL = {
    "name": "spot",
    "maxNodes": 20,
    "nodeSelector": {"pool": "spot"},
    "pricePerNodeHour": 0.7,
    "spot": {"pricePerNodeHour": 0.3, "preemptionsPerNodeHour": 0.05, "onDemandInNextPool": True},
}
POOLS = [SPOT_POOL, {"name": "demand", "maxNodes": 20, "nodeSelector": {"pool": "demand"}, "pricePerNodeHour": 0.7}]


class Cluster:
    """Pods p0, p1, ... of a Deployment, each on a node of its own; the objects are looked at before each turn."""

    def __init__(self, *pools: str, **spec: Any) -> None:
        self.seconds = 0.0
        self.synced = True
        self.api = FakePodApi()
        self.nodes: dict[str, NodeNow] = {}
        self.autoscalers: dict[Key, Autoscaler] = {}
        self.unseen: set[Key] = set()
        self.older: dict[Key, Key] = {}
        for number, pool in enumerate(pools):
            self.has_pod(f"p{number}", pool)
        self.wants(**spec)
        timing = Timing(lease_duration=12, renew_deadline=8.0, retry_period=2.0)
        self.leadership = Leadership("pod", timing, lambda: self.seconds)
        self.costs = self.restarted()

    def restarted(self) -> DeletionCosts:
        """Another process, which remembers nothing."""
        self.costs = DeletionCosts(
            Writer(self.api), self, self.leadership, self, lately=self._lately, older_of=self.older.get
        )
        return self.costs

    def wants(self, key: Key = KEY, *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        given = {"nodePools": POOLS, "mode": "Direct", "podDeletionCost": "ByNode", **spec}
        self.autoscalers[key] = autoscaler(key, annotations=annotations, **given)

    def has_pod(self, name: str, pool: str, **changes: Any) -> None:
        node = f"n-{name}"
        self.nodes[node] = NodeNow(name=node, labels={"pool": pool})
        self.api.put(running_pod(name=name, node=node, **changes))

    def now_ns(self) -> int:
        return at(self.seconds)

    @property
    def pods(self) -> dict[PodKey, PodSeen]:
        seen = [watched_pod(pod).seen for pod in self.api.pods.values()]
        return {each.key: each for each in seen}

    def pods_on(self, node: str) -> list[PodSeen]:
        return [pod for pod in self.pods.values() if pod.node == node]

    async def turn(self, *, leads: bool = True) -> list[str | None]:
        """The pods' costs after it."""
        self.seconds += 30.0
        if leads:
            self.leadership.renewed(self.seconds)
        else:
            self.leadership.lost()
        self.api.writes.clear()
        await self.costs.turn()
        return [self.api.cost(pod["metadata"]["name"]) for pod in self.api.pods.values()]

    @property
    def finding(self) -> Finding:
        (found,) = self.costs.findings_of(KEY)
        return found

    def _lately(self, key: Key, now_ns: int) -> Seen | None:  # noqa: ARG002
        if key in self.unseen:
            return None
        pods = tuple(self.pods.values()) if key == KEY else ()
        return Seen(scale=scale(len(pods)), snapshot=Snapshot(replicas=len(pods)), pods=pods)


async def test_pods_on_demand_get_a_cost_below_the_others_once() -> None:
    cluster = Cluster("spot", "demand", "demand")
    assert await cluster.turn() == [None, "-100", "-100"]
    assert cluster.finding.message == "2 of 3 pods of ReplicaSets are told apart by their nodes"
    assert await cluster.turn() == [None, "-100", "-100"]
    assert cluster.api.writes == []


async def test_pods_that_are_alike_are_left_as_they_are() -> None:
    cluster = Cluster("spot", "spot")
    assert await cluster.turn() == [None, None]
    assert cluster.api.writes == []


async def test_a_cost_goes_when_the_nodes_are_alike_again() -> None:
    cluster = Cluster("spot", "demand")
    await cluster.turn()
    del cluster.api.pods["/api/v1/namespaces/llm/pods/p0"]
    assert await cluster.turn() == [None]


async def test_the_base_share_stays() -> None:
    pools = [{**SPOT_POOL, "onDemandBaseShare": 0.25}, POOLS[1]]
    cluster = Cluster("spot", "spot", "spot", "demand", "demand", nodePools=pools)
    assert sorted(filter(None, await cluster.turn())) == ["-100", "100"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param({"podDeletionCost": "Unset"}, id="unset"),
        pytest.param({"mode": "Recommend"}, id="recommend"),
        pytest.param(None, id="the-object-is-gone"),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
async def test_costs_are_taken_off_when_nobody_wants_them(after: dict[str, Any] | None, restarts: bool) -> None:
    cluster = Cluster("spot", "demand")
    await cluster.turn()
    cluster.api.annotate("p0", "7", "somebody")
    if restarts:
        cluster.restarted()
    if after is None:
        del cluster.autoscalers[KEY]
    else:
        cluster.wants(**after)
    assert await cluster.turn() == ["7", None]
    await cluster.turn()
    assert cluster.api.writes == []


async def test_somebody_elses_cost_stays_and_is_told() -> None:
    """Also of a pod that had ours: who changes the value owns it from then on."""
    cluster = Cluster("spot", "demand", "demand")
    cluster.api.annotate("p1", "5", "karpenter")
    assert await cluster.turn() == [None, "5", "-100"]
    cluster.api.annotate("p2", "6", "kubectl-annotate")
    for _ in range(2):
        assert await cluster.turn() == [None, "5", "6"]
        assert cluster.api.writes == []
    assert "2 have a cost that somebody else set, which stays" in cluster.finding.message
    assert cluster.finding.status == "True"


async def test_a_cost_that_somebody_set_just_before_is_left_alone() -> None:
    """The watch has not told of it: the API server says so, by a conflict."""
    cluster = Cluster("spot", "demand", "demand")
    cluster.api.failures = [ApiError(409, "Conflict", "conflict with karpenter")]
    assert await cluster.turn() == [None, None, "-100"]
    assert "1 have a cost that somebody else set" in cluster.finding.message


async def test_a_missing_right_is_a_condition_with_its_remedy() -> None:
    cluster = Cluster("spot", "demand", "demand")
    cluster.api.refuses = ApiError(403, "Forbidden", "pods is forbidden: cannot patch resource pods")
    assert await cluster.turn() == [None, None, None]
    assert len(cluster.api.writes) == 1, "the next one would be refused too"
    told = {each.type: each for each in conditions(outcome(findings=cluster.costs.findings_of(KEY)))}
    assert told["PodDeletionCostSet"].status == told["Ready"].status == "False"
    assert told["Ready"].reason == "Forbidden"
    for text in ("cannot patch resource pods", "overlays/pod-deletion-cost", "components/pod-deletion-cost"):
        assert text in told["Ready"].message
    cluster.api.refuses = None
    assert await cluster.turn() == [None, "-100", "-100"]
    assert cluster.finding.status == "True"


@pytest.mark.parametrize("status", [0, 429, 500])
async def test_an_api_server_that_does_not_answer_is_asked_again_at_the_next_turn(status: int) -> None:
    cluster = Cluster("spot", "demand", "demand")
    cluster.api.failures = [ApiError(status, "", "no answer")]
    assert await cluster.turn() == [None, None, None]
    assert len(cluster.api.writes) == 1
    assert await cluster.turn() == [None, "-100", "-100"]


async def test_one_pod_that_cannot_be_written_holds_up_no_other() -> None:
    cluster = Cluster("spot", "demand", "demand", "demand")
    cluster.api.failures = [ApiError(422, "Invalid", "no"), ApiError(404, "NotFound", "gone")]
    assert await cluster.turn() == [None, None, None, "-100"]


@pytest.mark.parametrize("case", ["paused", "paused-by-annotation", "cluster", "follower", "younger", "unsynced"])
@pytest.mark.parametrize("cost", ["ByNode", "Unset"])
async def test_nothing_is_written_or_taken_off(case: str, cost: str) -> None:
    cluster = Cluster("spot", "demand", "demand")
    await cluster.turn()
    cluster.has_pod("p3", "demand")
    cluster.wants(
        paused=case == "paused",
        podDeletionCost=cost,
        annotations={PAUSED_ANNOTATION: "true"} if case == "paused-by-annotation" else None,
    )
    cluster.leadership.paused = case == "cluster"
    cluster.synced = case != "unsynced"
    if case == "younger":
        cluster.wants(Key("llm", "older"), paused=True)
        cluster.older[KEY] = Key("llm", "older")
    assert await cluster.turn(leads=case != "follower") == [None, "-100", "-100", None]
    assert cluster.api.writes == []


async def test_what_was_not_looked_at_yet_loses_nothing() -> None:
    """A new leader knows the pods by their watch, and not yet whose they are."""
    cluster = Cluster("spot", "demand")
    await cluster.turn()
    cluster.restarted()
    cluster.unseen.add(KEY)
    assert await cluster.turn() == [None, "-100"]
    assert cluster.api.writes == []


async def test_nodes_that_are_not_in_sight_take_nothing_off() -> None:
    cluster = Cluster("spot", "demand")
    await cluster.turn()
    cluster.nodes = {}
    assert await cluster.turn() == [None, "-100"]


async def test_a_turn_writes_so_many_pods_of_an_object_and_the_next_one_the_rest() -> None:
    cluster = Cluster("spot", *["demand"] * (MOST_WRITES + 3))
    for written in (MOST_WRITES, 3, 0):
        await cluster.turn()
        assert len(cluster.api.writes) == written


async def test_mode_recommend_tells_what_it_would_do() -> None:
    cluster = Cluster("spot", "demand", mode="Recommend")
    assert await cluster.turn() == [None, None]
    assert (cluster.finding.reason, cluster.finding.status) == ("Recommended", "True")
    assert cluster.finding.message.endswith("1 of 2 pods of ReplicaSets are told apart by their nodes")


async def test_pods_of_no_replica_set_and_pods_that_end_are_not_written() -> None:
    cluster = Cluster("spot", "demand")
    cluster.has_pod("p2", "demand", deleting=True)
    cluster.has_pod("p3", "demand")
    cluster.api.pods["/api/v1/namespaces/llm/pods/p3"]["metadata"]["ownerReferences"] = [
        {"kind": "StatefulSet", "name": "vllm", "apiVersion": "apps/v1", "controller": True}
    ]
    assert await cluster.turn() == [None, "-100", None, None]


async def test_an_object_without_costs_says_nothing_of_them() -> None:
    cluster = Cluster("spot", "demand", podDeletionCost="Unset")
    assert await cluster.turn() == [None, None]
    assert cluster.costs.findings_of(KEY) == ()


def worths_of(pools: list[dict[str, Any]], **nodes: dict[str, str]) -> dict[str, tuple[float, str, bool]]:
    """By node with these labels: price of a GPU, plan, on demand."""
    spec = autoscaler(nodePools=pools, podDeletionCost="ByNode").spec
    assert spec is not None
    known = {name: NodeNow(name=name, labels=labels) for name, labels in nodes.items()}
    found = node_worths(spec.node_pools, [*known, "gone"], known, lambda _: ())
    return {name: (each.price_per_gpu_hour, each.plan, each.is_on_demand) for name, each in found.items()}


def test_the_pools_say_what_a_node_is_worth() -> None:
    eights = [{**pool, "gpusPerNode": 8, "pricePerNodeHour": 8.0} for pool in POOLS]
    found = worths_of(eights, a={"pool": "spot"}, b={"pool": "demand"}, c={"pool": "other"})
    assert found == {"a": (0.3 / 8, "spot", False), "b": (1.0, "spot", True)}


def test_where_one_pool_has_both_kinds_labels_tell_them_apart() -> None:
    pool = {**SPOT_POOL, "spot": {**SPOT_POOL["spot"], "onDemandInNextPool": False}}  # type: ignore[dict-item]
    labels = {"pool": "spot"}
    found = worths_of(
        [pool, POOLS[1]], a=labels, b={**labels, "karpenter.sh/capacity-type": "spot"}, c={"pool": "demand"}
    )
    assert found == {"a": (0.7, "spot", True), "b": (0.3, "spot", False), "c": (0.7, "", True)}


def test_pods_that_hold_gpus_are_counted_and_placeholders_are_not() -> None:
    spec = autoscaler(nodePools=POOLS).spec
    assert spec is not None
    on_node = [
        watched_pod(running_pod(name="a")).seen,
        watched_pod(running_pod(name="b", deleting=True)).seen,
        watched_pod(running_pod(name="c", phase="Failed")).seen,
        watched_pod(running_pod(name="d", labels={PLACEHOLDER_LABEL: "spot"})).seen,
    ]
    found = node_worths(spec.node_pools, ["n"], {"n": NodeNow(name="n", labels={"pool": "spot"})}, lambda _: on_node)
    assert found["n"].gpu_pods == 1
    assert on_demand_shares(spec.node_pools, found, Headroom()) == {"spot": 0.0}
