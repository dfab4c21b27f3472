"""What each way to mitigate cold starts saves, found by running starts in a cluster.

One replica is wanted for a while, then not, then again while its node is still there, and once more when the node is
long gone; how long somebody waits each time, and the node-hours that the whole takes, are what mitigations differ in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.usage import node_seconds
from simulations.start.model_load import KeptBy
from simulations.start.presets import Preset
from simulations.start.staged_pod import StagedDraws
from simulations.start.transfer import Transfer

LOCAL_SSD_BYTES_PER_SECOND = 350e6
"""How fast a model is read from a local SSD: an assumption, of one disk and one stream; see `local_ssd`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """A preset with something done about cold starts.

    floor_nodes: kept by placeholder pods or the pool's floor, idle where no replica is. min_replicas: that always run.
    """

    name: str
    preset: Preset
    floor_nodes: int = 0
    min_replicas: int = 0


Mitigation = Callable[[Preset], WhatIf]


def as_it_is(preset: Preset) -> WhatIf:
    """Nothing done."""
    return WhatIf(name="as it is", preset=preset)


def without_cache(preset: Preset) -> WhatIf:
    """The model's files are gone with every container."""
    start = replace(preset.start, kept_by=KeptBy.CONTAINER, is_model_preloaded=False)
    return WhatIf(name="no model cache", preset=replace(preset, start=start))


def pre_pulled_image(preset: Preset) -> WhatIf:
    """The image is on every node from the start: a secondary boot disk, which makes no node later (GKE documentation,
    "Use secondary boot disks to preload data or container images")."""
    return WhatIf(
        name="image on a secondary boot disk",
        preset=replace(preset, start=replace(preset.start, is_image_preloaded=True)),
    )


def pre_loaded_model(preset: Preset) -> WhatIf:
    """The model's files are on every node from the start, by the same means."""
    start = replace(preset.start, kept_by=KeptBy.NODE, is_model_preloaded=True)
    return WhatIf(name="model on a secondary boot disk", preset=replace(preset, start=start))


def model_cache(preset: Preset) -> WhatIf:
    """The model's files stay on the node's disk (hostPath): its later pods do not download them."""
    return WhatIf(
        name="model cache on the node", preset=replace(preset, start=replace(preset.start, kept_by=KeptBy.NODE))
    )


def local_ssd(preset: Preset, bytes_per_second: float = LOCAL_SSD_BYTES_PER_SECOND) -> WhatIf:
    """The model's files are cached on a local SSD and read from there. Raises BadInput where their size is unknown."""
    read = preset.start.read
    if not isinstance(read, Transfer):
        raise BadInput(
            f"read: was a time in preset {preset.name}, must be a Transfer of bytes to say what a disk saves"
        )
    faster = Transfer(read.size_bytes, max(bytes_per_second, read.bytes_per_second), read.sigma)
    start = replace(preset.start, kept_by=KeptBy.NODE, read=faster)
    return WhatIf(name="model cache on a local SSD", preset=replace(preset, start=start))


def placeholder_headroom(preset: Preset) -> WhatIf:
    """One node is kept with or without a replica on it, by a placeholder pod that replicas preempt or by the floor."""
    return WhatIf(name="headroom of 1 node", preset=preset, floor_nodes=1)


def min_replica(preset: Preset) -> WhatIf:
    """The first replica is never taken away."""
    return WhatIf(name="minReplicas 1", preset=preset, min_replicas=1)


MITIGATIONS: tuple[Mitigation, ...] = (
    as_it_is,
    without_cache,
    pre_pulled_image,
    pre_loaded_model,
    model_cache,
    local_ssd,
    placeholder_headroom,
    min_replica,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Medians over seeds, in seconds from the ask until a replica serves; node_hours over the whole timeline.

    cold: with no node. again: while the node that ran one before is still there. late: when it is gone again.
    """

    name: str
    cold_seconds: float
    again_seconds: float
    late_seconds: float
    node_hours: float


FIRST_ASK, RELEASED, SECOND_ASK, RELEASED_AGAIN, LAST_ASK, END = 3_600.0, 7_200.0, 7_500.0, 10_800.0, 18_000.0, 21_600.0
"""When a replica is wanted and not: 5 min of a gap, which is within a pool's unneeded time, and then 2 h."""


def waits(what_if: WhatIf, seeds: Sequence[int] = tuple(range(1, 32))) -> Waits:
    """Run it. Raises BadInput for a gap of 5 min that no node outlives, for then there is nothing to compare."""
    pool = what_if.preset.pool
    if pool.unneeded_seconds <= SECOND_ASK - RELEASED:
        raise BadInput(
            f"{pool.name}.unneeded_seconds: was {pool.unneeded_seconds:g}, must be above {SECOND_ASK - RELEASED:g}, "
            "so that the node of the second ask is still there"
        )
    runs = [_run(what_if, seed) for seed in seeds]
    return Waits(
        name=what_if.name,
        cold_seconds=median(run[0] for run in runs),
        again_seconds=median(run[1] for run in runs),
        late_seconds=median(run[2] for run in runs),
        node_hours=median(run[3] for run in runs),
    )


def _run(what_if: WhatIf, seed: int) -> tuple[float, float, float, float]:
    cluster = Cluster([what_if.preset.pool], seed=seed)
    draws = StagedDraws(what_if.preset.start, seed)
    pool = what_if.preset.pool.name
    cluster.set_floor(pool, max(what_if.floor_nodes, what_if.preset.pool.min_nodes), 0.0)
    seconds = []
    running = ""
    ready = [0.0]

    def ask(number: int, at: float) -> None:
        nonlocal running
        running = f"replica-{number}"
        start = draws.pod(number)
        cluster.place(running, gpus=1, pool=pool, start=start, now_seconds=at)
        while cluster.pods[running].placement is None:
            cluster.advance(cluster.next_event_seconds())
        ready[0] = start.starts_at + start.load_seconds

    if what_if.min_replicas:
        ask(0, 0.0)
    for number, (at, until) in enumerate(
        ((FIRST_ASK, RELEASED), (SECOND_ASK, RELEASED_AGAIN), (LAST_ASK, END)), start=1
    ):
        if not running:
            ask(number, at)
        seconds.append(max(0.0, ready[0] - at))
        if not what_if.min_replicas:
            cluster.release(running, max(until, cluster.now_seconds))
            running = ""
    cluster.advance(END)
    first, second, last = seconds
    return first, second, last, node_seconds(cluster, END) / 3_600.0
