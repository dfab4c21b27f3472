"""A server's waiting queue: one list a level of priority, in order of arrival within it.

Without priority scheduling there is one level, and what was preempted goes to the front (vLLM's FCFSRequestQueue).
With it the order is (priority, arrival), for what was preempted too (vLLM's PriorityRequestQueue).
"""

from typing import Any

from simulations.engine.cache_folder import part
from simulations.engine.cells import queue_at, request_at, server_at
from simulations.engine.layout import NONE, NOWHERE, WAITING


@part
def push_back(w: Any, row: int, request: int) -> None:
    """A request that just came."""
    head = 2 * (row * w.levels + request_at(w, request).level)
    request_at(w, request).successor = NONE
    request_at(w, request).place = WAITING
    request_at(w, request).row = row
    if queue_at(w, head).index == NONE:
        queue_at(w, head).index = request
    else:
        request_at(w, queue_at(w, head + 1).index).successor = request
    queue_at(w, head + 1).index = request
    server_at(w, row).waiting += 1


@part
def push_preempted(w: Any, row: int, request: int) -> None:
    """A request that lost its KV blocks."""
    head = 2 * (row * w.levels + request_at(w, request).level)
    request_at(w, request).place = WAITING
    server_at(w, row).waiting += 1
    before = NONE
    following = queue_at(w, head).index
    if w.levels > 1:
        while following != NONE and _came_before(w, following, request):
            before = following
            following = request_at(w, following).successor
    request_at(w, request).successor = following
    if before == NONE:
        queue_at(w, head).index = request
    else:
        request_at(w, before).successor = request
    if following == NONE:
        queue_at(w, head + 1).index = request


@part
def unlink(w: Any, head: int, before: int, request: int) -> None:
    """Take a request out of the list at `head`, where it follows `before` (NONE: it is the first)."""
    following = request_at(w, request).successor
    if before == NONE:
        queue_at(w, head).index = following
    else:
        request_at(w, before).successor = following
    if following == NONE:
        queue_at(w, head + 1).index = before


@part
def drop_waiting(w: Any, row: int, request: int) -> None:
    """A request whose client is gone. The walk is short: clients give up in the order in which they came."""
    head = 2 * (row * w.levels + request_at(w, request).level)
    before = NONE
    other = queue_at(w, head).index
    while other != request:
        before = other
        other = request_at(w, other).successor
    unlink(w, head, before, request)
    server_at(w, row).waiting -= 1
    request_at(w, request).place = NOWHERE


@part
def _came_before(w: Any, request: int, other: int) -> bool:
    one, two = request_at(w, request), request_at(w, other)
    return bool(one.enqueued < two.enqueued or (one.enqueued == two.enqueued and one.number < two.number))
