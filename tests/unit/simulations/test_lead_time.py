"""Lead times: lognormal stages, the same deviates for the n-th pod on every path, impossible values refused."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.cluster.node_pool import NodePool
from simulations.lead_time import Draws, LeadTime, Stage


@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("seed", [0, 1, 20_231_116])
def test_the_draws_are_two_lognormals_a_pod_in_creation_order(seed: int, sigma: float) -> None:
    """So a seed gives the lead times that it gave before there were paths, to the last bit."""
    draws = Draws(LeadTime(sigma=sigma), seed)
    rng = np.random.default_rng(seed)
    for number in range(1_000):
        start, load = rng.lognormal(0.0, sigma, 2).tolist()
        pod = draws.pod(number)
        assert pod.start_seconds_after(Stage(0.0)) == start * 111.0
        assert pod.load_seconds == load * 120.0


def test_a_pod_draws_the_same_whenever_and_for_whichever_path_it_is_asked() -> None:
    forwards, backwards = Draws(LeadTime(), 7), Draws(LeadTime(), 7)
    late = [backwards.pod(number) for number in reversed(range(20))]
    assert [forwards.pod(number) for number in range(20)] == late[::-1]
    for pod in late:
        slowness = pod.warm_start_seconds / 3.0
        assert pod.start_seconds_after(Stage(90.0)) / 21.0 == pytest.approx(slowness)
        assert pod.start_seconds_after(Stage(0.0)) / 111.0 == pytest.approx(slowness)


def test_other_seeds_and_other_pods_draw_otherwise() -> None:
    spans = {Draws(LeadTime(), seed).pod(number).load_seconds for seed in range(10) for number in range(10)}
    assert len(spans) == 100


@pytest.mark.parametrize("quantile", [0.01, 0.25, 0.5, 0.9, 0.99])
def test_a_stage_is_lognormal(quantile: float) -> None:
    """Its logarithm is normal: 20,000 draws fall below the closed-form quantile as often as they should (4 sigma)."""
    stage = Stage(111.0, 0.3)
    drawn = Draws(LeadTime(start_median_seconds=111.0, sigma=0.3), 3)
    below = stage.seconds(NormalDist().inv_cdf(quantile))
    assert below == pytest.approx(111.0 * math.exp(0.3 * NormalDist().inv_cdf(quantile)))
    share = np.mean([drawn.pod(number).start_seconds_after(Stage(0.0)) <= below for number in range(20_000)])
    assert share == pytest.approx(quantile, abs=4 * math.sqrt(quantile * (1 - quantile) / 20_000))


def test_sigma_0_makes_every_pod_take_the_medians() -> None:
    draws = Draws(LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, sigma=0.0), 1)
    assert {(pod.start_seconds_after(Stage(90.0)), pod.load_seconds) for pod in map(draws.pod, range(50))} == {
        (10.0, 60.0)
    }


def test_a_pools_provisioning_is_part_of_the_start_on_a_new_node() -> None:
    """By default 90 s for the node and 21 s for image and container make the measured 111 s."""
    provision = NodePool(name="l4", gpus_per_node=1, max_nodes=1).provision
    assert provision.median_seconds + LeadTime().start_after(provision).median_seconds == 111.0
    assert LeadTime(start_median_seconds=90.0).start_after(provision).median_seconds == 0.0


def test_99_in_100_default_warm_starts_meet_the_5_s_objective_of_kubernetes() -> None:
    assert LeadTime().warm_start.seconds(NormalDist().inv_cdf(0.99)) == pytest.approx(4.78, abs=0.01)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: LeadTime(start_median_seconds=-1.0),
            "start_median_seconds: was -1.0, must be in [0, 86400]",
            id="<0",
        ),
        pytest.param(lambda: LeadTime(load_median_seconds=math.nan), "load_median_seconds: was nan", id="nan"),
        pytest.param(lambda: LeadTime(warm_start_median_seconds=1e9), "warm_start_median_seconds: was 1", id="years"),
        pytest.param(lambda: LeadTime(sigma=-0.1), "sigma: was -0.1, must be in [0, 3]", id="negative-sigma"),
        pytest.param(lambda: Stage(math.inf), "median_seconds: was inf", id="infinite-stage"),
        pytest.param(lambda: Stage(1.0, math.nan), "sigma: was nan", id="sigma-nan"),
        pytest.param(lambda: Draws(LeadTime(), -1), "seed: was -1, must be 0 or more", id="negative-seed"),
        pytest.param(
            lambda: LeadTime().start_after(Stage(240.0)),
            "start_median_seconds: was 111, must be at least the node's provisioning of 240 s",
            id="provisioning-longer-than-the-whole-start",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
