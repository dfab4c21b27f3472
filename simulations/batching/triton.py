"""NVIDIA Triton Inference Server: what config.pbtxt says of a model's batching.

Sources: triton-inference-server/core src/dynamic_batch_scheduler.cc (commit 01ea7d90), src/rate_limiter.cc (03e0913e),
src/instance_queue.cc and src/scheduler_utils.cc (05295b70), src/model_config_utils.cc; server docs/user_guide/
batcher.md and model_configuration.md.
"""

from dataclasses import dataclass

from policies.errors import BadInput
from simulations.batching.checks import check_counts, check_durations
from simulations.batching.rule import DYNAMIC, FIXED, Rule

_US = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """One model on one Triton server; fields are spelled as in config.pbtxt. See dynamic.py for the rule.

    dynamic_batching: False runs each request by itself, as without `dynamic_batching { }`.
    preferred_batch_size: empty is max_batch_size, as model_config_utils.cc sets it.
    instance_group_count: `instance_group [ { count } ]`, all on one GPU.
    max_queue_size, default_timeout_microseconds: of default_queue_policy with timeout_action REJECT; 0 for none.
    With either of them, no batch is formed before an instance is idle (scheduler_utils.cc, support_prefetching_).
    """

    max_batch_size: int = 8
    dynamic_batching: bool = True
    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0
    instance_group_count: int = 1
    max_queue_size: int = 0
    default_timeout_microseconds: int = 0

    def __post_init__(self) -> None:
        check_counts(max_batch_size=self.max_batch_size, instance_group_count=self.instance_group_count)
        check_durations(
            max_queue_delay_microseconds=self.max_queue_delay_microseconds,
            max_queue_size=self.max_queue_size,
            default_timeout_microseconds=self.default_timeout_microseconds,
        )
        for size in self.preferred_batch_size:
            if not 1 <= size <= self.max_batch_size:
                raise BadInput(
                    f"preferred_batch_size: was {size}, must be in [1, {self.max_batch_size}], the max_batch_size; "
                    "raise that or leave the size out"
                )
        if not self.dynamic_batching and (self.max_queue_size or self.default_timeout_microseconds):
            raise BadInput(
                f"max_queue_size, default_timeout_microseconds: were {self.max_queue_size} and "
                f"{self.default_timeout_microseconds}, must be 0 without dynamic_batching, which they are a part of"
            )

    def rule(self) -> Rule:
        if not self.dynamic_batching:
            return Rule(kind=FIXED, instances=self.instance_group_count, max_batch_size=1, delay_seconds=0.0)
        timeout = self.default_timeout_microseconds * _US if self.default_timeout_microseconds else float("inf")
        return Rule(
            kind=DYNAMIC,
            instances=self.instance_group_count,
            max_batch_size=self.max_batch_size,
            delay_seconds=self.max_queue_delay_microseconds * _US,
            max_queue_size=self.max_queue_size,
            timeout_seconds=timeout,
            preferred_batch_sizes=self.preferred_batch_size or (self.max_batch_size,),
            prefetches=not self.max_queue_size and not self.default_timeout_microseconds,
        )
