"""The pages in a real browser: every plot is drawn, nothing is asked of the network, and a phone shows all of it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from headless_chromium import dom_of, needs_chromium, opened

from leadtime.demo.policies import POLICIES, demo_policy
from policies.capacity.profile import PROFILES
from simulations.report import comparison_html, frontier_html, report_html
from simulations.results import Result
from simulations.scenario import Failures, Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "plots"),
    [
        pytest.param("scenario", 11 + 2 * len(POLICIES), id="one-scenario"),
        pytest.param("comparison", 9 + len(POLICIES), id="several-scenarios"),
        pytest.param("frontier", 1, id="a-sweep"),
    ],
)
def test_every_plot_is_drawn_and_no_request_is_made(tmp_path: Path, kind: str, plots: int) -> None:
    page = tmp_path / "report.html"
    page.write_text(_page(kind), encoding="utf-8")
    dom = dom_of(page)
    assert f'data-plots="{plots}"' in dom
    assert 'data-requests="0"' in dom


PHONE_PIXELS, LEAST_TEXT_PIXELS = 390, 12

PROBE = """<script>
document.addEventListener("drawn", () => {
  const root = document.documentElement;
  const sized = [...document.querySelectorAll("text, td, th, p, li, dt, dd, h1, h2, summary, .delta")];
  const shown = sized.filter((one) => one.textContent.trim() && one.getClientRects().length);
  const sizes = shown.map((one) => [parseFloat(getComputedStyle(one).fontSize), one.textContent.slice(0, 40)]);
  const frames = [...document.querySelectorAll(".scroll")];
  parent.postMessage({
    width: innerWidth, overflow: root.scrollWidth - root.clientWidth,
    smallest: sizes.sort((one, other) => one[0] - other[0])[0],
    scrolled: frames.filter((one) => one.scrollWidth > one.clientWidth).length,
    plots: document.body.dataset.plots, requests: document.body.dataset.requests,
    wide: [...document.querySelectorAll(".main-svg")].filter((one) => one.clientWidth > innerWidth).length,
    bars: document.querySelectorAll("#timeline-0 .bars .point").length,
  }, "*");
});
</script></body>"""
"""In a copy of the page: what it measures of itself, told to the page that frames it."""

FRAME = f"""<body style="margin:0">
<iframe src="probed.html" style="border:0" width="{PHONE_PIXELS}" height="800"></iframe>
<script>onmessage = (message) => {{ document.body.dataset.told = JSON.stringify(message.data); }};</script>"""
"""A window without a screen is at least 500 pixels wide; a frame in it may be as narrow as a phone."""


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "plots"),
    [
        pytest.param("scenario", 11 + 2 * len(POLICIES), id="one-scenario"),
        pytest.param("comparison", 9 + len(POLICIES), id="several-scenarios"),
    ],
)
def test_a_phone_shows_the_whole_page(tmp_path: Path, kind: str, plots: int) -> None:
    """Nothing has to be scrolled sideways, neither the page nor a table, and no text is below 12 pixels."""
    told = _told_by_a_phone(tmp_path, _page(kind))
    assert told["width"] == PHONE_PIXELS
    assert told["overflow"] == told["scrolled"] == told["wide"] == 0
    assert told["smallest"][0] >= LEAST_TEXT_PIXELS, told["smallest"]
    assert int(told["plots"]) == plots
    assert int(told["requests"]) == 0
    assert told["bars"] > len(_results()[0].lifelines.pods)


@needs_chromium
def test_the_page_may_ask_nobody(tmp_path: Path) -> None:
    """The policy is in force: what a script of the page would fetch or load is refused, and the console says so."""
    page = tmp_path / "report.html"
    page.write_text(_page("frontier"), encoding="utf-8")
    assert opened(page.as_uri(), tmp_path / "first").console == (), "nothing that the page itself does is refused"
    page.write_text(_page("frontier").replace("</body>", INTRUDER), encoding="utf-8")
    console = opened(page.as_uri(), tmp_path / "second").console
    for directive in ("default-src", "img-src", "script-src"):
        assert any(directive in line for line in console), console


INTRUDER = """<script>
fetch("http://127.0.0.2:9/").catch(() => {});
new Image().src = "http://127.0.0.2:9/x.png";
const script = document.createElement("script");
script.src = "http://127.0.0.2:9/x.js";
document.body.append(script);
</script></body>"""


def _told_by_a_phone(folder: Path, page: str) -> dict[str, Any]:
    (folder / "probed.html").write_text(page.replace("</body>", PROBE), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME, encoding="utf-8")
    told = re.search(r'data-told="([^"]*)"', dom_of(frame))
    assert told is not None, "the framed page told nothing"
    measured: dict[str, Any] = json.loads(told[1].replace("&quot;", '"'))
    return measured


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
        failures=Failures(mtbf_seconds=900.0),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
    )
    return tuple(simulate(scenario, demo_policy(name, scenario, 20)) for name in POLICIES)
