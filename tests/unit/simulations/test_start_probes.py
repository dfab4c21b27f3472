"""Probes on the kubelet's grid, and its back-off: instants as kubernetes v1.36.3 makes them."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from simulations.start.back_off import BackOff
from simulations.start.probes import Probe, Probes

EVERY_10 = Probe(period_seconds=10)


@pytest.mark.parametrize(
    ("probe", "up_at", "ready_at"),
    [
        pytest.param(EVERY_10, 100.0, 100.0, id="up-just-at-the-start"),
        pytest.param(EVERY_10, 130.0, 130.0, id="up-on-a-tick"),
        pytest.param(EVERY_10, 130.1, 140.0, id="up-just-after-a-tick-waits-a-period"),
        pytest.param(Probe(initial_delay_seconds=45), 120.0, 150.0, id="ticks-within-the-delay-are-passed-over"),
        pytest.param(Probe(initial_delay_seconds=45), 150.5, 160.0, id="the-delay-does-not-move-the-grid"),
        pytest.param(Probe(period_seconds=10, success_threshold=3), 121.0, 150.0, id="three-successes-in-a-row"),
        pytest.param(None, 121.5, 121.5, id="no-probe-no-wait"),
    ],
)
def test_ready_comes_on_the_first_tick_after_the_server_is_up(
    probe: Probe | None, up_at: float, ready_at: float
) -> None:
    """worker.go doProbe; the readiness grid begins at the container's start (100 s), as its first sync triggers a run
    and resets the ticker (prober_manager.go UpdatePodStatus)."""
    assert Probes(readiness=probe).ready_at(probed_from=97.0, started_at=100.0, up_at=up_at) == ready_at


@pytest.mark.parametrize(
    ("liveness", "up_at", "killed_at"),
    [
        pytest.param(Probe(failure_threshold=3), 125.0, math.inf, id="up-before-the-third-failure"),
        pytest.param(Probe(failure_threshold=3), 128.0, 127.0, id="failures-at-107-117-127"),
        pytest.param(Probe(failure_threshold=3), 127.0, math.inf, id="up-at-the-very-last-probe"),
        pytest.param(Probe(initial_delay_seconds=60, failure_threshold=3), 200.0, 187.0, id="delay-then-167-177-187"),
        pytest.param(Probe(failure_threshold=1), 500.0, 107.0, id="one-failure-is-enough"),
        pytest.param(None, 9e4, math.inf, id="nobody-kills"),
    ],
)
def test_a_liveness_probe_kills_a_server_that_still_loads(
    liveness: Probe | None, up_at: float, killed_at: float
) -> None:
    """Its grid begins when the volumes are mounted, here at 97 s: every 10 s from there, container started at 100 s."""
    probes = Probes(liveness=liveness)
    assert probes.killed_at(probed_from=97.0, started_at=100.0, up_at=up_at) == killed_at


def test_a_startup_probe_holds_the_others_off_and_then_readiness_is_probed_at_once() -> None:
    patient = Probe(period_seconds=10, failure_threshold=60)
    probes = Probes(readiness=Probe(period_seconds=30), liveness=Probe(failure_threshold=1), startup=patient)
    assert probes.killed_at(probed_from=97.0, started_at=100.0, up_at=650.0) == math.inf
    assert probes.ready_at(probed_from=97.0, started_at=100.0, up_at=650.0) == 657.0
    assert probes.killed_at(probed_from=97.0, started_at=100.0, up_at=698.0) == 697.0, "60 failures: 107 to 697"
    assert patient.patience_seconds == 590.0


@given(
    up_after=st.floats(0.0, 2_000.0),
    mounted_before=st.floats(0.0, 300.0),
    period=st.integers(1, 60),
    delay=st.integers(0, 120),
)
def test_ready_is_never_before_the_server_and_at_most_a_period_after_it(
    up_after: float, mounted_before: float, period: int, delay: int
) -> None:
    probes = Probes(readiness=Probe(initial_delay_seconds=delay, period_seconds=period))
    waited = probes.ready_at(probed_from=1_000.0 - mounted_before, started_at=1_000.0, up_at=1_000.0 + up_after)
    soonest = 1_000.0 + max(up_after, delay)
    assert soonest <= waited <= soonest + period


@given(up_after=st.floats(0.0, 900.0), threshold=st.integers(1, 90), mounted_before=st.floats(0.0, 60.0))
def test_whoever_is_killed_was_not_up_and_whoever_is_up_within_the_patience_is_not(
    up_after: float, threshold: int, mounted_before: float
) -> None:
    probe = Probe(failure_threshold=threshold)
    killed = Probes(liveness=probe).killed_at(
        probed_from=1_000.0 - mounted_before, started_at=1_000.0, up_at=1_000.0 + up_after
    )
    assert killed == math.inf or probe.patience_seconds <= killed - 1_000.0 < up_after
    assert up_after > probe.patience_seconds or killed == math.inf


@pytest.mark.parametrize(
    ("ends_after", "starts"),
    [
        pytest.param([100.0] * 8, [0, 10, 20, 40, 80, 160, 300, 300], id="at-once-then-10-s-doubling-to-300-s"),
        pytest.param([700.0] * 3, [0, 0, 0], id="ten-minutes-of-running-begin-anew"),
        pytest.param([100.0, 100.0, 601.0, 50.0], [0, 10, 0, 10], id="a-long-life-forgives"),
        pytest.param([100.0, 100.0, 600.0, 50.0], [0, 10, 20, 40], id="just-not-long-enough"),
    ],
)
def test_the_kubelets_back_off(ends_after: list[float], starts: list[int]) -> None:
    """ends_after: how long each container runs; starts: how long after its end the next one starts (doBackOff)."""
    now, entry, waited = 0.0, BackOff(), []
    for ran in ends_after:
        ended = now + ran
        now, entry = entry.restart(ended)
        waited.append(round(now - ended))
    assert waited == starts


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Probe(period_seconds=0), "periodSeconds: was 0, must be at least 1"),
        (lambda: Probe(failure_threshold=0), "failureThreshold: was 0, must be at least 1"),
        (lambda: Probe(initial_delay_seconds=-1), "initialDelaySeconds: was -1, must be in [0, 86400] seconds"),
        (lambda: Probes(liveness=Probe(success_threshold=2)), "livenessProbe.successThreshold: was 2, must be 1"),
    ],
)
def test_what_kubernetes_refuses_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
