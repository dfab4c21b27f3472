"""Pages about several scenarios and about sweeps; pages of long runs stay readable."""

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadtime.demo.policies import demo_policy
from policies.capacity.profile import PROFILES
from simulations.report import comparison_html, frontier_html, report_html
from simulations.report.frontier import undominated
from simulations.report.parameters import common_and_differing, parameters
from simulations.report.time_axis import MOST_POINTS, TimeAxis
from simulations.results import Result
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

SCENARIO = Scenario(
    trace=read_trace(SHIPPED).first(180),
    profile=PROFILES["llama-3.1-8b-fp8-l4"],
    slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
    initial_replicas=4,
)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    scenarios = [SCENARIO, replace(SCENARIO, seed=2, initial_replicas=2)]
    return [simulate(each, demo_policy("leadtime", each, 20)) for each in scenarios]


def values(encoded: Any) -> list[float]:
    """What plotly wrote of a plot's numbers: a list as it is, an array as base64."""
    if isinstance(encoded, list):
        return encoded
    decoded: list[float] = np.frombuffer(base64.b64decode(encoded["bdata"]), encoded["dtype"]).tolist()
    return decoded


def figures(page: str) -> dict[str, Any]:
    text = page.rsplit('id="figures">', 1)[1].split("</script>", 1)[0].replace("<\\/", "</")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_scenarios_are_compared_by_what_differs_and_what_they_share(results: list[Result]) -> None:
    page = comparison_html(results)
    head = page.split("</thead>", 1)[0]
    assert "<th>seed</th>" in head
    assert "<th>initial_replicas</th>" in head
    assert "slo.ttft_seconds" not in head
    shared = page.split("What all runs share", 1)[1].split("<script>", 1)[0]
    assert "<dt>slo.ttft_seconds</dt><dd>2</dd>" in shared
    assert "<dt>seed</dt>" not in shared
    names = {trace["name"] for trace in figures(page)["frontier"]["data"]}
    assert names == {"leadtime · 4 · 1", "leadtime · 2 · 2"}, "equal policies are told apart by what differs"


def test_each_run_is_measured_against_the_first(results: list[Result]) -> None:
    first, second = (result.summary for result in results)
    page = comparison_html(results)
    assert f"{second.gpu_hours / first.gpu_hours - 1:+.1%}" in page
    assert f"{100 * (second.slo_attainment - first.slo_attainment):+.2f} pp" in page


def test_runs_that_differ_in_nothing_are_numbered(results: list[Result]) -> None:
    names = {trace["name"] for trace in figures(comparison_html([results[0]] * 2))["frontier"]["data"]}
    assert names == {"leadtime #1", "leadtime #2"}


def test_parameters_hold_every_plain_field_and_name_the_demand() -> None:
    flat = parameters(SCENARIO)
    assert flat["trace"] == SHIPPED.name
    assert flat["profile.name"] == "llama-3.1-8b-fp8-l4"
    assert flat["slo.e2e_seconds"] == "none"
    assert float(flat["trace.minutes"]) == pytest.approx(3.0, abs=0.1)


def test_what_one_scenario_lacks_differs() -> None:
    assert common_and_differing([{"a": "1", "b": "2"}, {"a": "1"}]) == ({"a": "1"}, ["b"])


def row(policy: str, hours: float, attainment: float, **settings: Any) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    phase = named.pop("phase_seed", None)
    return {
        "policy": policy,
        "settings": named,
        "phase_seed": phase,
        "error": None,
        "gpu_hours": hours,
        "slo_attainment": attainment,
        "cost_usd": 2 * hours,
    }


def test_a_sweep_has_a_plot_for_each_scenario_and_a_line_for_each_policy() -> None:
    rows = [
        row(policy, hours, hours / 10, policy__hpa__target=hours, lead_time__sigma=sigma, phase_seed=seed)
        for policy in ("hpa", "leadtime:target=3")
        for hours in (5.0, 4.0)
        for sigma in (0.2, 0.4)
        for seed in (1, 2)
    ]
    plots = figures(frontier_html(rows))
    assert [name for name in plots if name.startswith("frontier-")] == ["frontier-0", "frontier-1"]
    lines = {trace["name"]: trace for trace in plots["frontier-0"]["data"]}
    assert lines.keys() == {"hpa", "leadtime", "not beaten"}
    assert lines["hpa"]["x"] == [4.0, 4.0, 5.0, 5.0], "two phases share the plot, cheapest first"
    assert "policy.hpa.target = 4" in lines["hpa"]["text"][0]


def test_failed_runs_are_listed_with_their_errors() -> None:
    failed = {"policy": "hpa", "settings": {"seed": -1}, "error": "seed: was -1, must be <b>positive</b>"}
    page = frontier_html([row("hpa", 1.0, 0.9), failed])
    assert "Runs that failed" in page
    assert "must be &lt;b&gt;positive&lt;/b&gt;" in page


def test_a_sweep_in_which_everything_failed_is_a_page_too() -> None:
    page = frontier_html([{"policy": "hpa", "settings": {}, "error": "no"}])
    assert figures(page) == {}
    assert "0 runs" in page


@given(points=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_undominated_points_are_those_that_no_other_beats(points: list[tuple[int, int]]) -> None:
    def beaten(hours: int, attainment: int) -> bool:
        return any(h <= hours and a >= attainment and (h, a) != (hours, attainment) for h, a in points)

    kept = undominated([(float(hours), float(attainment)) for hours, attainment in points])
    assert {points[index] for index in kept} == {point for point in points if not beaten(*point)}
    assert len({points[index] for index in kept}) == len(kept), "of equal points one is enough"


@pytest.mark.parametrize(
    ("seconds", "unit", "shown"),
    [
        pytest.param(3_600, "minutes", 60, id="an-hour"),
        pytest.param(86_400, "hours", 24, id="a-day"),
        pytest.param(14 * 86_400, "days", 14, id="two-weeks"),
    ],
)
def test_time_is_in_a_unit_that_people_can_read(seconds: float, unit: str, shown: float) -> None:
    axis = TimeAxis.for_duration(seconds)
    assert axis.title.startswith(unit)
    assert axis.of([seconds]).tolist() == [shown]


def test_a_long_runs_page_is_thinned_and_keeps_its_peaks(results: list[Result]) -> None:
    """Ten times as many moments as points: one queue of 1,000 among them is still there."""
    short = results[0]
    moments = [
        replace(short.moments[0], second=0.004 * index, waiting=1_000 if index == 12_345 else 0)
        for index in range(10 * MOST_POINTS)
    ]
    page = report_html([replace(short, moments=tuple(moments))])
    queue = figures(page)["queue"]["data"][0]
    assert len(values(queue["x"])) == len(values(queue["y"])) == MOST_POINTS
    assert max(values(queue["y"])) == 1_000
    assert page.count("<tr>") < 10_000, "decisions that changed nothing are left out"


def test_the_cost_curve_ends_at_the_bill(results: list[Result]) -> None:
    curve = values(figures(report_html(results[:1]))["cost"]["data"][0]["y"])
    assert curve[-1] == pytest.approx(results[0].summary.cost_usd, rel=1e-12)
    assert np.all(np.diff(curve) >= 0)


def test_nodes_have_a_plot_where_they_are_simulated(results: list[Result]) -> None:
    result = results[0]
    with_nodes = replace(result, moments=tuple(replace(moment, nodes=3) for moment in result.moments))
    assert "nodes" not in figures(report_html([result]))
    assert set(values(figures(report_html([with_nodes]))["nodes"]["data"][0]["y"])) == {3}
