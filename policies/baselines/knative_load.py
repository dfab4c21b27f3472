"""The load that Knative sees: concurrency sampled once a tick, averaged over a window of buckets.

Sources: knative/serving pkg/autoscaler/aggregation/bucketing.go (TimedFloat64Buckets, WeightedFloat64Buckets) and
pkg/autoscaler/metrics/{collector,stats_scraper}.go.
Deviation: a bucket is 2 s, one autoscaler tick, instead of 1 s, since the load is sampled once a tick; with 1 s
buckets every other one would be a gap and halve the average.
"""

import math
from typing import NamedTuple

from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricQuery, PodMetrics, Snapshot

RUNNING = MetricQuery(type="Pods", name="vllm:num_requests_running")
WAITING = MetricQuery(type="Pods", name="vllm:num_requests_waiting")
GATEWAY_QUEUE = MetricQuery(type="External", name="leadtime:gateway_queue")

BUCKET_SECONDS = 2
_MIN_SMOOTHING = 0.2
_WEIGHT_PRECISION = 0.9999
_SIX_DECIMALS = 1e6


class Bucket(NamedTuple):
    """One written bucket: its number since the epoch, and the value."""

    number: int
    value: float


Buckets = tuple[Bucket, ...]
"""Oldest first, one entry per bucket that was written."""


def concurrency(snapshot: Snapshot) -> float | None:
    """Requests in ready pods and at the gateway; None when neither is known.

    Ready pods that did not answer hold the mean of those that did; without a ready pod there is nothing to ask.
    """
    queue = snapshot.observations.get(GATEWAY_QUEUE)
    queued = sum(queue.values_milli) / 1000 if isinstance(queue, ExternalMetric) and queue.values_milli else None
    ready = [pod.name for pod in snapshot.pods if pod.is_ready]
    held: float | None = 0.0 if not ready else None
    running, waiting = (snapshot.observations.get(query) for query in (RUNNING, WAITING))
    if ready and isinstance(running, PodMetrics) and isinstance(waiting, PodMetrics):
        answered = [name for name in ready if name in running.samples and name in waiting.samples]
        if answered:
            total_milli = sum(
                running.samples[name].value_milli + waiting.samples[name].value_milli for name in answered
            )
            held = total_milli / 1000 / len(answered) * len(ready)
    if held is None and queued is None:
        return None
    return (held or 0.0) + (queued or 0.0)


def bucket_index(at_ns: int) -> int:
    """The bucket that holds an instant."""
    return at_ns // (BUCKET_SECONDS * NS_PER_SECOND)


def record(buckets: Buckets, index: int, value: float, window_seconds: int) -> Buckets:
    """Write a bucket (twice in the same one: the later value), and forget what no average can see any more."""
    oldest = index - 2 * _count(window_seconds)
    return (*(each for each in buckets if oldest < each.number < index), Bucket(index, value))


def is_empty(buckets: Buckets, now: int, window_seconds: int) -> bool:
    """Nothing was written for longer than the window."""
    return not buckets or (now - buckets[-1].number) * BUCKET_SECONDS > window_seconds


def window_average(buckets: Buckets, now: int, window_seconds: int) -> float:
    """The mean over the window that ends now, rounded down to 6 decimals.

    Buckets after the last write are left out, gaps before it count as 0, and before the first write (the first
    after a silence of a whole window) the window had not begun.
    """
    count = _count(window_seconds)
    if not buckets:
        return 0.0
    last = buckets[-1].number
    behind = max(0, now - last)
    if behind * BUCKET_SECONDS >= window_seconds:
        return 0.0
    oldest = last + behind - count
    total = sum(each.value for each in buckets if each.number > oldest)
    divisor = min(last - _first(buckets, count) + 1, count - behind)
    return math.floor(total / divisor * _SIX_DECIMALS) / _SIX_DECIMALS


def weighted_average(buckets: Buckets, now: int, window_seconds: int) -> float:
    """The mean with exponentially smaller weights for older buckets; the weights do not quite add up to 1."""
    if is_empty(buckets, now, window_seconds):
        return 0.0
    count = _count(window_seconds)
    smoothing = max(1 - math.pow(1 - _WEIGHT_PRECISION, 1 / count), _MIN_SMOOTHING)
    newest = max(now, buckets[-1].number)
    ages = ((newest - each.number, each.value) for each in buckets if newest - each.number < count)
    return sum(value * smoothing * math.pow(1 - smoothing, age) for age, value in ages)


def _first(buckets: Buckets, count: int) -> int:
    """The first write since the last silence of a whole window, as far as it matters."""
    first = buckets[-1].number
    for each in reversed(buckets):
        if first - each.number >= count:
            break
        first = each.number
    return first


def _count(window_seconds: int) -> int:
    return math.ceil(window_seconds / BUCKET_SECONDS)
