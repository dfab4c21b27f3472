"""Arrivals of many clients in one order of time, compiled."""

import numpy as np

from simulations.demand.arrival_sampling import F8, I4
from simulations.engine.cache_folder import entry, part

_SMALL_BUCKET = 32
"""Buckets up to this many arrivals are sorted by insertion, which moves few of them."""


@entry
def in_order(times: F8, clients: I4, since: float, until: float) -> tuple[F8, I4]:
    """Sorted by time; equal times stay in the order given. since, until: bounds of the times.

    Bucket sort with about two times a bucket; a large bucket, which is a burst, is sorted by merging.
    """
    count = len(times)
    buckets = count // 2 + 1
    per_second = buckets / max(until - since, 1e-9)
    ends = np.zeros(buckets + 2, np.int64)
    for time in times:
        ends[min(buckets - 1, int((time - since) * per_second)) + 2] += 1
    for bucket in range(2, buckets + 2):
        ends[bucket] += ends[bucket - 1]
    sorted_times, sorted_clients = np.empty(count), np.empty(count, np.int32)
    for i in range(count):
        bucket = min(buckets - 1, int((times[i] - since) * per_second)) + 1
        at = ends[bucket]
        ends[bucket] = at + 1
        sorted_times[at] = times[i]
        sorted_clients[at] = clients[i]
    begin = 0
    for bucket in range(buckets):
        end = ends[bucket + 1]
        if end - begin > _SMALL_BUCKET:
            _merge_sort(sorted_times, sorted_clients, begin, end)
        else:
            for i in range(begin + 1, end):
                time, client, j = sorted_times[i], sorted_clients[i], i
                while j > begin and sorted_times[j - 1] > time:
                    sorted_times[j] = sorted_times[j - 1]
                    sorted_clients[j] = sorted_clients[j - 1]
                    j -= 1
                sorted_times[j] = time
                sorted_clients[j] = client
        begin = end
    return sorted_times, sorted_clients


@part
def _merge_sort(times: F8, clients: I4, begin: int, end: int) -> None:
    """Sort [begin, end) of both by time; equal times stay in order."""
    spare_times, spare_clients = np.empty(end - begin), np.empty(end - begin, np.int32)
    width = 1
    while width < end - begin:
        for low in range(begin, end, 2 * width):
            middle, high = min(low + width, end), min(low + 2 * width, end)
            left, right = low, middle
            for at in range(low, high):
                if left < middle and (right >= high or times[left] <= times[right]):
                    spare_times[at - begin], spare_clients[at - begin] = times[left], clients[left]
                    left += 1
                else:
                    spare_times[at - begin], spare_clients[at - begin] = times[right], clients[right]
                    right += 1
        for at in range(begin, end):
            times[at], clients[at] = spare_times[at - begin], spare_clients[at - begin]
        width *= 2
