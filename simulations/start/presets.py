"""Clusters whose starts were recorded or are published, ready to use. `docs/reference/pod-starts.md` lists them."""

import difflib
from dataclasses import dataclass

from policies.errors import BadInput
from simulations.cluster.node_pool import NodePool
from simulations.lead_time import Stage
from simulations.start.model_load import KeptBy
from simulations.start.probes import Probe, Probes
from simulations.start.staged_start import StagedStart
from simulations.start.transfer import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A node pool and what a pod goes through on it. source: where the numbers are from, and which are assumed."""

    name: str
    pool: NodePool
    start: StagedStart
    source: str


GKE_L4_RECORDED = Preset(
    name="gke-l4-recorded",
    pool=NodePool(name="gke-l4", gpus_per_node=1, gpu="NVIDIA-L4", max_nodes=8, provision=Stage(95.0)),
    start=StagedStart(
        volume=Stage(4.0),
        pull=Stage(11.0),
        container=Stage(1.0),
        kept_by=KeptBy.CONTAINER,
        read=Stage(120.0),
    ),
    source=(
        "events of one pod when GKE added an L4 node, from FailedScheduling: scale-up triggered +2 s, Scheduled +95 s, "
        "volume attached +99 s, image pulled +110 s, Running +111 s; the spread (sigma 0.2) and the model load of "
        "120 s after Running are LeadTime's assumptions, they were not recorded"
    ),
)

NIM_L4 = Preset(
    name="nim-l4",
    pool=NodePool(
        name="g2-standard-4",
        gpus_per_node=1,
        gpu="NVIDIA-L4",
        machine_type="g2-standard-4",
        min_nodes=0,
        max_nodes=2,
        unneeded_seconds=600.0,
        provision=Stage(232.0, 0.13),
    ),
    start=StagedStart(
        volume=Stage(4.0),
        pull=Stage(11.0),
        container=Stage(1.0),
        download=Stage(277.0, 0.22),
        kept_by=KeptBy.NODE,
        read=Transfer(16.06e9, 137e6, 0.12),
        warm_up=Stage(25.0, 0.1),
        probes=Probes(
            readiness=Probe(initial_delay_seconds=15, period_seconds=10, failure_threshold=3),
            liveness=Probe(initial_delay_seconds=15, period_seconds=10, failure_threshold=3),
            startup=Probe(initial_delay_seconds=40, period_seconds=10, failure_threshold=180),
        ),
    ),
    source=(
        "NIM on GKE, pool 0 to 2 of g2-standard-4: node 3 to 5 min, first model load 5 to 10 min, cached 2 to 3 min, "
        "idle nodes removed after 10 min; each range is taken as the middle 95 % of a lognormal. How a cached load "
        "divides (16.06 GB of weights of an 8B model in 16 bit, read at 137 MB/s, and 25 s of warm-up), and volume, "
        "image and container (those of gke-l4-recorded) are assumed; probes as the nim-llm chart's values"
    ),
)

PRESETS = {preset.name: preset for preset in (GKE_L4_RECORDED, NIM_L4)}


def preset_named(name: str) -> Preset:
    """The preset of that name, or BadInput with the nearest one."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(PRESETS)}"
        raise BadInput(f"preset: was {name!r}; {hint}")
    return PRESETS[name]
