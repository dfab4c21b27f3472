"""Room held by placeholders and by CapacityBuffers: what is written, when, and what is given back."""

from dataclasses import replace
from typing import Any

import pytest
from fake_room_api import FakeRoomApi

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import Writer
from autoscaler.cluster import Key
from autoscaler.crd.node_pool import NodePool, Placeholders
from autoscaler.node_pools.capacity_buffer import CapacityBufferProvider
from autoscaler.node_pools.make_provider import Providers
from autoscaler.node_pools.placeholders import PlaceholderProvider, placeholder_deployments
from autoscaler.node_pools.pools import SharedPool, pool_key
from autoscaler.node_pools.provider import Owner, PoolAsk, Provider, Taint
from autoscaler.node_pools.room_objects import identity

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
GROUP = "/apis/autoscaling.x-k8s.io"
TAINTS = (
    Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule"),
    Taint(key="team", value="ml", effect="NoExecute"),
    Taint(key="edge", value="", effect="NoSchedule"),
)


def owner(name: str = "vllm", namespace: str = "llm") -> Owner:
    return Owner(key=Key(namespace, name), uid=f"uid-{name}", pool_name="l4")


def shared(*owners: Owner, **changes: Any) -> SharedPool:
    pool = NodePool(
        **{
            "name": "l4",
            "max_nodes": 10,
            "gpus_per_node": 8,
            "node_selector": {"gpu": "l4"},
            "placeholders": Placeholders(image="registry.example.com/pause:3"),
            **changes,
        }
    )
    return SharedPool(key=pool_key(pool), pool=pool, owners=owners or (owner(),), workloads=())


def ask(placeholders: dict[int, int], *owners: Owner) -> PoolAsk:
    return PoolAsk(
        keep_nodes=3, placeholders=placeholders, nodes=1, occupied_nodes=1, owners=owners or (owner(),), taints=TAINTS
    )


@pytest.fixture
def api() -> FakeRoomApi:
    return FakeRoomApi()


@pytest.fixture
def buffers_api(api: FakeRoomApi) -> FakeRoomApi:
    api.served[GROUP] = {"versions": [{"version": "v1"}, {"version": "v1beta1"}, {"version": "v1alpha1"}]}
    api.served[f"{GROUP}/v1beta1"] = {"resources": [{"name": "provisioningrequests"}, {"name": "capacitybuffers"}]}
    return api


def placeholders(api: FakeRoomApi, pool: SharedPool | None = None) -> PlaceholderProvider:
    return PlaceholderProvider(pool or shared(), placeholder_deployments(Writer(api)))


def buffers(api: FakeRoomApi, pool: SharedPool | None = None) -> CapacityBufferProvider:
    return CapacityBufferProvider(pool or shared(), Writer(api))


def replicas(api: FakeRoomApi) -> dict[str, int]:
    """By namespace and the GPUs of one piece."""
    return {
        f"{each['metadata']['namespace']}/{each['metadata']['name'].rpartition('-')[2]}": each["spec"]["replicas"]
        for each in api.objects.values()
        if "spec" in each
    }


async def test_a_placeholder_asks_for_a_replicas_gpus_on_the_pools_nodes_and_may_do_nothing(api: FakeRoomApi) -> None:
    await placeholders(api).tell(ask({2: 5}), 0)
    ((method, path, body),) = api.writes
    name = body["metadata"]["name"]
    assert method == APPLY
    assert path == f"/apis/apps/v1/namespaces/llm/deployments/{name}"
    assert name.startswith("l4-")
    assert name.endswith("-2")
    template = body["spec"]["template"]
    assert body["spec"]["replicas"] == 5
    assert body["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    pod = template["spec"]
    assert (pod["priorityClassName"], pod["terminationGracePeriodSeconds"]) == ("leadtime-placeholder", 0)
    assert pod["nodeSelector"] == {"gpu": "l4"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"},
        {"key": "edge", "operator": "Equal", "effect": "NoSchedule"},
    ]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.com/pause:3"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert body["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "autoscaling.leadtime.dev/v1alpha1",
            "kind": "PredictiveAutoscaler",
            "name": "vllm",
            "uid": "uid-vllm",
        }
    ]


async def test_what_stands_is_not_written_again_and_what_somebody_changed_is(api: FakeRoomApi) -> None:
    for _ in range(3):
        await placeholders(api).tell(ask({2: 5}), 0)  # a new one each time, as after a restart
    assert len(api.writes) == 1
    (path,) = api.objects
    api.objects[path]["spec"]["replicas"] = 1
    api.objects[path]["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"  # as the API server fills in
    await placeholders(api).tell(ask({2: 5}), 0)
    await placeholders(api).tell(ask({2: 5}), 0)
    assert len(api.writes) == 2
    assert replicas(api) == {"llm/2": 5}


async def test_a_size_that_is_no_longer_wanted_is_scaled_to_0(api: FakeRoomApi) -> None:
    await placeholders(api).tell(ask({4: 1, 2: 3}), 0)
    await placeholders(api).tell(ask({2: 2}), 0)
    await placeholders(api).tell(ask({2: 2}), 0)
    assert replicas(api) == {"llm/4": 0, "llm/2": 2}
    assert [method for method, *_ in api.writes] == [APPLY, APPLY, APPLY, MERGE]


async def test_room_moves_with_the_first_of_those_that_share_the_pool(api: FakeRoomApi) -> None:
    """Its namespace holds it, and all of that namespace own it: it goes with the last of them."""
    a, b, c = owner("a", "alpha"), owner("b", "alpha"), owner("c", "beta")
    await placeholders(api, shared(a, b, c)).tell(ask({1: 3}, a, b, c), 0)
    (body,) = api.objects.values()
    assert [each["name"] for each in body["metadata"]["ownerReferences"]] == ["a", "b"]
    await placeholders(api, shared(c)).tell(ask({1: 3}, c), 0)
    assert replicas(api) == {"alpha/1": 0, "beta/1": 3}


async def test_two_pools_of_one_name_in_one_namespace_do_not_share_placeholders(api: FakeRoomApi) -> None:
    one, other = shared(), shared(node_selector={"gpu": "h100"})
    await placeholders(api, one).tell(ask({1: 3}), 0)
    await placeholders(api, other).tell(ask({1: 2}), 0)
    await placeholders(api, one).tell(ask({1: 3}), 0)
    assert sorted(each["spec"]["replicas"] for each in api.objects.values()) == [2, 3]
    selectors = [tuple(each["spec"]["selector"]["matchLabels"].items()) for each in api.objects.values()]
    assert len(set(selectors)) == 2


@pytest.mark.parametrize(
    ("ready", "state", "said"),
    [(5, "Idle", "5 placeholders hold room"), (3, "Resizing", "2 of 5 placeholders wait for a node")],
)
async def test_placeholders_without_a_node_are_said(api: FakeRoomApi, ready: Any, state: Any, said: Any) -> None:
    await placeholders(api).tell(ask({2: 5}), 0)
    (body,) = api.objects.values()
    body["status"] = {"readyReplicas": ready}
    standing = await placeholders(api).state(0)
    assert (standing.state, standing.message) == (state, said)


async def test_one_that_does_not_lead_any_more_says_so(api: FakeRoomApi) -> None:
    api.refuses_writes = ApiError(0, "NotLeader", "not sent")
    standing = await placeholders(api).tell(ask({2: 5}), 0)
    assert standing.state == "Idle"
    assert standing.message == "not written: this replica of the controller is not the leader"
    assert not api.writes


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        pytest.param(
            ApiError(403, "Forbidden", "cannot list"), "Refused", "ClusterRole list, create and patch", id="rights"
        ),
        pytest.param(ApiError(422, "Invalid", "spec.replicas"), "Refused", "mend what it names", id="invalid"),
        pytest.param(ApiError(409, "Conflict", "changed"), "Unreachable", "tries again", id="conflict"),
        pytest.param(ApiError(0, "Timeout", "no answer"), "Unreachable", "tries again", id="away"),
        pytest.param(ApiError(500, "InternalError", "etcd"), "Unreachable", "tries again", id="500"),
    ],
)
@pytest.mark.parametrize("kind", [placeholders, buffers])
async def test_what_a_refusal_of_the_api_server_means(
    buffers_api: FakeRoomApi, kind: Any, error: Any, state: Any, said: Any
) -> None:
    resource = "/apis/apps" if kind is placeholders else f"{GROUP}/v1beta1/capacitybuffers"
    buffers_api.failing[resource] = error
    provider: Provider = kind(buffers_api)
    for standing in (await provider.tell(ask({2: 5}), 0), await provider.state(0)):
        assert standing.state == state
        assert said in standing.message


async def test_a_capacity_buffer_refers_to_a_template_of_one_replicas_gpus(buffers_api: FakeRoomApi) -> None:
    await buffers(buffers_api).tell(ask({2: 5}), 0)
    (_, template_path, template), (_, path, buffer) = buffers_api.writes
    name = buffer["metadata"]["name"]
    assert template_path == f"/api/v1/namespaces/llm/podtemplates/{name}"
    assert path == f"{GROUP}/v1beta1/namespaces/llm/capacitybuffers/{name}"
    assert buffer["apiVersion"] == "autoscaling.x-k8s.io/v1beta1"
    assert buffer["spec"] == {"podTemplateRef": {"name": name}, "replicas": 5}
    (container,) = template["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert template["template"]["spec"]["nodeSelector"] == {"gpu": "l4"}


@pytest.mark.parametrize("node_selector", [{"gpu": "l4"}, {}])
async def test_a_buffer_is_written_on_a_change_only(buffers_api: FakeRoomApi, node_selector: dict[str, str]) -> None:
    for counts in ({2: 5}, {2: 5}, {2: 4}, {}, {}):
        await buffers(buffers_api, shared(node_selector=node_selector)).tell(ask(counts), 0)
    assert replicas(buffers_api) == {"llm/2": 0}
    assert len(buffers_api.writes) == 5  # template and buffer, twice, and the end


async def test_a_buffers_template_follows_the_pools_taints(buffers_api: FakeRoomApi) -> None:
    given = ask({2: 5})
    await buffers(buffers_api).tell(given, 0)
    await buffers(buffers_api).tell(replace(given, taints=TAINTS[:1]), 0)
    await buffers(buffers_api).tell(replace(given, taints=TAINTS[:1]), 0)
    templates = [body for _, path, body in buffers_api.writes if "/podtemplates/" in path]
    assert [len(each["template"]["spec"]["tolerations"]) for each in templates] == [3, 1]


@pytest.mark.parametrize(
    ("group", "resources", "version"),
    [
        pytest.param(["v1beta1", "v1alpha1"], {"v1beta1": ["capacitybuffers"]}, "v1beta1", id="beta"),
        pytest.param(["v1alpha1"], {"v1alpha1": ["capacitybuffers"]}, "v1alpha1", id="alpha"),
        pytest.param(["v1beta1"], {"v1beta1": ["provisioningrequests"]}, None, id="only-the-groups-other-kinds"),
        pytest.param(["v2"], {}, None, id="an-unknown-version"),
        pytest.param(None, {}, None, id="no-such-group"),
    ],
)
async def test_the_version_that_the_cluster_serves_is_written(
    api: FakeRoomApi, group: Any, resources: Any, version: Any
) -> None:
    if group is not None:
        api.served[GROUP] = {"versions": [{"version": each} for each in group]}
    for each, names in resources.items():
        api.served[f"{GROUP}/{each}"] = {"resources": [{"name": name} for name in names]}
    standing = await buffers(api).tell(ask({2: 5}), 0)
    if version is None:
        assert standing.state == "Refused"
        assert "set provider to Placeholders" in standing.message
        assert not api.writes
    else:
        assert any(f"/{version}/namespaces/llm/capacitybuffers/" in path for _, path, _ in api.writes)


@pytest.mark.parametrize(
    ("conditions", "state", "said"),
    [
        pytest.param([], "Resizing", "no node autoscaler has taken it up", id="not-taken-up"),
        pytest.param([("ReadyForProvisioning", "True", "ready"), ("Provisioning", "True", "")], "Idle", "5", id="held"),
        pytest.param([("ReadyForProvisioning", "False", "no template")], "Resizing", "no template", id="not-ready"),
        pytest.param([("Provisioning", "False", "no room")], "Resizing", "no room", id="not-provisioned"),
        pytest.param([("LimitedByQuotas", "True", "from 5 to 2")], "QuotaExceeded", "from 5 to 2", id="quota"),
    ],
)
async def test_a_buffers_conditions_are_its_state(
    buffers_api: FakeRoomApi, conditions: Any, state: Any, said: Any
) -> None:
    await buffers(buffers_api).tell(ask({2: 5}), 0)
    (body,) = (each for each in buffers_api.objects.values() if each["kind"] == "CapacityBuffer")
    body["status"] = {
        "conditions": [{"type": kind, "status": status, "message": message} for kind, status, message in conditions]
    }
    standing = await buffers(buffers_api).state(0)
    assert standing.state == state
    assert said in standing.message


async def test_room_that_no_pool_wants_is_given_back_and_what_cannot_be_read_is_kept(buffers_api: FakeRoomApi) -> None:
    """Also that of before a restart: only the cluster is asked."""
    gone, kept, unreadable = shared(name="gone"), shared(name="kept"), shared(owner("broken"), name="broken")
    for pool in (gone, kept, unreadable):
        await placeholders(buffers_api, pool).tell(ask({2: 5}, *pool.owners), 0)
    await buffers(buffers_api, gone).tell(ask({2: 5}), 0)
    providers = Providers(writer=Writer(buffers_api), may_write=lambda: True)
    for _ in range(2):
        await providers.sweep([kept.key], ["uid-broken"])
    standing = {
        (each["kind"], each["metadata"]["annotations"]["autoscaling.leadtime.dev/node-pool"]): each["spec"]["replicas"]
        for each in buffers_api.objects.values()
        if "spec" in each
    }
    assert standing == {
        ("Deployment", identity(gone.key)): 0,
        ("Deployment", identity(kept.key)): 5,
        ("Deployment", identity(unreadable.key)): 5,
        ("CapacityBuffer", identity(gone.key)): 0,
    }
    assert [method for method, *_ in buffers_api.writes].count(MERGE) == 2


async def test_who_may_not_list_placeholders_has_made_none(buffers_api: FakeRoomApi) -> None:
    await buffers(buffers_api).tell(ask({2: 5}), 0)
    buffers_api.failing["/apis/apps/v1/deployments"] = ApiError(403, "Forbidden", "cannot list deployments")
    await Providers(writer=Writer(buffers_api), may_write=lambda: True).sweep([], [])
    assert replicas(buffers_api) == {"llm/2": 0}


async def test_only_the_namespaces_that_were_named_are_listed(api: FakeRoomApi) -> None:
    providers = Providers(writer=Writer(api), may_write=lambda: True, namespaces=("llm", "chat"))
    elsewhere = owner("x", "other")
    await placeholders(api, shared(elsewhere, name="h100")).tell(ask({1: 1}, elsewhere), 0)
    await placeholders(api).tell(ask({1: 1}), 0)
    await providers.sweep([], [])
    assert replicas(api) == {"other/1": 1, "llm/1": 0}
