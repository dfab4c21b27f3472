"""When a batch of a fixed size begins: it is full, or its first request has waited long enough."""

import math
from typing import Any

from simulations.batching.batches import begin_batch, new_batch, take_from_queue
from simulations.engine.cache_folder import part
from simulations.engine.cells import queue_at, request_at


@part
def begin_fixed(w: Any, t: Any, row: int, now: float) -> float:
    """Begin what can begin. Returns when to look again though nothing has happened."""
    settings, batcher = t.settings[0], t.batchers[row]
    while batcher.queued > 0 and batcher.running_batches < settings.instances:
        due = request_at(w, queue_at(w, 2 * row).index).enqueued + settings.delay
        if batcher.queued < settings.max_batch_size and now < due:
            return float(due)
        batch = new_batch(t, row)
        take_from_queue(w, t, row, batch, min(batcher.queued, settings.max_batch_size))
        begin_batch(w, t, row, batch, now)
    return math.inf
