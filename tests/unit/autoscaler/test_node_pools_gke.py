"""The GKE provider against a gRPC server that implements the ClusterManager from the library's own types."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

types = pytest.importorskip(
    "google.cloud.container_v1.types", reason="google-cloud-container is not installed: leadtime[gke]"
)
from google.rpc import code_pb2, status_pb2  # noqa: E402

from autoscaler.cluster import Key  # noqa: E402
from autoscaler.crd.node_pool import GkePool  # noqa: E402
from autoscaler.node_pools.gke import GkeProvider  # noqa: E402
from autoscaler.node_pools.gke_client import GkeSettings  # noqa: E402
from autoscaler.node_pools.gke_cluster import GkeCluster  # noqa: E402
from autoscaler.node_pools.provider import Owner, PoolAsk  # noqa: E402
from policies.snapshot import NS_PER_SECOND  # noqa: E402

CLUSTER = "projects/acme/locations/us-central1/clusters/c"
METHODS = {
    "GetCluster": (types.GetClusterRequest, types.Cluster),
    "GetNodePool": (types.GetNodePoolRequest, types.NodePool),
    "SetNodePoolAutoscaling": (types.SetNodePoolAutoscalingRequest, types.Operation),
    "SetNodePoolSize": (types.SetNodePoolSizeRequest, types.Operation),
    "GetOperation": (types.GetOperationRequest, types.Operation),
}
Refusal = tuple[grpc.StatusCode, str]


@dataclass
class FakeGke:
    """A cluster with node pools. calls: (method, request). refusals: by method, for the next calls, first to last.

    An operation takes effect at once and runs until `finish`. gate: every answer waits for it.
    """

    autopilot: bool = False
    pools: dict[str, Any] = field(default_factory=dict)
    operations: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    refusals: dict[str, list[Refusal]] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def add_pool(self, name: str = "l4", *, zones: int = 1, **autoscaling: int) -> None:
        self.pools[f"{CLUSTER}/nodePools/{name}"] = types.NodePool(
            name=name,
            locations=[f"us-central1-{'abc'[zone]}" for zone in range(zones)],
            status=types.NodePool.Status.RUNNING,
            autoscaling=types.NodePoolAutoscaling(enabled=True, **autoscaling) if autoscaling else None,
        )

    def pool(self, name: str = "l4") -> Any:
        return self.pools[f"{CLUSTER}/nodePools/{name}"]

    def written(self) -> list[Any]:
        return [request for method, request in self.calls if method.startswith("Set")]

    def finish(self, name: str = "operation-1", *, code: int = 0, message: str = "", **conditions: Any) -> None:
        """conditions: nodepool_conditions=[(code, message), ...]"""
        operation = self.operations[name]
        operation.status = types.Operation.Status.DONE
        if code:
            operation.error = status_pb2.Status(code=code, message=message)
        operation.nodepool_conditions = [
            types.StatusCondition(code=each, message=text) for each, text in conditions.get("nodepool_conditions", ())
        ]

    def answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.gate.wait(5)
        self.calls.append((method, request))
        if self.refusals.get(method):
            context.abort(*self.refusals[method].pop(0))
        if method == "GetCluster":
            return types.Cluster(name="c", autopilot=types.Autopilot(enabled=self.autopilot))
        if method == "GetOperation":
            return self.operations[request.name.rpartition("/")[2]]
        if request.name not in self.pools:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {request.name}.")
        pool = self.pools[request.name]
        if method == "GetNodePool":
            return pool
        if method == "SetNodePoolAutoscaling":
            pool.autoscaling = request.autoscaling
        name = f"operation-{len(self.operations) + 1}"
        self.operations[name] = types.Operation(name=name, status=types.Operation.Status.RUNNING)
        return self.operations[name]

    @contextmanager
    def serve(self) -> Iterator[str]:
        def handler(method: str) -> Any:
            asked, answered = METHODS[method]
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: self.answer(method, request, context),
                request_deserializer=asked.deserialize,
                response_serializer=answered.serialize,
            )

        server = grpc.server(futures.ThreadPoolExecutor(4))
        methods = {method: handler(method) for method in METHODS}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.container.v1.ClusterManager", methods),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


@asynccontextmanager
async def cluster_of(gke: FakeGke, **settings: Any) -> AsyncIterator[GkeCluster]:
    with gke.serve() as endpoint:
        cluster = GkeCluster(CLUSTER, GkeSettings(endpoint=endpoint, plaintext=True, **settings))
        try:
            yield cluster
        finally:
            cluster.close()


def provider(
    cluster: GkeCluster, name: str = "l4", *, sizing: Any = "MinSize", may_write: Callable[[], bool] = lambda: True
) -> GkeProvider:
    pool = GkePool(project="acme", location="us-central1", cluster="c", node_pool=name, sizing=sizing)
    return GkeProvider(pool, cluster, may_write)


def ask(keep: int, *, nodes: int = 0, occupied: int = 0) -> PoolAsk:
    owner = Owner(key=Key("llm", "vllm"), uid="u", pool_name="l4")
    return PoolAsk(keep_nodes=keep, placeholders={}, nodes=nodes, occupied_nodes=occupied, owners=(owner,))


def at(seconds: float) -> int:
    return round(seconds * NS_PER_SECOND)


@pytest.fixture
def gke() -> FakeGke:
    return FakeGke()


@pytest.mark.parametrize(
    ("zones", "limits", "keep", "field", "told"),
    [
        pytest.param(1, {"max_node_count": 9}, 4, "min_node_count", 4, id="one-zone"),
        pytest.param(3, {"max_node_count": 9}, 4, "min_node_count", 2, id="per-zone-rounded-up"),
        pytest.param(3, {"total_max_node_count": 9}, 4, "total_min_node_count", 4, id="of-the-whole-pool"),
        pytest.param(3, {"max_node_count": 1}, 4, "min_node_count", 1, id="never-above-the-pools-own-maximum"),
        pytest.param(1, {"min_node_count": 5, "max_node_count": 9}, 2, "min_node_count", 2, id="down"),
    ],
)
async def test_the_min_size_is_told_and_all_other_limits_stay(
    gke: FakeGke, zones: Any, limits: Any, keep: Any, field: Any, told: Any
) -> None:
    gke.add_pool(zones=zones, location_policy=2, **limits)
    async with cluster_of(gke) as cluster:
        standing = await provider(cluster).tell(ask(keep), at(0))
    assert (standing.state, standing.operation) == ("Resizing", "operation-1")
    (request,) = gke.written()
    assert request.name == f"{CLUSTER}/nodePools/l4"
    assert getattr(request.autoscaling, field) == told
    kept = {**limits, "enabled": True, "location_policy": 2, field: told}
    assert type(request.autoscaling).to_dict(request.autoscaling) == type(request.autoscaling).to_dict(
        types.NodePoolAutoscaling(**kept)
    )


async def test_the_same_min_size_is_told_once(gke: FakeGke) -> None:
    gke.add_pool(max_node_count=9)
    async with cluster_of(gke) as cluster:
        pool = provider(cluster)
        await pool.tell(ask(4), at(0))
        assert (await pool.tell(ask(4), at(30))).state == "Resizing"
        gke.finish()
        standing = await pool.tell(ask(4, nodes=4), at(60))
    assert (standing.state, standing.min_nodes, standing.max_nodes, standing.message) == ("Idle", 4, 9, "")
    assert len(gke.written()) == 1


async def test_a_min_size_that_brings_no_node_is_said_with_the_remedy(gke: FakeGke) -> None:
    gke.add_pool(min_node_count=4, max_node_count=9)
    async with cluster_of(gke) as cluster:
        standing = await provider(cluster).tell(ask(4, nodes=1), at(0))
    assert "set provider to Placeholders" in standing.message
    assert not provider(cluster).brings_nodes


async def test_a_size_is_told_per_zone_where_no_autoscaler_runs(gke: FakeGke) -> None:
    gke.add_pool(zones=3)
    async with cluster_of(gke) as cluster:
        pool = provider(cluster, sizing="Size")
        assert (await pool.tell(ask(7, nodes=3), at(0))).state == "Resizing"
        gke.finish()
        # Nodes come by and by; the same size is not told again meanwhile, and is after ten minutes.
        assert (await pool.tell(ask(7, nodes=5), at(300))).state == "Idle"
        assert (await pool.tell(ask(7, nodes=5), at(700))).state == "Resizing"
    assert [request.node_count for request in gke.written()] == [3, 3]


async def test_a_size_is_not_lowered_while_a_node_holds_a_pod(gke: FakeGke) -> None:
    gke.add_pool()
    async with cluster_of(gke) as cluster:
        pool = provider(cluster, sizing="Size")
        standing = await pool.tell(ask(2, nodes=5, occupied=1), at(0))
        assert "GKE removes nodes at random, and 1 hold pods" in standing.message
        assert not gke.written()
        await pool.tell(ask(0, nodes=5), at(30))
    assert [request.node_count for request in gke.written()] == [0]


@pytest.mark.parametrize(
    ("limits", "sizing", "remedy"),
    [
        pytest.param({}, "MinSize", "set gke.sizing to Size", id="no-autoscaler-reads-it"),
        pytest.param({"max_node_count": 9}, "Size", "set gke.sizing to MinSize", id="the-autoscaler-would-undo-it"),
    ],
)
async def test_the_wrong_sizing_is_refused_with_the_remedy(gke: FakeGke, limits: Any, sizing: Any, remedy: Any) -> None:
    gke.add_pool(**limits)
    async with cluster_of(gke) as cluster:
        standing = await provider(cluster, sizing=sizing).tell(ask(4), at(0))
    assert standing.state == "Refused"
    assert remedy in standing.message
    assert not gke.written()


async def test_an_autopilot_cluster_is_refused_and_asked_once_what_it_is(gke: FakeGke) -> None:
    gke.autopilot = True
    gke.add_pool(max_node_count=9)
    async with cluster_of(gke) as cluster:
        pool = provider(cluster)
        for second in (0, 30):
            standing = await pool.tell(ask(4), at(second))
            assert standing.state == "Refused"
            assert "set provider to Placeholders" in standing.message
    assert [method for method, _ in gke.calls] == ["GetCluster"]


async def test_two_pools_of_a_cluster_are_told_one_after_the_other(gke: FakeGke) -> None:
    for name in ("l4", "h100"):
        gke.add_pool(name, max_node_count=9)
    async with cluster_of(gke) as cluster:
        first, second = provider(cluster, "l4"), provider(cluster, "h100")
        assert (await first.tell(ask(4), at(0))).operation == "operation-1"
        waiting = await second.tell(ask(4), at(0))
        assert (waiting.state, waiting.message) == ("Resizing", "operation operation-1 on l4 runs")
        gke.finish()
        assert (await second.tell(ask(4), at(30))).operation == "operation-2"
    assert [request.name.rpartition("/")[2] for request in gke.written()] == ["l4", "h100"]


BUSY = "Operation operation-9 is currently upgrading cluster c. Please wait and try again once it is done."
QUOTA = 'Insufficient regional quota to satisfy request: resource "NVIDIA_L4_GPUS"'
Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("refusal", "state", "said"),
    [
        pytest.param((Code.FAILED_PRECONDITION, BUSY), "Resizing", "another operation", id="an-upgrade-is-a-wait"),
        pytest.param(
            (Code.RESOURCE_EXHAUSTED, "cluster c hits the concurrent operations quota 5"),
            "Resizing",
            "too many",
            id="429",
        ),
        pytest.param(
            (Code.PERMISSION_DENIED, QUOTA), "QuotaExceeded", "ask for more quota", id="quota-told-as-a-right"
        ),
        pytest.param(
            (Code.RESOURCE_EXHAUSTED, "Quota exceeded for quota metric 'Cluster update requests'"),
            "Unreachable",
            "throttles",
            id="throttled",
        ),
        pytest.param(
            (Code.PERMISSION_DENIED, 'Required "container.clusters.update" permission'),
            "Refused",
            "grant the controller's identity container.clusters.get, container.clusters.update",
            id="no-right",
        ),
        pytest.param((Code.INVALID_ARGUMENT, "Max below min"), "Refused", "mend what it names", id="invalid"),
        pytest.param((Code.UNAVAILABLE, "connection reset"), "Unreachable", "UNAVAILABLE", id="away"),
    ],
)
async def test_what_a_refused_write_means(gke: FakeGke, refusal: Any, state: Any, said: Any) -> None:
    gke.add_pool(max_node_count=9)
    gke.refusals["SetNodePoolAutoscaling"] = [refusal]
    async with cluster_of(gke) as cluster:
        standing = await provider(cluster).tell(ask(4), at(0))
    assert standing.state == state
    assert said in standing.message


STOCKOUT_CONDITION = (types.StatusCondition.Code.GCE_STOCKOUT, "us-central1-a does not have enough resources")
QUOTA_CONDITION = (types.StatusCondition.Code.GCE_QUOTA_EXCEEDED, "Quota 'NVIDIA_L4_GPUS' exceeded. Limit: 8.0")


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        pytest.param({"nodepool_conditions": [STOCKOUT_CONDITION]}, "StockedOut", id="stockout-by-its-code"),
        pytest.param(
            {"code": code_pb2.RESOURCE_EXHAUSTED, "message": "[ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS]: no l4"},
            "StockedOut",
            id="stockout-by-its-words",
        ),
        pytest.param({"nodepool_conditions": [QUOTA_CONDITION]}, "QuotaExceeded", id="quota"),
        pytest.param({"code": code_pb2.INTERNAL, "message": "boom"}, "Refused", id="anything-else"),
    ],
)
async def test_what_a_failed_operation_means_and_when_it_is_tried_again(gke: FakeGke, ending: Any, state: Any) -> None:
    """After 5 min, then after 10, as the cluster autoscaler backs off; meanwhile nothing is asked for."""
    gke.add_pool()
    async with cluster_of(gke) as cluster:
        pool = provider(cluster, sizing="Size")
        await pool.tell(ask(4, nodes=1), at(0))
        gke.finish(**ending)
        for second in (30, 329):
            assert (await pool.tell(ask(4, nodes=1), at(second))).state == state
        assert (await pool.tell(ask(4, nodes=1), at(331))).operation == "operation-2"
        gke.finish("operation-2", **ending)
        for second in (360, 959):
            assert (await pool.tell(ask(4, nodes=1), at(second))).state == state
        assert (await pool.tell(ask(4, nodes=1), at(961))).operation == "operation-3"
        gke.finish("operation-3")
        assert (await pool.tell(ask(4, nodes=4), at(990))).state == "Idle"


async def test_what_the_pools_conditions_say_is_a_state_as_long_as_they_say_it(gke: FakeGke) -> None:
    """A min-size asks for no node by itself: that the autoscaler could not have one shows in the conditions only."""
    gke.add_pool(max_node_count=9)
    code, message = STOCKOUT_CONDITION
    gke.pool().conditions = [types.StatusCondition(code=code, message=message)]
    async with cluster_of(gke) as cluster:
        pool = provider(cluster)
        assert (await pool.tell(ask(4), at(0))).state == "StockedOut"
        assert not gke.written()
        gke.pool().conditions = []
        assert (await pool.tell(ask(4), at(30))).state == "Resizing"


async def test_an_operation_that_does_not_end_is_given_up_at_its_deadline(gke: FakeGke) -> None:
    gke.add_pool(max_node_count=9)
    async with cluster_of(gke, operation_deadline_seconds=600) as cluster:
        pool = provider(cluster)
        await pool.tell(ask(4), at(0))
        assert (await pool.state(at(599))).state == "Resizing"
        standing = await pool.state(at(601))
        assert standing.state == "Refused"
        assert "gcloud container operations describe operation-1" in standing.message
        assert (await pool.tell(ask(5), at(1000))).operation == "operation-2"


async def test_an_outage_amid_an_operation_leaves_it_followed(gke: FakeGke) -> None:
    gke.add_pool(max_node_count=9)
    async with cluster_of(gke) as cluster:
        pool = provider(cluster)
        await pool.tell(ask(4), at(0))
        gke.refusals["GetOperation"] = [(Code.UNAVAILABLE, "away")]
        assert (await pool.tell(ask(5), at(30))).state == "Unreachable"
        assert (await pool.tell(ask(5), at(60))).operation == "operation-1"
    assert len(gke.written()) == 1


async def test_a_server_that_hangs_is_unreachable_after_the_calls_deadline(gke: FakeGke) -> None:
    gke.add_pool(max_node_count=9)
    gke.gate.clear()
    async with cluster_of(gke, timeout_seconds=0.05) as cluster:
        standing = await provider(cluster).tell(ask(4), at(0))
        gke.gate.set()
    assert standing.state == "Unreachable"
    assert "DEADLINE_EXCEEDED" in standing.message


async def test_nothing_is_written_by_one_that_does_not_lead_any_more(gke: FakeGke) -> None:
    gke.add_pool(max_node_count=9)
    async with cluster_of(gke) as cluster:
        standing = await provider(cluster, may_write=lambda: False).tell(ask(4), at(0))
    assert standing.message == "not written: this replica is not the leader"
    assert not gke.written()


async def test_a_pool_that_is_not_there_is_refused_with_the_remedy(gke: FakeGke) -> None:
    async with cluster_of(gke) as cluster:
        standing = await provider(cluster, "nowhere").state(at(0))
    assert standing.state == "Refused"
    assert "correct gke.project, location, cluster, nodePool" in standing.message
