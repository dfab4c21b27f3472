"""Lead time: what happens from the ask for a pod until it serves, by the path that it takes.

    new node    node provisioned, image pulled, container started   then   model loaded and warmed up
    warm node             container started from the cached image   then   model loaded and warmed up

Only the start depends on the path. The n-th pod of a seed draws the same deviates whichever path it takes, so that
policies are compared on common random numbers.
"""

import math
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self

import numpy as np

from policies.errors import BadInput

LONGEST_SECONDS = 86_400.0
"""Beyond a day, it is a typing error in a unit."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A span of time whose logarithm is normal: median_seconds x exp(sigma x deviate).

    median_seconds: in [0, 86400].
    sigma: standard deviation of the logarithm, in [0, 3]; 0 makes every draw the median.
    """

    median_seconds: float
    sigma: float = 0.2

    def __post_init__(self) -> None:
        check_seconds("median_seconds", self.median_seconds)
        _check_sigma(self.sigma)

    def seconds(self, deviate: float) -> float:
        """The span for one standard normal deviate."""
        return self.median_seconds * math.exp(self.sigma * deviate)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """The stages of a pod's start, as medians in seconds of lognormal spans with one sigma. Raises BadInput.

    start_median_seconds: ask to containers running, on a node that is created for it: the autoscaler's reaction, the
        node, the image and the container. Default: FailedScheduling to Running took 111 s when GKE added an L4 node.
    load_median_seconds: from then until Ready: model load and warm-up, on either path.
    sigma: standard deviation of each stage's logarithm; 0 makes every pod take the medians.
    warm_start_median_seconds: ask to containers running, on a node that is ready and has the image. Default: with
        sigma 0.2 its 99th percentile is 3 x exp(0.2 x 2.33) = 4.8 s, just within Kubernetes' objective of 5 s for
        pods whose image is there (kubernetes/community sig-scalability/slos/pod_startup_latency.md).
    """

    start_median_seconds: float = 111.0
    load_median_seconds: float = 120.0
    sigma: float = 0.2
    warm_start_median_seconds: float = 3.0

    def __post_init__(self) -> None:
        for name in ("start_median_seconds", "load_median_seconds", "warm_start_median_seconds"):
            check_seconds(name, getattr(self, name))
        _check_sigma(self.sigma)

    @classmethod
    def of_median(cls, seconds: float) -> Self:
        """Half of it until the container runs, half until the model is loaded."""
        half = seconds / 2
        return cls(
            start_median_seconds=half,
            load_median_seconds=half,
            warm_start_median_seconds=min(half, cls().warm_start_median_seconds),
        )

    @property
    def warm_start(self) -> Stage:
        """From the ask, on a ready node that has the image."""
        return Stage(self.warm_start_median_seconds, self.sigma)

    def start_after(self, provision: Stage) -> Stage:
        """From a new node's readiness: what its provisioning leaves of `start_median_seconds` (image, container).

        Raises BadInput when provisioning alone takes longer than the whole start.
        """
        if provision.median_seconds > self.start_median_seconds:
            raise BadInput(
                f"start_median_seconds: was {self.start_median_seconds:g}, must be at least the node's provisioning "
                f"of {provision.median_seconds:g} s, which is part of it; raise it by the image pull as well"
            )
        return Stage(self.start_median_seconds - provision.median_seconds, self.sigma)

    @property
    def load(self) -> Stage:
        """From running containers to Ready."""
        return Stage(self.load_median_seconds, self.sigma)


class StartPath(StrEnum):
    """How a pod came to run."""

    INITIAL = "already running"
    WARM_NODE = "warm node"
    NEW_NODE = "new node"


class PodStart(Protocol):
    """What the cluster asks of a pod that it puts on a node."""

    def begin(self, cached: MutableMapping[str, float], provision: Stage, placed_at: float) -> tuple[StartPath, float]:
        """The path and when the containers run, for a pod that is placed at `placed_at`.

        cached: what the node has on its disk, or will have, and from when; the pod adds what it brings there.
        provision: the node's own part of a lead time that was stated as a whole.
        """
        ...


class ContainerStart(PodStart, Protocol):
    """What a fleet asks of a pod's start once `begin` was called: how its containers fare."""

    @property
    def load_seconds(self) -> float:
        """From the present container's start to Ready; inf when it is killed before."""
        ...

    @property
    def killed_after_seconds(self) -> float:
        """From the present container's start until a probe has it killed while it loads; inf when none does."""
        ...

    def restart(self, ended_at: float) -> float:
        """The container ended at `ended_at`: when it is started again. What is above is the new one's from here on."""
        ...

    def abandon(self, now_seconds: float) -> None:
        """The pod is gone; what it had begun to bring to a disk is not there for others."""
        ...


IMAGE = "image"
"""What a node without a catalogue of images has in `cached` once a pod pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLeadTime:
    """One pod's draw: how long each stage takes it, on whichever path it will turn out to take."""

    lead_time: LeadTime
    start_deviate: float
    load_deviate: float

    @property
    def warm_start_seconds(self) -> float:
        """From being placed on a ready node that has the image to running containers."""
        return self.lead_time.warm_start.seconds(self.start_deviate)

    def start_seconds_after(self, provision: Stage) -> float:
        """From a new node's readiness to running containers."""
        return self.lead_time.start_after(provision).seconds(self.start_deviate)

    def begin(self, cached: MutableMapping[str, float], provision: Stage, placed_at: float) -> tuple[StartPath, float]:
        """The first pod on a node pulls the image; those that come meanwhile wait for it."""
        if IMAGE not in cached:
            cached[IMAGE] = placed_at + self.start_seconds_after(provision)
            return StartPath.NEW_NODE, cached[IMAGE]
        path = StartPath.WARM_NODE if cached[IMAGE] <= placed_at else StartPath.NEW_NODE
        return path, max(placed_at + self.warm_start_seconds, cached[IMAGE])

    @property
    def load_seconds(self) -> float:
        """From running containers to Ready."""
        return self.lead_time.load.seconds(self.load_deviate)

    @property
    def killed_after_seconds(self) -> float:
        """Never: there are no probes in a lead time."""
        return math.inf

    def restart(self, ended_at: float) -> float:
        """At once, on the same node; the model is loaded anew."""
        return ended_at

    def abandon(self, now_seconds: float) -> None:
        """Nothing was begun: an image that is being pulled is pulled to its end."""


@dataclass(slots=True)
class Draws:
    """The lead times of a fleet's pods: `pod(n)` is the n-th created, from 0, equal for equal seeds.

    Two deviates a pod (start, load), in the order of creation, from one stream: what `Generator.lognormal` draws.
    """

    lead_time: LeadTime
    seed: int
    _stream: np.random.Generator = field(init=False, repr=False)
    _deviates: list[tuple[float, float]] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        self._stream = generator(self.seed)

    def pod(self, number: int) -> PodLeadTime:
        """What the n-th pod takes; may be asked in any order and again."""
        assert number >= 0, f"pods are numbered from 0, not {number}"
        while len(self._deviates) <= number:
            start, load = self._stream.standard_normal(2).tolist()
            self._deviates.append((start, load))
        start, load = self._deviates[number]
        return PodLeadTime(lead_time=self.lead_time, start_deviate=start, load_deviate=load)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A stream of random numbers for a seed and, beside the seed's own, for whatever bears these names."""
    if seed < 0:
        raise BadInput(f"seed: was {seed}, must be 0 or more")
    return np.random.default_rng([seed, *"/".join(names).encode()] if names else seed)


def check_seconds(name: str, value: float) -> None:
    """Raise BadInput unless it is a span from 0 to a day (NaN is not)."""
    if not 0.0 <= value <= LONGEST_SECONDS:
        raise BadInput(f"{name}: was {value}, must be in [0, {LONGEST_SECONDS:g}] seconds")


def _check_sigma(value: float) -> None:
    if not 0.0 <= value <= 3.0:
        raise BadInput(
            f"sigma: was {value}, must be in [0, 3]; it is the standard deviation of the logarithm: "
            "at 0.2 the slowest 1 % take 1.6 times the median"
        )
