"""What fits on a node: CPU, memory, disk and GPUs, shares of them, and what fragmentation costs."""

from collections.abc import Callable
from typing import Any

import pytest

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.cluster.pod_policy import PodPolicy
from simulations.cluster.resources import GIB, MIB, GpuSharing, NodeResources, PodResources, gke_allocatable
from simulations.cluster.usage import allocated_gpu_seconds, gpu_seconds
from simulations.lead_time import Draws, LeadTime, Stage

START = Draws(LeadTime(sigma=0.0), 0).pod(0)


def pool(**changes: Any) -> NodePool:
    fields = {"name": "l4", "gpus_per_node": 1, "max_nodes": 8, "provision": Stage(90.0, 0.0)}
    return NodePool(**(fields | changes))


def placed_on(cluster: Cluster, pod: str, gpus: int = 1, pool: str = "l4", **asked: Any) -> str | None:
    """The node that a pod gets at once."""
    placement = cluster.place(pod, gpus=gpus, pool=pool, start=START, now_seconds=cluster.now_seconds, **asked)
    return None if placement is None else placement.node


@pytest.mark.parametrize(
    ("vcpus", "memory_gib", "cpu_milli", "memory_bytes"),
    [
        # 60 + 10 + 5 + 5 = 80; 25 % of 4 + 20 % of 4 + 10 % of 8 = 2.6 GiB, and 100 MiB
        pytest.param(4, 16, 3_920, 16 * GIB - round(2.6 * GIB) - 100 * MIB, id="g2-standard-4"),
        # 80 + 0.25 % of 4,000 = 90; 2.6 + 6 % of 32 = 4.52 GiB
        pytest.param(8, 48, 7_910, 48 * GIB - round(4.52 * GIB) - 100 * MIB, id="48-gib"),
        # 80 + 0.25 % of 204,000 = 590; 2.6 + 6 % of 112 + 2 % of 1,744 = 44.2 GiB
        pytest.param(208, 1_872, 207_410, 1_872 * GIB - round(44.2 * GIB) - 100 * MIB, id="a3-highgpu-8g"),
    ],
)
def test_gke_keeps_a_part_of_cpu_and_memory(vcpus: int, memory_gib: int, cpu_milli: int, memory_bytes: int) -> None:
    """GKE documentation, "About GKE node sizing", "Memory and CPU reservations"."""
    left = gke_allocatable(vcpus, memory_gib * GIB)
    assert left.cpu_milli == cpu_milli
    assert left.memory_bytes == pytest.approx(memory_bytes, abs=2)


def test_gke_keeps_a_part_of_the_boot_disk() -> None:
    """That page's node of 4 cores with a disk of 100 GiB shows cpu: 3920m and ephemeral-storage: 47060071478.

    Its file system has 98,831,908 KiB, less than the disk; ours is taken to be as large as the disk.
    """
    shown, file_system = 47_060_071_478, 98_831_908 * 1_024
    left = gke_allocatable(4, 16 * GIB, 100 * GIB)
    assert left.cpu_milli == 3_920
    assert left.ephemeral_bytes - 0.9 * (100 * GIB - file_system) == pytest.approx(shown, abs=200)


def test_eight_nodes_of_one_gpu_do_not_hold_what_one_node_of_eight_does() -> None:
    """Tensor parallelism stays within a node: 8 free GPUs on 8 nodes hold no replica of 2."""
    single = Cluster([pool(min_nodes=8)])
    with pytest.raises(BadInput, match=r"gpus_per_replica: was 2, must be in \[1, 1\]"):
        placed_on(single, "pair", gpus=2)
    eight = Cluster([pool(gpus_per_node=8, min_nodes=1, max_nodes=1)])
    assert [placed_on(eight, name, gpus=4) for name in "ab"] == ["l4-0000", "l4-0000"]


@pytest.mark.parametrize(("scoring", "large_fits"), [("MostAllocated", True), ("LeastAllocated", False)])
def test_spreading_small_pods_leaves_no_room_for_a_large_one(scoring: Any, large_fits: bool) -> None:
    """NodeResourcesFit: MostAllocated packs, LeastAllocated spreads; 8 GPUs are free either way."""
    cluster = Cluster([pool(gpus_per_node=8, min_nodes=2, max_nodes=2)], scoring=scoring)
    for number in range(8):
        placed_on(cluster, f"small-{number}")
    free = sorted(node.free_gpus for node in cluster.nodes)
    assert free == ([0, 8] if large_fits else [4, 4])
    assert (placed_on(cluster, "large", gpus=8) is not None) is large_fits


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"cpu_milli": 2_000, "memory_bytes": 6 * GIB, "ephemeral_bytes": 20 * GIB}, True),
        ({"cpu_milli": 3_001}, False),
        ({"memory_bytes": 7 * GIB}, False),
        ({"ephemeral_bytes": 31 * GIB}, False),
    ],
)
def test_a_pod_needs_every_resource_free_on_one_node(asked: dict[str, int], fits: bool) -> None:
    """A second pod beside one of 1 core, 4 GiB and 10 GiB of disk on a node of 4, 10 and 40."""
    size = NodeResources(cpu_milli=4_000, memory_bytes=10 * GIB, ephemeral_bytes=40 * GIB)
    cluster = Cluster([pool(gpus_per_node=4, min_nodes=1, max_nodes=1, allocatable=size)])
    first = PodResources(cpu_milli=1_000, memory_bytes=4 * GIB, ephemeral_bytes=10 * GIB)
    assert placed_on(cluster, "first", resources=first) == "l4-0000"
    assert (placed_on(cluster, "second", resources=PodResources(**asked)) is not None) is fits
    cluster.release("first", 10.0)
    assert cluster.pending == ()


def test_a_node_is_asked_for_when_gpus_are_free_and_memory_is_not() -> None:
    size = NodeResources(cpu_milli=4_000, memory_bytes=10 * GIB, ephemeral_bytes=40 * GIB)
    cluster = Cluster([pool(gpus_per_node=4, max_nodes=3, allocatable=size)])
    for name in "abc":
        placed_on(cluster, name, resources=PodResources(memory_bytes=6 * GIB))
    assert len(cluster.nodes) == 3


def test_a_shared_gpu_takes_so_many_pods_and_each_holds_a_fraction() -> None:
    """NVIDIA device plugin, time-slicing: a node advertises `replicas` of nvidia.com/gpu for each GPU."""
    cluster = Cluster([pool(min_nodes=1, max_nodes=2, gpu_sharing=GpuSharing(per_gpu=4))])
    share = PodResources(gpu_share=4)
    assert [placed_on(cluster, name, resources=share) for name in "abcde"] == ["l4-0000"] * 4 + [None]
    cluster.advance(100.0)
    assert allocated_gpu_seconds(cluster, 100.0) == pytest.approx((4 * 100 + 10) / 4)
    paid = gpu_seconds(cluster, 100.0)
    assert (paid.provisioning, paid.held, paid.idle) == pytest.approx((90.0, 102.5, 7.5))


def test_pods_of_the_system_do_not_land_on_gpu_nodes() -> None:
    """GKE taints GPU nodes nvidia.com/gpu; a pod without the toleration is not placed there."""
    cluster = Cluster([pool(min_nodes=1), pool(name="cpu", taints=(), min_nodes=1)])
    dns = PodPolicy(namespace="kube-system", tolerations=())
    with pytest.raises(BadInput, match=r"tolerations: was \[\], must have nvidia\.com/gpu"):
        placed_on(cluster, "kube-dns", gpus=0, resources=PodResources(gpus=0), policy=dns)
    assert placed_on(cluster, "kube-dns", gpus=0, pool="cpu", resources=PodResources(gpus=0), policy=dns) == "cpu-0001"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: PodResources(memory_bytes=-1), "resources.memory_bytes: was -1, must be 0", id="negative"),
        pytest.param(
            lambda: PodResources(gpu_share=0), "resources.gpu_share: was 0, must be at least 1", id="no-share"
        ),
        pytest.param(lambda: PodResources(gpus=2, gpu_share=4), "resources.gpus: was 2, must be 1", id="two-shares"),
        pytest.param(lambda: GpuSharing(per_gpu=49), "gpu_sharing.per_gpu: was 49, must be in [2, 48]", id="49-shares"),
        pytest.param(lambda: GpuSharing(per_gpu=8, strategy="mig"), "was 8, must be in [2, 7] for mig", id="mig-8"),
        pytest.param(
            lambda: pool(gpu="NVIDIA-L4", gpu_sharing=GpuSharing(per_gpu=2, strategy="mig")),
            "gpu_sharing.strategy: was 'mig', but NVIDIA-L4 has no MIG",
            id="mig-on-l4",
        ),
        pytest.param(
            lambda: placed_on(Cluster([pool(gpu_sharing=GpuSharing(per_gpu=4))]), "a"),
            "resources.gpu_share: was 1, must be 4, into which l4 divides a GPU",
            id="whole-gpu-of-a-shared-pool",
        ),
        pytest.param(
            lambda: placed_on(
                Cluster([pool(allocatable=gke_allocatable(4, 16 * GIB))]), "a", resources=PodResources(cpu_milli=4_000)
            ),
            "resources.cpu_milli: was 4000, must be in [0, 3920], what a node of l4 leaves to pods",
            id="capacity-is-not-allocatable",
        ),
        pytest.param(
            lambda: placed_on(Cluster([pool()]), "a", resources=PodResources(gpus=2)),
            "resources.gpus: was 2, must be 1, the pod's gpus",
            id="two-numbers-of-gpus",
        ),
        pytest.param(
            lambda: Cluster([pool()]).check_pod(gpus=1, pool="l4", lead_time=LeadTime(), fallback_pools=("l5",)),
            "pool: was 'l5'; did you mean l4?",
            id="unknown-fallback",
        ),
        pytest.param(lambda: pool(zones=("a", "a")), "l4.zones: was ['a', 'a'], must be names that differ", id="zones"),
        pytest.param(
            lambda: placed_on(Cluster([pool(zones=("a", "b"))]), "p", zone="c"),
            "zone: was 'c', must be one of a, b, the zones of l4",
            id="unknown-zone",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
