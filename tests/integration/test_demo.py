"""The demo as a user runs it: the command, its files, its refusals, and the path over real sockets."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from leadtime.demo.policies import POLICIES, demo_policy
from leadtime.demo.run import run_over_http
from policies.capacity.profile import PROFILES
from simulations.derived import MISSED
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def leadtime(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "leadtime", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", POLICIES)
async def test_real_sockets_and_the_in_process_pipeline_give_the_same_decisions(name: str) -> None:
    """Pages over HTTP, the adapter as a process, metrics over HTTPS: every decision equals the simulator's.

    leadtime's for half an hour: after 20 minutes it learns.

    Without the shares of requests that missed, which the adapter has no rule for: there leadtime judges by its model.
    """
    scenario = Scenario(
        trace=read_trace(SHIPPED).first(1_800 if name == "leadtime" else 720),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
        initial_replicas=3,
    )
    policy = demo_policy(name, scenario, 20)
    policy = replace(policy, queries=tuple(query for query in policy.queries if query.name not in MISSED))
    in_process = simulate(scenario, policy)
    over_http = await run_over_http(scenario, policy, port=0, on_sync=lambda _: None)
    assert over_http.moments == in_process.moments
    assert over_http.summary == in_process.summary
    assert over_http.summary.rescales > 0


def test_the_command_prints_a_table_and_writes_report_and_json(tmp_path: Path) -> None:
    done = leadtime("demo", "--minutes", "6", "--json", "figures.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["policy"] for row in figures["policies"]] == list(POLICIES)
    for row in figures["policies"]:
        assert f"{row['slo_attainment']:.2%}" in done.stdout
        assert f"{row['gpu_hours']:.2f}" in done.stdout
    assert "SLO" in done.stdout
    page = (tmp_path / "leadtime-demo.html").read_text()
    assert page.startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "leadtime-demo.html"]


@pytest.mark.parametrize(
    ("arguments", "trace", "named"),
    [
        pytest.param(["--policies", "hpa,magic"], None, "--policies: was 'magic', must be one of", id="policy"),
        pytest.param(["--profile", "h900"], None, "profile: was 'h900', must be one of", id="profile"),
        pytest.param([], HEADER + "2023-11-16 18:15:46,abc,44\n", ":2: ContextTokens was 'abc'", id="text"),
        pytest.param([], "a,b\n1,2\n", ":1: column TIMESTAMP is missing", id="column"),
        pytest.param([], "", "was empty", id="empty-trace"),
        pytest.param(
            [],
            HEADER + "2023-11-16 18:15:46,1,1\n2023-11-16 18:15:45,1,1\n",
            "must not be earlier",
            id="time-goes-backwards",
        ),
        pytest.param(["--report", "no/such/folder/r.html"], None, "--report: no/such/folder", id="report"),
        pytest.param(["--json", "."], None, "--json: . is a directory", id="json"),
        pytest.param(["--minutes", "0"], None, "--minutes: was 0, must be in", id="minutes"),
        pytest.param(["--tpot-slo-seconds", "0.02"], None, "tpotSeconds: was 0.02", id="impossible-slo"),
        pytest.param(["--initial-replicas", "0"], None, "--initial-replicas: was 0", id="replicas"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], trace: str | None, named: str
) -> None:
    extra = []
    if trace is not None:
        (tmp_path / "trace.csv").write_text(trace)
        extra = ["trace.csv"]
    before = sorted(tmp_path.iterdir())
    done = leadtime("demo", *arguments, *extra, folder=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert sorted(tmp_path.iterdir()) == before, "nothing is half-written"


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    done = leadtime("demo", "nowhere.csv", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nowhere.csv does not exist" in done.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = leadtime("demo", "--port", str(port), folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert str(port) in done.stderr
    assert not list(tmp_path.iterdir())
