"""A fleet of pods whose servers batch: the same outside as vLLM's, so the fleet's books must balance."""

from typing import Any

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from simulations.batching import FixedBatch, TorchServe, Triton
from simulations.batching.measured import BATCH_PROFILES
from simulations.exporter import GpuSampler
from simulations.fleet import Fleet
from simulations.fleet.rolling_update import RollingUpdate
from simulations.fleet.rollout import Rollout
from simulations.results.recorder import Recorder
from simulations.scenario import Disaggregation, Failures, Scenario, Timeouts
from simulations.server_kind import BatchedModel
from simulations.trace import Trace


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(Triton(max_batch_size=8, max_queue_delay_microseconds=1_000), id="triton"),
        pytest.param(TorchServe(batch_size=8, max_batch_delay=2, job_queue_size=20), id="torchserve"),
        pytest.param(FixedBatch(batch_size=8), id="fixed"),
    ],
)
@pytest.mark.parametrize("retry", [True, False])
def test_pods_start_crash_drain_and_end_and_nothing_is_lost(
    server: Triton | TorchServe | FixedBatch, retry: bool
) -> None:
    """500 requests/s on pods that can do 900, which crash every 200 s in the mean; scaled to 4, then to 1."""
    scenario = images(
        500,
        200_000,
        BatchedModel(server=server, profile=BATCH_PROFILES["resnet50-fp16-t4"]),
        initial_replicas=2,
        failures=Failures(mtbf_seconds=200.0, retry=retry),
        timeouts=Timeouts(client_seconds=5.0),
    )
    fleet = Fleet(scenario)
    fleet.advance(60.0)
    gpus = GpuSampler()
    gpus.sample(fleet)
    assert all(10 < percent <= 100 for percent in gpus.percent().values())
    fleet.scale(4)
    fleet.advance(330.0)
    fleet.scale(1)
    while not fleet.finished:
        fleet.advance(fleet.now_seconds + 30.0)
    recorder = Recorder(scenario, "by hand", fleet)
    for piece in fleet.take():
        recorder.take(piece)
    summary = recorder.result().summary  # raises where something is not conserved
    assert summary.requests == 200_000
    assert summary.served_requests > 100_000
    assert (summary.failed_requests > 0) == (not retry)
    assert summary.unfinished_requests == 0
    assert sum(pod.restarts for pod in fleet.pods) > 0


def test_a_rollout_leads_from_pods_to_pods_that_batch_alike() -> None:
    """Two pods of the old revision become two of the new one, under load, and every request is answered."""
    server = BatchedModel(server=Triton(max_batch_size=8), profile=BATCH_PROFILES["resnet50-fp16-t4"])
    scenario = images(
        100, 60_000, server, initial_replicas=2, rollout=Rollout(at_seconds=60.0, strategy=RollingUpdate())
    )
    fleet = Fleet(scenario)
    while not fleet.finished:
        fleet.advance(fleet.now_seconds + 30.0)
    recorder = Recorder(scenario, "by hand", fleet)
    for piece in fleet.take():
        recorder.take(piece)
    assert recorder.result().summary.served_requests == 60_000
    assert [pod.revision for pod in fleet.pods] == ["1", "1", "2", "2"]
    assert [pod.revision for pod in fleet.serving()] == ["2", "2"]
    counted = fleet.servers(fleet.serving())["succeeded"]
    assert counted.sum() > 5_000, "the new revision answers"


def test_prefill_on_servers_of_its_own_is_refused() -> None:
    server = BatchedModel(server=FixedBatch(batch_size=4), profile=BATCH_PROFILES["resnet50-fp16-t4"])
    split = Disaggregation(prefill_replicas=1, transfer_bytes_per_second=25e9)
    with pytest.raises(BadInput, match="disaggregation: was given, must be left out"):
        Fleet(images(10, 10, server, disaggregation=split))


def images(rate: float, requests: int, server: BatchedModel, **options: Any) -> Scenario:
    """Poisson arrivals of requests without tokens to speak of."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / rate, requests))
    ones = np.ones(requests, np.int32)
    return Scenario(
        trace=Trace("images", 0, arrivals, ones, ones),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        server=server,
        **options,
    )
