"""The pages in a real browser: every plot is drawn and nothing is asked of the network."""

from functools import cache
from pathlib import Path

import pytest
from headless_chromium import dom_of, needs_chromium

from leadtime.demo.policies import POLICIES, demo_policy
from policies.capacity.profile import PROFILES
from simulations.report import comparison_html, frontier_html, report_html
from simulations.results import Result
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "plots"),
    [
        pytest.param("scenario", 8 + len(POLICIES), id="one-scenario"),
        pytest.param("comparison", 4, id="several-scenarios"),
        pytest.param("frontier", 1, id="a-sweep"),
    ],
)
def test_every_plot_is_drawn_and_no_request_is_made(tmp_path: Path, kind: str, plots: int) -> None:
    page = tmp_path / "report.html"
    page.write_text(_page(kind), encoding="utf-8")
    dom = dom_of(page)
    assert f'data-plots="{plots}"' in dom
    assert 'data-requests="0"' in dom


def _page(kind: str) -> str:
    results = _results()
    if kind == "scenario":
        return report_html(results)
    if kind == "comparison":
        return comparison_html(results)
    return frontier_html([{"settings": {}, **result.summary.as_dict()} for result in results])


@cache
def _results() -> tuple[Result, ...]:
    scenario = Scenario(
        trace=read_trace(SHIPPED).first(600),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
    )
    return tuple(simulate(scenario, demo_policy(name, scenario, 20)) for name in POLICIES)
