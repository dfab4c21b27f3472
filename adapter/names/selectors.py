"""What a metric's selector asks for: which series, put together how, from which project.

Keys and messages under a Stackdriver name are the Stackdriver adapter's (its query_builder.go, filterForSelector, and
errors.go). Under our own names every label may be asked for with every operator.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from adapter.api.selector import BadSelector, Requirement, Selector, parse_selector
from adapter.names.view import View
from adapter.sources.reducers import ALLOWED, OF_BOOLEANS, reduce_series

Api = Literal["custom", "external"]

_PREFIXES: dict[Api, tuple[str, ...]] = {
    "external": ("metric.labels.", "resource.labels.", "metadata.system_labels.", "metadata.user_labels."),
    "custom": ("metric.labels.",),
}
_FULL: dict[Api, tuple[str, ...]] = {"external": ("resource.type",), "custom": ()}


class BadMetricSelector(BadSelector):
    """A selector that the name does not allow."""


@dataclass(frozen=True, slots=True)
class MetricSelector:
    """selector: on the view's labels. reducer: REDUCE_* over the series it matches, "" for none.

    project: the one project that `resource.labels.project_id=` names, "" for the cluster's own. It stays a
    condition of the selector as well. as_label_selector: all that was asked for, as answers repeat it.
    """

    selector: Selector
    reducer: str = ""
    project: str = ""
    as_label_selector: Mapping[str, object] | None = None

    @property
    def reduce(self) -> Callable[[Sequence[float]], float] | None:
        """One value of one or more; None where the rule's own reducer counts."""
        return partial(reduce_series, self.reducer) if self.reducer else None


def metric_selector(text: str, *, view: View, api: Api) -> MetricSelector:
    """What a `labelSelector=` (External) or `metricLabelSelector=` (custom) asks of the series under a name.

    Takes `reducer` out and checks the rest. Raises BadSelector: 400. HPAs repeat theirs every 15 s: the last ones are
    remembered.
    """
    return _remembered(text, view, api) if len(text) <= _LONGEST_REMEMBERED else _read(text, view, api)


def _read(text: str, view: View, api: Api) -> MetricSelector:
    selector = parse_selector(text)
    stackdriver = view.kind == "stackdriver"
    reducer, project = "", ""
    kept: list[Requirement] = []
    for one in selector.requirements:
        if one.key == "reducer" and (stackdriver or _names_reducer(one)):
            reducer = _reducer(one)
            continue
        if stackdriver:
            _check(one, api)
            if one.key == "resource.labels.project_id":
                project = _project(one)
        kept.append(one)
    return MetricSelector(Selector(tuple(kept)), reducer, project, selector.as_label_selector())


_LONGEST_REMEMBERED = 1000
"""Characters; with the number of entries it bounds the texts to 4 MB."""
_remembered = lru_cache(maxsize=4096)(_read)


def _names_reducer(one: Requirement) -> bool:
    """Under a plain name `reducer` may as well be a label of the series."""
    return bool(one.values) and all(value.startswith("REDUCE_") for value in one.values)


def _reducer(one: Requirement) -> str:
    if one.operator != "Equals":
        raise _not_allowed(f"Reducer must use '=' or '==': You used {one.operator.lower()}")
    reducer = one.values[0]
    if reducer not in ALLOWED:
        raise _not_allowed(f"Specified reducer is not supported: {reducer}")
    if reducer in OF_BOOLEANS:
        raise BadMetricSelector(f"reducer: was {reducer}, which counts truth values, and metrics are numbers")
    return "" if reducer == "REDUCE_NONE" else reducer


def _project(one: Requirement) -> str:
    if one.operator != "Equals":
        raise _not_allowed(f"Project selector must use '=' or '==': You used {one.operator.lower()}")
    return one.values[0]


def _check(one: Requirement, api: Api) -> None:
    if one.operator == "DoesNotExist":
        raise BadMetricSelector("Label selector with operator DoesNotExist is not allowed")
    prefixed = any(one.key.startswith(prefix) and one.key != prefix for prefix in _PREFIXES[api])
    if not prefixed and (one.key not in _FULL[api] or one.operator == "Exists"):
        raise _not_allowed(one.key)


def _not_allowed(label: str) -> BadMetricSelector:
    return BadMetricSelector(f"Metric label: {json.dumps(label)} is not allowed")  # %q in Go
