"""Messages of the Monitoring API as plain values."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from adapter.sources.cloud_monitoring.filters import Field
from adapter.sources.cloud_monitoring.points import Point
from adapter.sources.series import NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class CloudSeries:
    """One series as the API has it. metric_kind: GAUGE, DELTA, CUMULATIVE. points: newest first.

    bounds: of a distribution's buckets, () for numbers. value_type: DOUBLE, DISTRIBUTION, ...
    """

    metric_labels: Mapping[str, str]
    resource_type: str
    resource_labels: Mapping[str, str]
    metric_kind: str
    value_type: str
    points: Sequence[Point]
    bounds: tuple[float, ...] = ()


def add_series(found: dict[object, CloudSeries], raw: Any, *, field: Field, newest_only: bool) -> None:
    """Put a page's series to the others; a page may end amid a series, whose older points begin the next.

    raw: a google.monitoring.v3.TimeSeries. field: what of each point is wanted. newest_only: only of the first one.
    """
    metric_labels, resource_labels = dict(raw.metric.labels), dict(raw.resource.labels)
    key = (frozenset(metric_labels.items()), raw.resource.type, frozenset(resource_labels.items()))
    before = found.get(key)
    if before is not None and newest_only:
        return
    points = list(_points(raw.points[:1] if newest_only else raw.points, field))
    if before is not None:
        found[key] = replace(before, points=[*before.points, *points])
        return
    from google.api.metric_pb2 import MetricDescriptor

    found[key] = CloudSeries(
        metric_labels,
        raw.resource.type,
        resource_labels,
        MetricDescriptor.MetricKind.Name(raw.metric_kind),
        MetricDescriptor.ValueType.Name(raw.value_type),
        points,
        _bounds(raw.points[0].value.distribution_value.bucket_options) if field == "buckets" and points else (),
    )


def _points(points: Iterable[Any], field: Field) -> Iterator[Point]:
    """Those that hold what is wanted: a string is no number, a distribution without a reducer none either."""
    for point in points:
        kind = point.value.WhichOneof("value")
        values: tuple[float, ...] | None = None
        if kind == "distribution_value" and field != "value":
            distribution = point.value.distribution_value
            match field:
                case "count":
                    values = (float(distribution.count),)
                case "sum":
                    values = (distribution.mean * distribution.count,)
                case _:
                    values = _cumulative(distribution)
        elif kind in ("int64_value", "double_value", "bool_value") and field == "value":
            values = (float(getattr(point.value, kind)),)
        if values is not None:
            yield Point(_ns(point.interval.start_time), _ns(point.interval.end_time), values)


def _ns(timestamp: Any) -> int:
    return int(timestamp.seconds * NS_PER_SECOND + timestamp.nanos)


def _cumulative(distribution: Any) -> tuple[float, ...]:
    """Counts up to each bound and in all. Trailing zeros may be left out (google/api/distribution.proto)."""
    counts = list(distribution.bucket_counts)
    missing = len(_bounds(distribution.bucket_options)) + 1 - len(counts)
    return tuple(map(float, accumulate([*counts, *[0] * missing])))


def _bounds(options: Any) -> tuple[float, ...]:
    """Upper bounds of all buckets but the last: underflow first (google/api/distribution.proto, BucketOptions)."""
    match options.WhichOneof("options"):
        case "explicit_buckets":
            return tuple(options.explicit_buckets.bounds)
        case "linear_buckets":
            linear = options.linear_buckets
            return tuple(linear.offset + linear.width * i for i in range(linear.num_finite_buckets + 1))
        case "exponential_buckets":
            exponential = options.exponential_buckets
            return tuple(
                exponential.scale * exponential.growth_factor**i for i in range(exponential.num_finite_buckets + 1)
            )
        case _:
            return ()
