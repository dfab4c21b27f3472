"""The controller's roles allow what its code asks of the API server, and nothing else.

Each part runs against an API server in memory that notes the rights its requests take.
"""

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from fake_cluster_api import running_pod
from made_objects import HPA_PATH, KEY, at, autoscaler, decision, hpa, hpa_json, outcome, scale
from recording_api import RecordingApi, Right, allows, right_for

import autoscaler as package
from autoscaler.act import deletion_cost, direct, floor
from autoscaler.act.floor import FloorMemory
from autoscaler.act.orphans import give_back_orphans
from autoscaler.act.writer import FIELD_MANAGER, Writer
from autoscaler.crd.node_pool import NodePool
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.explain.events import Events
from autoscaler.explain.status_writes import StatusWrites
from autoscaler.lead_times.recorder import LeadTimeRecorder
from autoscaler.leader.election import Election
from autoscaler.leader.leadership import Timing
from autoscaler.metrics_client import MetricsClient
from autoscaler.next_lead_time import NextLeadTime
from autoscaler.node_pools import gke_client
from autoscaler.node_pools.capacity_buffer import CapacityBufferProvider
from autoscaler.node_pools.make_provider import Providers
from autoscaler.node_pools.placeholders import PlaceholderProvider, placeholder_deployments
from autoscaler.node_pools.pools import SharedPool, pool_key
from autoscaler.node_pools.provider import Owner, PoolAsk
from autoscaler.observe.observer import Seen
from autoscaler.observe.pod_seen import DeletionCostSeen, watched_pod
from autoscaler.observe.scale import ScaleReader
from autoscaler.observe.world import World
from policies.snapshot import MetricQuery

CONTROLLER = Path(__file__).parents[3] / "manifests" / "controller"
WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"))
BUFFERS = "/apis/autoscaling.x-k8s.io"
_TURNS = 1000

Part = Callable[[RecordingApi], Awaitable[None]]


async def watches(api: RecordingApi) -> None:
    world = World(api)
    running = asyncio.create_task(world.run())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
        listed, watched = ({each[:2] for each in api.rights if each.verb == verb} for verb in ("list", "watch"))
        if world.synced and listed == watched:
            break
    running.cancel()
    await asyncio.wait([running])
    assert world.synced


async def scales_are_read(api: RecordingApi) -> None:
    reader = ScaleReader(api)
    for version, kind in WORKLOADS:
        plural = f"{kind.lower()}s"
        names = [{"name": plural, "kind": kind, "namespaced": True}, {"name": f"{plural}/scale", "kind": "Scale"}]
        resources = api.objects.setdefault(f"/apis/{version}", {"resources": []})["resources"]
        resources += names
    for version, kind in WORKLOADS:
        api.objects[f"/apis/{version}/namespaces/llm/{kind.lower()}s/vllm/scale"] = {
            "metadata": {"resourceVersion": "1"},
            "spec": {"replicas": 3},
            "status": {"replicas": 3, "selector": "app=vllm"},
        }
        found = await reader.read("llm", ScaleTargetRef(api_version=version, kind=kind, name="vllm"))
        assert found.replicas == 3


async def metrics_are_read(api: RecordingApi) -> None:
    client = MetricsClient(api)
    for query in (
        MetricQuery(type="Resource", name="cpu"),
        MetricQuery(type="ContainerResource", name="cpu", container="server"),
        MetricQuery(type="Pods", name="vllm_num_requests_waiting"),
        MetricQuery(type="Object", name="queue", object_name="InferencePool/vllm"),
        MetricQuery(type="Object", name="queue", object_name="Namespace/llm"),
        MetricQuery(type="External", name="queue"),
    ):
        await client.observe("llm", query)


async def lead_times_are_asked(api: RecordingApi) -> None:
    """Of a StatefulSet, whose pods may come one after the other."""
    learned = SimpleNamespace(lead_times=lambda _: True, lead_time_seconds=lambda *_: 60.0)
    world = SimpleNamespace(nodes={}, pods_on=lambda _: ())
    path = "/apis/apps/v1/namespaces/llm/statefulsets/vllm/scale"
    seen = SimpleNamespace(
        scale=replace(scale(3), path=path, resource="statefulsets.apps"), snapshot=SimpleNamespace(replicas=3)
    )
    lead_time = NextLeadTime(cast(LeadTimeRecorder, learned), cast(Any, world), api)
    assert await lead_time.seconds(autoscaler(), cast(Seen, seen), at(0)) == 60.0


async def what_was_done_is_told(api: RecordingApi) -> None:
    """An Event that comes again is counted in its series."""
    writer = Writer(api)
    events = Events(writer, component="leadtime.dev/controller", instance="pod")
    assert await StatusWrites(writer).report(autoscaler(), outcome())
    told = [
        await events.report(autoscaler(), outcome(15 * step, paused=step % 2 == 1))  # paused, on, paused again
        for step in range(4)
    ]
    assert sum(told) == 3


async def room_that_nobody_wants_is_looked_for(api: RecordingApi) -> None:
    serve_buffers(api)
    await Providers(writer=Writer(api), may_write=lambda: True).sweep((), ())


async def leadership_is_had(api: RecordingApi) -> None:
    election = Election(
        api,
        namespace="leadtime-system",
        name="leadtime-controller",
        identity="pod",
        timing=Timing(lease_duration=12, renew_deadline=8.0, retry_period=2.0),
        clock=cast(Any, SimpleNamespace(now_ns=lambda: at(0))),
        monotonic=lambda: 0.0,
    )
    assert await election.attempt()  # created
    assert await election.attempt()  # renewed
    await election.release()


async def workloads_are_scaled(api: RecordingApi) -> None:
    """At a conflict the scale is read again."""
    for version, kind in WORKLOADS:
        path = f"/apis/{version}/namespaces/llm/{kind.lower()}s/vllm/scale"
        now = replace(scale(3), path=path, resource=f"{kind.lower()}s.{version.partition('/')[0]}")
        api.objects[path] = {"metadata": {"resourceVersion": "2"}, "spec": {"replicas": 3}}
        api.conflicts = 1
        done = await direct.act(now, decision(5), (), writer=Writer(api))
        assert done.acted.after == 5


async def floors_are_set_and_given_back(api: RecordingApi) -> None:
    api.objects[HPA_PATH] = hpa_json(uid="1", resourceVersion="1")
    done = await floor.act(
        KEY, hpa(), decision(5), may_force=False, memory=FloorMemory(), writer=Writer(api), now_ns=at(0)
    )
    assert done.acted.after == 5
    api.objects[HPA_PATH] = hpa_json(uid="1", resourceVersion="2", annotations=annotations(api))
    (undone,) = await give_back_orphans(Writer(api), alive=())
    assert undone.to == "hpa/vllm"


async def room_is_made(api: RecordingApi) -> None:
    """Twice, of other sizes: made, left alone, changed and given back."""
    serve_buffers(api)
    owner = Owner(key=KEY, uid="uid", pool_name="l4")
    for provider in ("Placeholders", "CapacityBuffer"):
        pool = NodePool(
            name="l4", max_nodes=10, gpus_per_node=8, node_selector={"gpu": "l4"}, provider=cast(Any, provider)
        )
        shared = SharedPool(key=pool_key(pool), pool=pool, owners=(owner,), workloads=())
        writer = Writer(api)
        made = (
            PlaceholderProvider(shared, placeholder_deployments(writer))
            if provider == "Placeholders"
            else CapacityBufferProvider(shared, writer)
        )
        for sizes in ({1: 2}, {1: 2}, {2: 1}):
            ask = PoolAsk(keep_nodes=1, placeholders=sizes, nodes=0, occupied_nodes=0, owners=(owner,))
            assert (await made.tell(ask, at(0))).state != "Refused"
    replicas = [
        each["spec"]["replicas"] for path, each in api.objects.items() if "/namespaces/llm/" in path and "spec" in each
    ]
    assert sorted(replicas) == [0, 0, 1, 1]


async def pods_are_told_apart(api: RecordingApi) -> None:
    """One is given a cost, the other's is taken off."""
    pods = [watched_pod(running_pod(name)).seen for name in ("a", "b")]
    pods[1] = replace(pods[1], deletion_cost=DeletionCostSeen("-100", (FIELD_MANAGER,)))
    for pod in pods:
        api.objects[f"/api/v1/namespaces/llm/pods/{pod.key.name}"] = {"kind": "Pod"}
    changes = deletion_cost.cost_changes(pods, {"a": -100}, FIELD_MANAGER)
    assert (await deletion_cost.write(changes, writer=Writer(api))).written == 2


BASE = (
    watches,
    scales_are_read,
    metrics_are_read,
    lead_times_are_asked,
    what_was_done_is_told,
    room_that_nobody_wants_is_looked_for,
)
MORE = {
    "direct": (workloads_are_scaled,),
    "floor": (floors_are_set_and_given_back,),
    "placeholders": (room_is_made,),
    "pod-deletion-cost": (pods_are_told_apart,),
}
BASE_ROLE = CONTROLLER / "base" / "cluster-role.yaml"
LEASE_ROLE = CONTROLLER / "base" / "role-leader-election.yaml"
ROLES = [
    pytest.param(BASE_ROLE, BASE, id="base"),
    pytest.param(LEASE_ROLE, (leadership_is_had,), id="leader-election"),
    *(
        pytest.param(CONTROLLER / "components" / name / "cluster-role.yaml", parts, id=name)
        for name, parts in MORE.items()
    ),
]


@pytest.mark.parametrize(("file", "parts"), ROLES)
async def test_the_code_may_do_what_it_does_by_the_base_and_its_component(file: Path, parts: Sequence[Part]) -> None:
    """What a component's part reads, the base may mostly read already."""
    rules = [*rules_of(file), *(rules_of(BASE_ROLE) if file != LEASE_ROLE else ())]
    assert [right for right in await taken(parts) if not any(allows(rule, right) for rule in rules)] == []


@pytest.mark.parametrize(("file", "parts"), ROLES)
async def test_no_role_holds_a_right_that_no_code_takes(file: Path, parts: Sequence[Part]) -> None:
    rights = await taken(parts)
    unused = [
        (group, resource, verb)
        for rule in rules_of(file)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if not any(allows({"apiGroups": [group], "resources": [resource], "verbs": [verb]}, each) for each in rights)
    ]
    assert unused == []


@pytest.mark.parametrize(("file", "parts"), [each for each in ROLES if each.id not in ("base", "leader-election")])
async def test_a_component_holds_nothing_that_the_base_holds(file: Path, parts: Sequence[Part]) -> None:
    held = [right for right in await taken(parts) if any(allows(rule, right) for rule in rules_of(file))]
    assert held
    assert [right for right in held if any(allows(rule, right) for rule in rules_of(BASE_ROLE))] == []


async def test_every_api_group_that_the_code_names_is_in_these_tests() -> None:
    """A new part that asks for something else would otherwise go unnoticed until a cluster refuses it."""
    parts = [*BASE, leadership_is_had, *(part for parts in MORE.values() for part in parts)]
    asked = {right.group for right in await taken(parts)}
    assert {group for _, group in groups_in_code()} <= asked


def test_the_custom_role_for_gke_holds_what_the_client_calls() -> None:
    """Permissions of each method: cloud.google.com/kubernetes-engine/docs/reference/rest/v1, projects.locations."""
    permissions = {
        "get_cluster": "container.clusters.get",
        "get_node_pool": "container.clusters.get",
        "set_node_pool_autoscaling": "container.clusters.update",
        "set_node_pool_size": "container.clusters.update",
        "get_operation": "container.operations.get",
    }
    calls = set(re.findall(r'_call\("(\w+)"', Path(gke_client.__file__).read_text()))
    text = (CONTROLLER / "overlays" / "gke-workload-identity" / "kustomization.yaml").read_text()
    granted = re.search(r"--permissions=(\S+)", text)
    assert granted is not None
    assert sorted(granted[1].split(",")) == sorted({permissions[call] for call in calls})


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/api/v1/pods", Right("", "pods", "list")),
        ("GET", "/apis/apps/v1", None),
        (
            "GET",
            "/apis/apps/v1/namespaces/llm/deployments/vllm/scale",
            Right("apps", "deployments/scale", "get", "vllm"),
        ),
        ("PATCH", "/api/v1/namespaces/llm/podtemplates/l4", Right("", "podtemplates", "patch", "l4")),
        ("POST", "/apis/events.k8s.io/v1/namespaces/llm/events", Right("events.k8s.io", "events", "create")),
        (
            "GET",
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods/*/queue",
            Right("custom.metrics.k8s.io", "pods/queue", "get", "*"),
        ),
        (
            "GET",
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/queue",
            Right("external.metrics.k8s.io", "queue", "list"),
        ),
    ],
)
def test_a_request_takes_the_right_that_the_api_server_derives(method: str, path: str, right: Right | None) -> None:
    assert right_for(method, path) == right


async def taken(parts: Sequence[Part]) -> list[Right]:
    rights: set[Right] = set()
    for part in parts:
        api = RecordingApi()
        await part(api)
        rights |= api.rights
    return sorted(rights)


def rules_of(file: Path) -> list[dict[str, Any]]:
    role = next(each for each in yaml.safe_load_all(file.read_text()) if each["kind"] in ("Role", "ClusterRole"))
    rules: list[dict[str, Any]] = role["rules"]
    return rules


def serve_buffers(api: RecordingApi) -> None:
    api.objects[BUFFERS] = {"versions": [{"version": "v1beta1"}]}
    api.objects[f"{BUFFERS}/v1beta1"] = {"resources": [{"name": "capacitybuffers"}]}


def annotations(api: RecordingApi) -> dict[str, str]:
    found: dict[str, str] = api.objects[HPA_PATH]["metadata"]["annotations"]
    return found


def groups_in_code() -> set[tuple[str, str]]:
    """(file, group) of every text in the code that is a path of the API, or begins one."""
    found = set()
    for file in Path(package.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if match := re.match(r"/apis/([a-z0-9.-]+\.?[a-z0-9-]*)/", node.value + "/"):
                    found.add((file.name, match[1]))
                elif node.value.startswith("/api/v1/") and not node.value.startswith("/api/v1/autoscalers"):
                    found.add((file.name, ""))
    assert len(found) > 8
    return found
