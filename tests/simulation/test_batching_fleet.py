"""A fleet of pods whose servers batch: the same outside as vLLM's, so the fleet's books must balance."""

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from simulations.batching import FixedBatch, TorchServe, Triton, engines_of
from simulations.batching.measured import BATCH_PROFILES
from simulations.batching.rule import BatchingServer
from simulations.exporter import GpuSampler
from simulations.fleet import Fleet
from simulations.results.recorder import Recorder
from simulations.scenario import Failures, Scenario, Timeouts
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
    server: BatchingServer, retry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 requests/s on pods that can do 900, which crash every 200 s in the mean; scaled to 4, then to 1."""
    monkeypatch.setattr("simulations.fleet.fleet.Engine", engines_of(server, BATCH_PROFILES["resnet50-fp16-t4"]))
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / 500, 200_000))
    ones = np.ones(len(arrivals), np.int32)
    scenario = Scenario(
        trace=Trace("images", 0, arrivals, ones, ones),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
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
    assert summary.requests == len(arrivals)
    assert summary.served_requests > 0.5 * len(arrivals)
    assert (summary.failed_requests > 0) == (not retry)
    assert summary.unfinished_requests == 0
    assert sum(pod.restarts for pod in fleet.pods) > 0
