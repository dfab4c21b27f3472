"""Samples in memory: the only thing a request reads."""

from collections.abc import Mapping, Sequence

from adapter.sources.attribution import Page, Series
from adapter.sources.targets import PodKey, Target, TargetSet

NS_PER_SECOND = 1_000_000_000


class Store:
    """The last collection's series, by namespace, metric and pod.

    A pod or target that is no longer listed is gone at once. A target that could not be scraped keeps its
    last page, whose samples are missing as soon as they are older than max_age_ns.
    """

    def __init__(self, *, max_age_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._pods: Mapping[PodKey, Mapping[str, str]] = {}
        self._pages: dict[Target, Page] = {}
        self._index: dict[tuple[str, str], dict[str, tuple[Series, ...]]] = {}

    def update(self, targets: TargetSet, scraped: Mapping[Target, Page]) -> None:
        """Replace everything by one collection. scraped: the pages that could be had."""
        self._pages = {
            target: page
            for target in targets.targets
            if (page := scraped.get(target, self._pages.get(target))) is not None
        }
        index: dict[tuple[str, str], dict[str, tuple[Series, ...]]] = {}
        for page in self._pages.values():
            for (pod, metric), series in page.items():
                if pod in targets.pods:
                    by_pod = index.setdefault((pod.namespace, metric), {})
                    by_pod[pod.name] = by_pod.get(pod.name, ()) + series
        self._pods, self._index = targets.pods, index

    def by_pod(self, namespace: str, metric: str) -> Mapping[str, tuple[Series, ...]]:
        """Every pod's series of one metric (current name), by pod name, whatever their age."""
        return self._index.get((namespace, metric), {})

    def pod_labels(self, pod: PodKey) -> Mapping[str, str]:
        """The pod's own labels, as the targets give them."""
        return self._pods.get(pod, {})

    def why_missing(self, series: Sequence[Series], now_ns: int) -> str | None:
        """Why these series (one or more) have no value at now_ns; None if they do.

        One series without a value makes the pod's value unknown: a sum or mean over the others would be
        too low, and a load that reads too low scales down.
        """
        age_ns = now_ns - min(one.at_ns for one in series)
        if age_ns > self._max_age_ns:
            return f"last sample {age_ns / NS_PER_SECOND:.0f} s old, max age {self._max_age_ns / NS_PER_SECOND:g} s"
        if any(one.value is None for one in series):
            return "its page gives NaN or an infinity, which is no value"
        return None

    def series_count(self) -> int:
        """Series held, whatever their age."""
        return sum(len(series) for by_pod in self._index.values() for series in by_pod.values())

    def oldest_at_ns(self) -> int | None:
        """Time of the oldest sample held; None if none is."""
        ats = (one.at_ns for by_pod in self._index.values() for series in by_pod.values() for one in series)
        return min(ats, default=None)
