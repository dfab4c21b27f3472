"""When a TorchServe worker sends its batch.

Source: pytorch/serve Model.java, `pollInferJob`. Workers take turns: one of the idle ones holds the lock, takes the
first job, and then polls for more until it has batch_size of them or max_batch_delay has passed since it took the
first; only then may the next worker. So

- the delay counts from when a worker took the first job, not from when that came: what has waited behind busy
  workers may wait max_batch_delay once more;
- after each further job the worker looks whether any delay is left. With max_batch_delay=0 that is after the second
  one, so no batch is larger than 2, whatever batch_size is.

TorchServe counts whole milliseconds there; here time is exact.
"""

import math
from typing import Any

from simulations.batching.batches import begin_batch, new_batch, take_from_queue
from simulations.engine.cache_folder import part
from simulations.engine.layout import NONE


@part
def collect(w: Any, t: Any, row: int, now: float) -> float:
    """Let idle workers take jobs and send batches. Returns when the one that collects has waited long enough."""
    settings, batcher = t.settings[0], t.batchers[row]
    while True:
        if batcher.filling == NONE:
            if batcher.queued == 0 or batcher.running_batches >= settings.instances:
                return math.inf
            batcher.filling = new_batch(t, row)
            take_from_queue(w, t, row, batcher.filling, 1)
            batcher.deadline = now + settings.delay
        batch = t.batches[batcher.filling]
        while batch.count < settings.max_batch_size and batcher.queued > 0:
            take_from_queue(w, t, row, batcher.filling, 1)
            if now >= batcher.deadline:
                break
        if batch.count < settings.max_batch_size and now < batcher.deadline:
            return float(batcher.deadline)
        begin_batch(w, t, row, batcher.filling, now)
        batcher.filling = NONE
