"""Label sets of rows, read once: from one collection to the next their text does not change."""

import json
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from adapter.sources.attribution import EXPORTER_NAMESPACES, may_speak_of
from adapter.sources.prometheus.promql import IDENTITY, PART
from adapter.sources.series import PodKey

_OF_NO_POD = frozenset(("pod", "exported_pod", PART, "__name__"))
_OF_TARGET = frozenset(("namespace", "pod", PART, "__name__"))
_OF_WORKLOAD = _OF_TARGET | _OF_NO_POD | {"exported_namespace"}

Identity: TypeAlias = tuple[str | None, ...]
"""The labels by which a value finds its time (promql.IDENTITY)."""


@dataclass(frozen=True, slots=True, eq=False)
class RowLabels:
    """What a row's labels say. One object for equal texts: compare by `is`.

    pod: whose it is, None if it names none. exporter: the pod that told it, where that is another one.
    own: the labels without those that repeat the pod; of a row of no pod they say the namespace. One object for equal
    labels. apart: the same without `job`: two jobs that scrape one page tell one series twice. host: of the target's
    address, "" where none is told. name: of the series, "" where a
    function has dropped it. is_time: of a row that says when values were taken. gpu: all labels, where one names a GPU.
    bucket: of a histogram's bucket its `le`, the text of the labels without it, and what those say.
    count, longest: how many labels of its own, and the characters of the longest value.
    """

    pod: PodKey | None
    exporter: PodKey | None
    identity: Identity
    own: Mapping[str, str]
    apart: Mapping[str, str]
    host: str
    name: str
    is_time: bool
    gpu: Mapping[str, str] | None
    count: int
    longest: int
    bucket: "tuple[float, str, RowLabels] | None" = None


class LabelCache:
    """Text of a label set, as in the answer -> RowLabels. limit: entries; beyond it they are read anew.
    exporter_namespaces: whose pods are believed about those of other namespaces.

    Without it each collection would make three objects a row, and Python's cyclic garbage collector, looking through
    all others now and then, would hold up the event loop: for 160 ms at 10,000 series, measured.
    """

    def __init__(self, *, limit: int, exporter_namespaces: Collection[str] = EXPORTER_NAMESPACES) -> None:
        self._limit = limit
        self._believed = exporter_namespaces
        self._rows: dict[str, RowLabels] = {}
        self._shared: dict[Hashable, Mapping[str, str]] = {}

    def of(self, text: str) -> RowLabels | None:
        """text: a JSON object. None if it holds anything but strings. Raises ValueError if it is no JSON."""
        found = self._rows.get(text)
        if found is None:
            labels = json.loads(text)
            if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
                return None
            if len(self._rows) >= self._limit:
                self._rows.clear()
                self._shared.clear()
            found = self._rows[text] = self._read(labels)
        return found

    def _read(self, labels: Mapping[str, str]) -> RowLabels:
        target = PodKey(labels.get("namespace", ""), labels.get("pod", ""))
        workload = workload_of(labels, self._believed)
        pod = workload if workload is not None or not all(target) else target
        not_own = _OF_NO_POD if pod is None else _OF_TARGET if workload is None else _OF_WORKLOAD
        own = {key: value for key, value in labels.items() if key not in not_own}
        apart = {key: value for key, value in own.items() if key != "job" or "instance" not in own}
        instance = labels.get("instance", "")
        return RowLabels(
            pod=pod,
            exporter=target if workload is not None and target.name else None,
            identity=tuple(labels.get(label) for label in IDENTITY),
            own=self._shared.setdefault(frozenset(own.items()), own),
            apart=self._shared.setdefault(frozenset(apart.items()), apart),
            host=instance.rpartition(":")[0] or instance,
            name=labels.get("__name__", ""),
            is_time=labels.get(PART) == "time",
            gpu=labels if labels.get("UUID") else None,
            count=len(own),
            longest=max(map(len, own.values()), default=0),
            bucket=self._bucket(labels),
        )

    def _bucket(self, labels: Mapping[str, str]) -> tuple[float, str, RowLabels] | None:
        try:
            upper_bound = float(labels["le"])
        except (KeyError, ValueError):
            return None
        text = json.dumps({key: labels[key] for key in sorted(labels) if key != "le"})
        whole = self.of(text)
        return None if whole is None else (upper_bound, text, whole)


def workload_of(labels: Mapping[str, str], believed: Collection[str]) -> PodKey | None:
    """The pod that a row's exporter names; None where it names none, or may not speak of it.

    Prometheus moves a page's own `pod` to `exported_pod` where the target has that label already
    (prometheus.io/docs, scrape_config, honor_labels), so the exported one is the workload, the other the exporter.
    """
    target_namespace = labels.get("namespace", "")
    name, namespace = labels.get("exported_pod", ""), labels.get("exported_namespace") or target_namespace
    if not name or not namespace:
        return None
    is_believed = may_speak_of(namespace, by=target_namespace, believed=believed)
    return PodKey(namespace, name) if is_believed else None
