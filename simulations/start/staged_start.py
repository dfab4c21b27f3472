"""What a pod goes through from the ask until it is Ready, as a description: every stage a span of its own.

    scheduled -> volume attached and mounted -> image pulled -> container started
              -> model downloaded -> read onto the GPU -> warm-up -> server up -> found Ready by a probe

In that order by the kubelet's SyncPod: it waits for the volumes before the runtime pulls images and starts containers
(kubernetes v1.36.3 pkg/kubelet/kubelet.go). The node's own provisioning comes before all of it and belongs to its pool.
"""

from dataclasses import dataclass, field

from policies.errors import BadInput
from simulations.lead_time import IMAGE, LONGEST_SECONDS, LeadTime, Stage
from simulations.start.model_load import KeptBy
from simulations.start.probes import Probes
from simulations.start.transfer import NO_TIME, Span

MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedStart:
    """A workload's start, stage by stage. Raises BadInput.

    scheduling: from a node that fits to the binding. volume: until volumes are attached and mounted.
    pull: of an image that is not on the node; a pod that comes during another's pull of it waits for that one.
    is_image_preloaded: every node has it from its first instant on (GKE: a secondary boot disk).
    container: from the image to a running container. download: of the model; NO_TIME where the image holds it.
    kept_by: what its files outlive. is_model_preloaded: every node, or every new volume, has them.
    read: from the disk onto the GPU. warm_up: compilation, CUDA graphs, the first batch.
    reread_speed: how many times as fast a restarted container reads what the one before it read; 1 without a page cache
        that is large enough.
    image, model: what they are called in a node's `cached`; workloads that share an image share its pull.
    """

    scheduling: Span = NO_TIME
    volume: Span = NO_TIME
    pull: Span = field(default_factory=lambda: Stage(11.0))
    is_image_preloaded: bool = False
    container: Span = field(default_factory=lambda: Stage(1.0))
    download: Span = NO_TIME
    kept_by: KeptBy = KeptBy.CONTAINER
    is_model_preloaded: bool = False
    read: Span = field(default_factory=lambda: Stage(120.0))
    warm_up: Span = NO_TIME
    reread_speed: float = 1.0
    probes: Probes = field(default_factory=Probes)
    image: str = IMAGE
    model: str = MODEL

    def __post_init__(self) -> None:
        if not 1.0 <= self.reread_speed < float("inf"):
            raise BadInput(f"reread_speed: was {self.reread_speed}, must be 1 or more; 1 is no page cache")
        if self.image == self.model:
            raise BadInput(f"model: was {self.model!r}, the image's name; name them differently")
        if self.is_model_preloaded and self.kept_by not in (KeptBy.NODE, KeptBy.VOLUME):
            raise BadInput(
                f"is_model_preloaded: was true with kept_by {self.kept_by}, must go with node or volume: "
                "what is in a container or a pod cannot be there before it"
            )

    def as_lead_time(self, provision: Stage) -> LeadTime:
        """The medians of a cold start as one LeadTime, for whoever needs one number: no spread, no probes' ticks."""
        placed = self.scheduling.median_seconds + self.volume.median_seconds + self.container.median_seconds
        pull = 0.0 if self.is_image_preloaded else self.pull.median_seconds
        download = 0.0 if self.is_model_preloaded else self.download.median_seconds
        load = download + self.read.median_seconds + self.warm_up.median_seconds
        return LeadTime(
            start_median_seconds=min(provision.median_seconds + placed + pull, LONGEST_SECONDS),
            load_median_seconds=min(load, LONGEST_SECONDS),
            sigma=0.0,
            warm_start_median_seconds=placed,
        )
