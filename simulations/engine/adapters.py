"""LoRA adapters on a server's GPU: at most max_loras in one batch; loading one takes time.

Source: vllm v1/core/sched/scheduler.py (`scheduled_loras`, a request whose adapter does not fit is passed over) and
vllm/lora/worker_manager.py (least recently used among those that do not run is replaced).
"""

from typing import Any

from simulations.engine.cache_folder import part
from simulations.engine.cells import adapter_at, server_at
from simulations.engine.features import feature
from simulations.engine.layout import NONE


@feature(otherwise=NONE)
def find_adapter(w: Any, first: int, room: int, lora: int) -> int:
    """The place of an adapter on the GPU, or one where it may be loaded now, or NONE.

    first, room: the server's places in the table. A place that may be loaded is the one whose adapter ran longest ago,
    of equals the one with the smaller number.
    """
    best = NONE
    for place in range(first, first + room):
        if adapter_at(w, place).lora == lora:
            return place
        if adapter_at(w, place).running == 0 and (best == NONE or _is_older(w, place, best)):
            best = place
    return best


@feature(otherwise=0)
def use_adapter(w: Any, row: int, place: int, lora: int) -> int:
    """Let one more request run with the adapter at that place. Returns the loads that this takes, 0 or 1."""
    adapter = adapter_at(w, place)
    adapter.running += 1
    if adapter.lora == lora:
        return 0
    adapter.lora = lora
    server_at(w, row).lora_loads += 1
    return 1


@part
def _is_older(w: Any, place: int, other: int) -> bool:
    one, two = adapter_at(w, place), adapter_at(w, other)
    return bool(one.used < two.used or (one.used == two.used and one.lora < two.lora))
