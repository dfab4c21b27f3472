"""The sections about pods: how they start, what owns them, how a new revision comes, what they ask of a node."""

from typing import Literal, Self

from pydantic import Field, model_validator

from leadtime.scenario_section import Section
from policies.errors import BadInput
from simulations.start.presets import preset_named


class ProbeSection(Section):
    """One probe of the container, with Kubernetes' defaults."""

    initial_delay_seconds: int = Field(default=0, ge=0, le=86_400)
    """initialDelaySeconds"""
    period_seconds: int = Field(default=10, ge=1, le=3_600)
    """periodSeconds: Ready is found at a tick of it"""
    failure_threshold: int = Field(default=3, ge=1, le=100_000)
    """failureThreshold"""
    success_threshold: int = Field(default=1, ge=1, le=1_000)
    """successThreshold; 1 for liveness and startup"""


class StartSection(Section):
    """A pod's start in stages. What is null is the preset's; without one only pull, container and read take time."""

    preset: str | None = None
    """a recorded start: gke-l4-recorded or nim-l4; without nodes and pools, its pool as well"""
    scheduling_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median from a node that fits to the binding"""
    volume_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median until volumes are attached and mounted"""
    pull_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median of the image pull, where it was seen as a time; 11 without a preset"""
    image_gbytes: float | None = Field(default=None, gt=0, le=1_000)
    """compressed size of the image, in place of pull_seconds"""
    pull_mbytes_per_second: float = Field(default=100.0, gt=0, le=100_000)
    """at which image_gbytes are pulled and unpacked"""
    container_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median from the image to a running container; 1 without a preset"""
    download_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median of the model's download; 0 where the image holds it"""
    read_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median from the disk onto the GPU; 120 without a preset"""
    model_gbytes: float | None = Field(default=None, gt=0, le=100_000)
    """size of the model's files, in place of download_seconds and read_seconds"""
    download_mbytes_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """at which model_gbytes are downloaded; null: they are not, the image or a volume holds them"""
    read_mbytes_per_second: float = Field(default=1_000.0, gt=0, le=100_000)
    """at which model_gbytes are read: a local SSD's, a network disk's"""
    warm_up_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """median of compilation and CUDA graphs"""
    sigma: float = Field(default=0.2, ge=0, le=3)
    """standard deviation of the logarithm of what is given here; a preset's stages have their own"""
    kept_by: Literal["container", "pod", "node", "volume"] | None = None
    """what the model's files outlive, so where they are cached; container without a preset"""
    is_image_preloaded: bool | None = None
    """every node has the image from its first instant: a secondary boot disk"""
    is_model_preloaded: bool | None = None
    """every node, or every new volume, has the model's files; needs kept_by node or volume"""
    reread_speed: float | None = Field(default=None, ge=1, le=1_000)
    """how many times as fast a restarted container reads the model: the page cache; 1 without a preset"""
    readiness: ProbeSection | None = None
    """readinessProbe; null: the preset's, or Ready the instant the server is up"""
    liveness: ProbeSection | None = None
    """livenessProbe; without a startup probe it kills what loads for longer than it waits"""
    startup: ProbeSection | None = None
    """startupProbe: as long as it has not succeeded, no other probe runs"""

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.preset is not None:
            preset_named(self.preset)
        if self.image_gbytes is not None and self.pull_seconds is not None:
            raise BadInput("pull_seconds: was given with image_gbytes, must be one of them; leave one out")
        for name in ("download_seconds", "read_seconds"):
            if self.model_gbytes is not None and getattr(self, name) is not None:
                raise BadInput(f"{name}: was given with model_gbytes, must be one of them; leave one out")
        if self.download_mbytes_per_second is not None and self.model_gbytes is None:
            raise BadInput(
                f"download_mbytes_per_second: was {self.download_mbytes_per_second:g}, must go with model_gbytes; "
                "give the model's size"
            )
        return self


class OwnerSection(Section):
    """What owns the pods, and how they end."""

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    """a StatefulSet's pods have ordinals, and volumes that stay"""
    pod_management_policy: Literal["OrderedReady", "Parallel"] = "OrderedReady"
    """of a StatefulSet: OrderedReady creates one pod when the one before is Ready"""
    has_volumes: bool = True
    """of a StatefulSet: a PersistentVolumeClaim for each ordinal, in the zone of its first node"""
    retains_volumes: bool = True
    """of a StatefulSet: persistentVolumeClaimRetentionPolicy.whenScaled is Retain, not Delete"""
    termination_grace_period_seconds: float | None = Field(default=None, ge=0, le=604_800)
    """from deletion to SIGKILL, the preStop hook included; null: a pod answers all it has. Kubernetes' default is 30"""
    pre_stop_seconds: float = Field(default=0.0, ge=0, le=604_800)
    """a preStop hook that sleeps"""
    pod_deletion_cost: Literal["Unset", "ByNode"] = "Unset"
    """of a Deployment; ByNode: pods on dear on-demand nodes go first, then those on nodes with few pods"""

    @model_validator(mode="after")
    def _of_a_replica_set(self) -> Self:
        if self.pod_deletion_cost == "ByNode" and self.kind == "StatefulSet":
            raise BadInput(
                "pod_deletion_cost: was ByNode, must be Unset for a StatefulSet, whose pods go by their ordinal; "
                "leave it out or set kind: Deployment"
            )
        return self


_STRATEGIES_OF = {
    "max_surge": ("rolling-update",),
    "max_unavailable": ("rolling-update",),
    "progress_deadline_seconds": ("rolling-update",),
    "scale_down_delay_seconds": ("blue-green", "canary"),
    "weights_percent": ("canary",),
    "traffic_routing": ("canary",),
    "pause_seconds": ("canary",),
    "min_attainment": ("canary",),
}
"""The fields that not every strategy heeds, and which do."""


class RolloutSection(Section):
    """A new revision of the pods, in the course of the run; of a Deployment only."""

    at_minutes: float = Field(ge=0, le=1_440)
    """when the new pod template is applied"""
    strategy: Literal["rolling-update", "blue-green", "canary"] = "rolling-update"
    """how the new pods take the old ones' place"""
    profile: str | None = Field(default=None, min_length=1)
    """of the new revision's servers, with as many GPUs and as much KV cache; null: the same"""
    max_surge: str | None = Field(default=None, min_length=1)
    """of rolling-update: pods above the number, '1' or '25%'; null: 25%"""
    max_unavailable: str | None = Field(default=None, min_length=1)
    """of rolling-update: pods that may be missing, '1' or '25%'; null: 25%"""
    progress_deadline_seconds: float | None = Field(default=None, gt=0, le=86_400)
    """of rolling-update: until it is called stuck; null: 600"""
    scale_down_delay_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """of blue-green, and of canary with traffic_routing: pods stay so long after their last request; null: 30"""
    weights_percent: list[float] | None = Field(default=None, min_length=1)
    """of canary: shares of the requests, one step each; null: 5, 10, 20"""
    traffic_routing: bool | None = None
    """of canary: a gateway sends requests by weight; null or false: weights are approximated by numbers of pods"""
    pause_seconds: float | None = Field(default=None, gt=0, le=86_400)
    """of canary: at each step; null: 300"""
    min_attainment: float | None = Field(default=None, ge=0, le=1)
    """of canary: of the new revision's requests, or all goes back; null: 0.95"""

    @model_validator(mode="after")
    def _of_its_strategy(self) -> Self:
        for name, strategies in _STRATEGIES_OF.items():
            if self.strategy not in strategies and getattr(self, name) is not None:
                raise BadInput(
                    f"{name}: was given, must be null for {self.strategy}; leave it out or set strategy: "
                    f"{' or '.join(strategies)}"
                )
        if self.strategy == "canary" and not self.traffic_routing and self.scale_down_delay_seconds is not None:
            raise BadInput(
                "scale_down_delay_seconds: was given, must be null for a canary by numbers of pods; leave it out or "
                "set traffic_routing: true"
            )
        return self


class PodSection(Section):
    """What a pod asks of its node besides the profile's GPUs, and whether it may be moved."""

    cpu: float = Field(default=0.0, ge=0, le=1_024)
    """requests.cpu in cores; heeded on pools of a machine type"""
    memory_gib: float = Field(default=0.0, ge=0, le=65_536)
    """requests.memory; heeded on pools of a machine type"""
    ephemeral_gib: float = Field(default=0.0, ge=0, le=65_536)
    """requests.ephemeral-storage, of the boot disk; heeded on pools of a machine type"""
    gpu_share: int = Field(default=1, ge=1, le=48)
    """4 asks for a quarter of a GPU, on pools whose gpu_sharing divides it so"""
    tolerations: list[str] = Field(default=[])
    """keys of taints besides nvidia.com/gpu, which pods that ask for GPUs tolerate"""
    safe_to_evict: bool | None = False
    """cluster-autoscaler.kubernetes.io/safe-to-evict: whether the node autoscaler may move it; null: not annotated"""
    min_available: int | None = Field(default=None, ge=0, le=100_000)
    """minAvailable of the pods' PodDisruptionBudget; null: none"""
