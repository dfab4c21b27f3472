"""The newest samples of each pod, from whichever source has them; never one that is older than one that was told.

The policies count what servers did between two looks, and take a counter that went back for a server that began anew.
So an older sample of a slower source, told after a newer one, would count all that the server ever did as new.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapter.sources.series import PodKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample(Generic[T]):
    """value: what one source said of a pod at one instant. rank: of the source, 0 for the best."""

    value: T
    at_ns: int
    rank: int


class Samples(Generic[T]):
    """Pod -> its sample. max_age_ns: by rank: beyond it a sample is stale."""

    def __init__(self, max_age_ns: Callable[[int], int]) -> None:
        self._max_age_ns = max_age_ns
        self._samples: dict[PodKey, Sample[T]] = {}

    def offer(self, found: Mapping[PodKey, Sample[T]], now_ns: int) -> None:
        """Take what is newer, from a source as good as the present one, or once that one has missed half of its age."""
        for pod, offered in found.items():
            present = self._samples.get(pod)
            if present is None or (offered.at_ns > present.at_ns and self._may_follow(offered, present, now_ns)):
                self._samples[pod] = offered

    def fresh(self, pod: PodKey, now_ns: int) -> T | None:
        sample = self._samples.get(pod)
        if sample is None or now_ns - sample.at_ns > self._max_age_ns(sample.rank):
            return None
        return sample.value

    def last(self, pod: PodKey) -> T | None:
        """However old it is."""
        sample = self._samples.get(pod)
        return None if sample is None else sample.value

    def keep_only(self, pods: Collection[PodKey]) -> None:
        """Pods that are gone are forgotten; one of the same name may come."""
        for pod in [pod for pod in self._samples if pod not in pods]:
            del self._samples[pod]

    def __len__(self) -> int:
        return len(self._samples)

    def _may_follow(self, offered: Sample[T], present: Sample[T], now_ns: int) -> bool:
        return offered.rank <= present.rank or now_ns - present.at_ns > self._max_age_ns(present.rank) // 2
