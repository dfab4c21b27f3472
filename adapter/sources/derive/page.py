"""A page as the values of rules are worked out from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adapter.sources.attribution import Owner
from adapter.sources.series import PodKey
from adapter.sources.series_cache import LabelSet, SeriesHead

_NO_SAMPLES: Mapping[SeriesHead, float] = {}


class Row(NamedTuple):
    """One sample and whose it is. value: may be NaN. at_ns: the line's own time, not later than the page's."""

    head: SeriesHead
    owner: Owner
    value: float
    at_ns: int

    @property
    def labels(self) -> Mapping[str, str]:
        """The exporter's labels; of a bucket with its `le`."""
        return self.owner.labels if self.head.le is None else {**self.owner.labels, "le": self.head.le}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page at one instant.

    samples: name -> series -> value. times: lines' own timestamps. owners: of label sets that have one.
    cut: name -> why none of its series are in samples. pod: whose the page is; None if it is an exporter's.
    """

    samples: Mapping[str, Mapping[SeriesHead, float]]
    times: Mapping[SeriesHead, int]
    owners: Mapping[LabelSet, Owner]
    cut: Mapping[str, str]
    pod: PodKey | None
    at_ns: int

    def rows(self, names: Sequence[str]) -> Iterator[Row]:
        """Samples of a series under any of its names, the current one first.

        Where a pod has two of the names (vLLM shows a renamed series under both for a release or two), the
        first counts.
        """
        used: dict[PodKey, str] = {}
        owner_of, time_of, page_ns = self.owners.get, self.times.get, self.at_ns
        for name in names:
            for head, value in self.samples.get(name, _NO_SAMPLES).items():
                owner = owner_of(head.labels)
                if owner is not None and used.setdefault(owner.pod, name) == name:
                    yield Row(head, owner, value, min(time_of(head, page_ns), page_ns))

    def why_cut(self, names: Sequence[str]) -> str:
        """Why the series that these names would give are missing, "" if they are not."""
        for name in names:
            if name in self.samples:
                return ""
            if name in self.cut:
                return self.cut[name]
        return ""
