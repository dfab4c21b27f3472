"""What a pod asks for, what a node has left for pods, and GPUs that several pods share.

A node's allocatable is its capacity less what GKE keeps for itself. GKE documentation, "About GKE node sizing"
(cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes), Linux nodes:
  CPU: 6 % of the first core, 1 % of the next, 0.5 % of the next two, 0.25 % of those above four;
  memory: 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112, 2 % above 128 GiB
    (255 MiB of a machine below 1 GiB), and 100 MiB as the kubelet's eviction threshold;
  ephemeral storage on the boot disk: 10 % as eviction threshold and the least of 50 %, 6 GiB + 35 %, and 100 GiB.
That page's example, a node of 4 cores and a disk of 100 GiB, has 3920m of CPU and 47,060,071,478 bytes.
The kernel's own share of the memory (some 2 %) and DaemonSets are not taken off.
"""

from dataclasses import dataclass
from typing import Literal

from policies.errors import BadInput

GIB = 2**30
MIB = 2**20

_MEMORY_TIERS = ((4 * GIB, 0.25), (8 * GIB, 0.20), (16 * GIB, 0.10), (128 * GIB, 0.06), (None, 0.02))
"""(up to so many bytes, share of that part that is kept)."""

_CPU_TIERS = ((1_000, 0.06), (2_000, 0.01), (4_000, 0.005), (None, 0.0025))
"""(up to so many milli-cores, share of that part that is kept)."""

_LARGEST_SHARES = {"time-sharing": 48, "mps": 48, "mig": 7}
"""GKE: maxSharedClientsPerGPU is 2 to 48 (ComputeClass reference); NVIDIA MIG: an A100 or H100 has at most 7 instances
(MIG User Guide, "Supported MIG Profiles": 7 of 1g)."""

_WITHOUT_MIG = ("T4", "L4", "L40S")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodResources:
    """A pod's requests. Raises BadInput.

    gpus: whole GPUs, all on one node (tensor parallelism does not leave a node); 0 for a pod of the system.
    gpu_share: n for 1/n of one GPU, on a pool that shares its GPUs among n pods; 1 for whole GPUs.
    cpu_milli, memory_bytes, ephemeral_bytes: of `resources.requests`; ephemeral is the node's own disk.
    """

    gpus: int = 1
    gpu_share: int = 1
    cpu_milli: int = 0
    memory_bytes: int = 0
    ephemeral_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("gpus", "cpu_milli", "memory_bytes", "ephemeral_bytes"):
            if getattr(self, name) < 0:
                raise BadInput(f"resources.{name}: was {getattr(self, name)}, must be 0 or more")
        if self.gpu_share < 1:
            raise BadInput(f"resources.gpu_share: was {self.gpu_share}, must be at least 1: 4 asks for 1/4 of a GPU")
        if self.gpu_share > 1 and self.gpus != 1:
            raise BadInput(
                f"resources.gpus: was {self.gpus}, must be 1 with gpu_share {self.gpu_share}: a pod has one share "
                "of one GPU; use a pool with fewer shares for more of it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResources:
    """What pods can have of a node besides its GPUs: `status.allocatable`."""

    cpu_milli: int
    memory_bytes: int
    ephemeral_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSharing:
    """A GPU of the pool is advertised as `per_gpu` of them; each pod has a fraction of its capacity. Raises BadInput.

    strategy: time-sharing and mps share compute and memory; mig gives each pod an instance of its own.
    """

    per_gpu: int
    strategy: Literal["time-sharing", "mps", "mig"] = "time-sharing"

    def __post_init__(self) -> None:
        most = _LARGEST_SHARES.get(self.strategy)
        if most is None:
            raise BadInput(f"gpu_sharing.strategy: was {self.strategy!r}, must be one of {', '.join(_LARGEST_SHARES)}")
        if not 2 <= self.per_gpu <= most:
            raise BadInput(
                f"gpu_sharing.per_gpu: was {self.per_gpu}, must be in [2, {most}] for {self.strategy}; "
                "leave gpu_sharing out for whole GPUs"
            )

    def check_gpu(self, gpu: str) -> None:
        """Raise BadInput for MIG on a GPU that has none."""
        if self.strategy == "mig" and gpu.removeprefix("NVIDIA-") in _WITHOUT_MIG:
            raise BadInput(f"gpu_sharing.strategy: was 'mig', but {gpu} has no MIG; use time-sharing")


def gke_allocatable(vcpus: int, memory_bytes: int, boot_disk_bytes: int = 100 * GIB) -> NodeResources:
    """What GKE leaves to pods of a machine. boot_disk_bytes: GKE's default is 100 GB."""
    capacity_milli = 1_000 * vcpus
    kept_memory = 255 * MIB if memory_bytes < GIB else _kept(memory_bytes, _MEMORY_TIERS)
    kept_disk = min(0.5 * boot_disk_bytes, 6 * GIB + 0.35 * boot_disk_bytes, 100 * GIB)
    return NodeResources(
        cpu_milli=round(capacity_milli - _kept(capacity_milli, _CPU_TIERS)),
        memory_bytes=max(0, round(memory_bytes - kept_memory) - 100 * MIB),
        ephemeral_bytes=round(0.9 * boot_disk_bytes - kept_disk),
    )


def _kept(amount: int, tiers: tuple[tuple[int | None, float], ...]) -> float:
    """What is kept of an amount, part by part."""
    kept, begin = 0.0, 0
    for end, share in tiers:
        part = amount - begin if end is None else min(amount, end) - begin
        if part <= 0:
            break
        kept += share * part
        begin += part
    return kept
