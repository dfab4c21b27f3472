"""What a pod requests: the rules of component-helpers' PodRequests (v1.36.3), written out."""

import pytest

from policies.hpa.errors import NoReplicaCount
from policies.hpa.requests import calculate_requests
from policies.snapshot import Container, Pod


def cpu(milli: int, *, sidecar: bool = False) -> Container:
    return Container(name=f"c{milli}", requests_milli={"cpu": milli}, restart_policy_always=sidecar)


def pod(*containers: Container, init: tuple[Container, ...] = (), pod_level: dict[str, int] | None = None) -> Pod:
    return Pod(
        name="p",
        phase="Running",
        ready="True",
        containers=containers,
        init_containers=init,
        pod_requests_milli=pod_level,
    )


@pytest.mark.parametrize(
    ("each", "milli"),
    [
        pytest.param(pod(cpu(100), cpu(200)), 300, id="containers-add-up"),
        pytest.param(pod(cpu(100), init=(cpu(900),)), 100, id="an-init-container-does-not-count"),
        pytest.param(pod(cpu(100), init=(cpu(50, sidecar=True),)), 150, id="a-sidecar-counts"),
        pytest.param(pod(cpu(100), pod_level={"cpu": 700}), 700, id="the-pod-level-request-wins"),
        pytest.param(
            pod(cpu(100), init=(cpu(50, sidecar=True), cpu(900)), pod_level={"memory": 1}),
            950,
            id="beside-other-pod-level-requests-the-largest-init-phase-counts",
        ),
        pytest.param(
            pod(cpu(100), init=(cpu(120), cpu(50, sidecar=True)), pod_level={"memory": 1}),
            150,
            id="an-init-container-before-the-sidecar-runs-alone",
        ),
    ],
)
def test_a_pods_request(each: Pod, milli: int) -> None:
    assert calculate_requests([each], "", "cpu") == {"p": milli}


def test_a_resource_that_nobody_requests_is_an_error() -> None:
    with pytest.raises(NoReplicaCount, match="missing pod-level request for cpu"):
        calculate_requests([pod(pod_level={"memory": 1})], "", "cpu")
    with pytest.raises(NoReplicaCount, match="missing request for cpu in container main"):
        calculate_requests([pod(Container(name="main"))], "", "cpu")
