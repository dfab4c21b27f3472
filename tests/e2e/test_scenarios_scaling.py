"""The stock HPA scales on every metric of the guides, with the examples of manifests/ as they are."""

from collections.abc import Iterator

import pytest
from binaries import Unavailable
from exporter_script import by_age, per_second, shared
from gpu_cluster import NEVER_SECONDS
from scenario import World, start_world

pytestmark = pytest.mark.e2e

@pytest.fixture(scope="module")
def world(start_control_plane) -> Iterator[World]:
    """A cluster with GPUs, model servers, the adapter and the HPA controller, for scenarios (scenario.py)."""
    try:
        yield from start_world(start_control_plane)
    except Unavailable as reason:
        pytest.skip(f"no adapter: {reason}")


GUIDE_BATCH_SIZES = (0, 13, 17, 12, 17, 14, 17, 10)


def test_the_guides_batch_size_run(world: World) -> None:
    """13 running requests at a target of 10 ask for 2 replicas; the second stays pending, so that it counts as 0."""
    with world.scenario("guide-batch-size") as scene:
        scene.runs("vllm")
        hpa = scene.autoscales("hpa-batch-size.yaml")
        for running in GUIDE_BATCH_SIZES:
            scene.shows({"vllm:num_requests_running": by_age(running)})
            hpa.wait_value("vllm:num_requests_running", running)
        print(hpa.table())


def test_queue_size(world: World) -> None:
    with world.scenario("queue-size") as scene:
        scene.runs("vllm")
        hpa = scene.autoscales("hpa-queue.yaml")
        scene.shows({"vllm:num_requests_waiting": shared(12)})
        hpa.wait_replicas(3)
        print(hpa.table())
