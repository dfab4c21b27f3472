"""One pod's start under way: what it finds on its node decides which stages it goes through, and how often."""

import math
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace

import numpy as np

from simulations.lead_time import Stage, StartPath, generator
from simulations.start.back_off import BackOff
from simulations.start.model_load import KeptBy, ModelLoad
from simulations.start.staged_start import StagedStart

Disk = MutableMapping[str, float]
"""What is on a disk, and from when (seconds since the start of the run)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """What each stage takes one pod, in seconds, should it go through it."""

    scheduling: float
    volume: float
    pull: float
    container: float
    download: float
    read: float
    warm_up: float


STAGES = ("scheduling", "volume", "pull", "container", "download", "read", "warm_up")


@dataclass(slots=True, kw_only=True)
class StagedPod:
    """A pod's start; instants are seconds since the start of the run, inf until they are known.

    disk: of the ordinal's volume, where the pod has one. mounted_at: its volumes are there, and probes begin.
    pulled_at: the image is there. starts_at: the present container's start. downloaded_at: the model's files are there.
    load_seconds: from starts_at to Ready, inf when a probe kills the container before; killed_after_seconds likewise.
    """

    start: StagedStart
    spans: Spans
    disk: Disk | None = None
    mounted_at: float = math.inf
    pulled_at: float = math.inf
    starts_at: float = math.inf
    load_seconds: float = math.inf
    killed_after_seconds: float = math.inf
    _load: ModelLoad | None = None
    _keeps: Disk | None = None
    _downloads: bool = False
    _back_off: BackOff = field(default_factory=BackOff)

    @property
    def downloaded_at(self) -> float:
        return self.starts_at + (math.inf if self._load is None else self._load.left_seconds)

    @property
    def up_at(self) -> float:
        """When the present container's server answers, should nothing kill it."""
        return self.starts_at + (math.inf if self._load is None else self._load.seconds)

    def begin(self, cached: MutableMapping[str, float], provision: Stage, placed_at: float) -> tuple[StartPath, float]:
        """As PodStart says; the provisioning is the pool's and not part of any stage here."""
        del provision
        start, spans = self.start, self.spans
        self.mounted_at = placed_at + spans.scheduling + spans.volume
        has_image = start.is_image_preloaded or cached.get(start.image, math.inf) <= placed_at
        pulled = self.mounted_at if start.is_image_preloaded else cached.get(start.image, self.mounted_at + spans.pull)
        cached.setdefault(start.image, pulled)
        self.pulled_at = max(self.mounted_at, pulled)
        self._keeps = {KeptBy.NODE: cached, KeptBy.VOLUME: self.disk}.get(start.kept_by)
        self._start_container(self.pulled_at + spans.container, self._first_load(self.pulled_at + spans.container))
        return StartPath.WARM_NODE if has_image else StartPath.NEW_NODE, self.starts_at

    def run_already(self, cached: MutableMapping[str, float], since: float) -> None:
        """It serves when the simulation begins: what it once pulled and downloaded is there."""
        cached[self.start.image] = since
        kept = {KeptBy.NODE: cached, KeptBy.VOLUME: self.disk}.get(self.start.kept_by)
        if kept is not None:
            kept[self.start.model] = since
        self._keeps, self.mounted_at, self.pulled_at = kept, since, since
        self._start_container(since, self._first_load(since))

    def restart(self, ended_at: float) -> float:
        """Its container ended, killed or crashed: when it is started again, after the kubelet's back-off."""
        assert self._load is not None, "only what was started ends"
        left = self._load.after(ended_at - self.starts_at)
        starts_at, self._back_off = self._back_off.restart(ended_at)
        if self._keeps is not None and not self._downloads:  # what another pod downloads goes on meanwhile
            there = self._keeps.get(self.start.model, starts_at + left.download_seconds)
            left = replace(left, left_seconds=max(0.0, there - starts_at))
        self._start_container(starts_at, left)
        return starts_at

    def abandon(self, now_seconds: float) -> None:
        """The pod is gone: files that it was still downloading are not there for others."""
        if self._downloads and self._keeps is not None and self._keeps.get(self.start.model, 0.0) > now_seconds:
            del self._keeps[self.start.model]

    def _first_load(self, starts_at: float) -> ModelLoad:
        start, spans = self.start, self.spans
        kept, left = self._keeps, spans.download
        if start.is_model_preloaded:
            left = 0.0
        elif kept is not None and start.model in kept:
            left = max(0.0, kept[start.model] - starts_at)
        else:
            self._downloads = True
        return ModelLoad(
            download_seconds=0.0 if start.is_model_preloaded else spans.download,
            left_seconds=left,
            read_seconds=spans.read,
            warm_up_seconds=spans.warm_up,
            kept_by=start.kept_by,
            reread_speed=start.reread_speed,
        )

    def _start_container(self, starts_at: float, load: ModelLoad) -> None:
        self.starts_at, self._load = starts_at, load
        if self._downloads and self._keeps is not None and (load.left_seconds or self.start.model not in self._keeps):
            self._keeps[self.start.model] = self.downloaded_at
        probes = self.start.probes
        killed = probes.killed_at(probed_from=self.mounted_at, started_at=starts_at, up_at=self.up_at)
        ready = probes.ready_at(probed_from=self.mounted_at, started_at=starts_at, up_at=self.up_at)
        self.killed_after_seconds = killed - starts_at
        self.load_seconds = ready - starts_at if killed == math.inf else math.inf


@dataclass(slots=True)
class StagedDraws:
    """The starts of a fleet's pods: the n-th created, from 0, draws the same whichever stages it goes through."""

    start: StagedStart
    seed: int
    _stream: np.random.Generator = field(init=False, repr=False)
    _deviates: list[list[float]] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        self._stream = generator(self.seed, "staged start")

    def pod(self, number: int, disk: Disk | None = None) -> StagedPod:
        """A fresh start for the n-th pod; disk: its volume's, where it has one."""
        assert number >= 0, f"pods are numbered from 0, not {number}"
        while len(self._deviates) <= number:
            self._deviates.append(self._stream.standard_normal(len(STAGES)).tolist())
        drawn = zip(STAGES, self._deviates[number], strict=True)
        spans = Spans(**{name: getattr(self.start, name).seconds(deviate) for name, deviate in drawn})
        return StagedPod(start=self.start, spans=spans, disk=disk)
