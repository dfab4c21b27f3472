"""TorchServe: a model's workers, each of which collects its own batch.

Sources: pytorch/serve frontend/server/src/main/java/org/pytorch/serve/wlm/Model.java, `pollInferJob`;
docs/batch_inference_with_ts.md; docs/configuration.md (job_queue_size: 100, "job queue is full" is answered 503).
"""

from dataclasses import dataclass

from simulations.batching.checks import check_counts, check_durations
from simulations.batching.rule import COLLECTING, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchServe:
    """One model on one TorchServe server; fields are spelled as in config.properties and the management API.

    batch_size, max_batch_delay (milliseconds): of the model's registration; TorchServe's defaults. See collecting.py.
    job_queue_size: requests that wait for a worker; one more is answered 503.
    workers: minWorkers = maxWorkers, all on one GPU.
    """

    batch_size: int = 1
    max_batch_delay: int = 100
    job_queue_size: int = 100
    workers: int = 1

    def __post_init__(self) -> None:
        check_counts(batch_size=self.batch_size, job_queue_size=self.job_queue_size, workers=self.workers)
        check_durations(max_batch_delay=self.max_batch_delay)

    def rule(self) -> Rule:
        return Rule(
            kind=COLLECTING,
            instances=self.workers,
            max_batch_size=self.batch_size,
            delay_seconds=self.max_batch_delay / 1000,
            max_queue_size=self.job_queue_size,
        )
