"""LoRA adapters in GPU memory: at most `slots`, the least recently used one makes room.

Restates vllm/lora/model_manager.py (`LRUCacheLoRAModelManager.activate_adapter`). vLLM touches the adapters of a batch
in the order of a Python set, so it leaves open which of two adapters last used in the same step is older. Here an
adapter was last used when the last running request with it left the running list, and the smaller number goes first
among those of the same instant.
"""

BASE_MODEL = -1


class Adapters:
    """slots: vLLM's max_loras; 0 means that LoRA is off and every request is one to the base model."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.loads = 0
        self._last_used: dict[int, float] = {}  # adapter in memory -> seconds

    def fits(self, adapter: int, in_use: set[int]) -> bool:
        """Whether a request with this adapter may join running requests with those: at most `slots` distinct ones.

        Source: vllm/v1/core/sched/scheduler.py, "Check that adding the request still respects the max_loras".
        """
        return adapter == BASE_MODEL or adapter in in_use or len(in_use) < self.slots

    def load(self, adapter: int, in_use: set[int], now: float) -> bool:
        """Bring it into memory if it is not there; True if that took a load. in_use: of running requests."""
        if adapter == BASE_MODEL or adapter in self._last_used:
            return False
        if len(self._last_used) == self.slots:
            idle = self._last_used.keys() - in_use
            del self._last_used[min(idle, key=lambda other: (self._last_used[other], other))]
        self._last_used[adapter] = now
        self.loads += 1
        return True

    def left_running(self, adapter: int, now: float) -> None:
        """A request with this adapter finished, was aborted or was preempted."""
        if adapter != BASE_MODEL:
            self._last_used[adapter] = now
