"""The report in a real browser: every plot is drawn and nothing is asked of the network."""

import shutil
import subprocess
from pathlib import Path

import pytest

from leadtime.demo.policies import POLICIES, demo_policy
from policies.capacity.profile import PROFILES
from simulations.report import report_html
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not opened in a browser")
def test_every_plot_is_drawn_and_no_request_is_made(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    scenario = Scenario(
        trace=read_trace(SHIPPED).first(600),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
    )
    results = [simulate(scenario, demo_policy(name, scenario, 20)) for name in POLICIES]
    page = tmp_path / "report.html"
    page.write_text(report_html(results), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - a browser on our own page
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=8000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f'data-plots="{4 + len(POLICIES)}"' in done.stdout
    assert 'data-requests="0"' in done.stdout
