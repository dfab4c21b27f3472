"""Whole runs: equal for equal scenarios, different for another seed, and their figures add up."""

import json
from dataclasses import replace

import numpy as np
import pytest

from leadtime.demo.policies import POLICIES, demo_policy
from policies.capacity.profile import PROFILES
from simulations.report import report_html
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace


def scenario(seed: int = 1, minutes: float = 15) -> Scenario:
    return Scenario(
        trace=read_trace(SHIPPED).first(60 * minutes),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
        initial_replicas=4,
        seed=seed,
    )


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_seed_gives_the_same_run_and_another_seed_another(name: str) -> None:
    first, again, other = (simulate(scenario(seed), demo_policy(name, scenario(seed), 20)) for seed in (1, 1, 2))
    assert first.summary == again.summary
    assert first.moments == again.moments
    np.testing.assert_array_equal(first.ttft_seconds, again.ttft_seconds)
    assert first.summary != other.summary


@pytest.mark.parametrize("name", POLICIES)
def test_figures_add_up(name: str) -> None:
    each = scenario()
    result = simulate(each, demo_policy(name, each, 20))
    summary = result.summary
    assert summary.requests == each.trace.expected_requests
    assert not np.isnan(result.ttft_seconds).any(), "every request is answered before the run ends"
    assert summary.slo_attainment == pytest.approx(result.good.mean())
    assert summary.cost_usd == pytest.approx(summary.gpu_hours * each.price_per_gpu_hour)
    low, high = (
        extreme(moment.replicas for moment in result.moments) * each.trace.duration_seconds / 3600
        for extreme in (min, max)
    )
    assert low <= summary.gpu_hours <= high + 1e-9
    assert summary.rescales > 0


def test_a_sync_sees_metrics_of_the_scrape_before_it() -> None:
    """At second 5 the newest sample is from second 0: nothing had been sent yet, so demand is unknown."""
    each = scenario(minutes=1)
    result = simulate(each, demo_policy("leadtime", each, 20))
    assert result.moments[0].decision.reason == "FailedGetPodsMetric"
    assert result.moments[0].running > 0


def test_a_report_shows_every_policy_however_many() -> None:
    """Twelve results: each has its capacity, its queue, its latencies and its replicas."""
    each = scenario(minutes=2)
    results = [simulate(each, replace(demo_policy("leadtime", each, 20), name=f"p{number}")) for number in range(12)]
    page = report_html(results)
    figures = json.loads(page.rsplit('id="figures">', 1)[1].split("</script>", 1)[0].replace("<\\/", "</"))
    names = {name: {trace["name"] for trace in figure["data"]} for name, figure in figures.items()}
    for number in range(12):
        assert f"capacity, p{number}" in names["demand"]
        assert f"p{number}" in names["queue"]
        assert {f"p50, p{number}", f"p99, p{number}"} <= names["ttft"] & names["tpot"]
        assert {"ready", "starting"} <= names[f"replicas-{number}"]


def test_the_report_is_one_page_that_asks_nobody_for_anything() -> None:
    each = scenario(minutes=6)
    results = [simulate(each, demo_policy(name, each, 20)) for name in POLICIES]
    page = report_html(results)
    own = page.split("<script>", 1)[0] + page.rsplit('<script type="application/json"', 1)[1]
    assert "http" not in own.replace("http-equiv", ""), "no address; the header that forbids them is named so"
    assert page.count('class="plot"') == 11 + 2 * len(results)
    for result in results:
        for moment in result.moments:
            assert moment.decision.reason in page
