"""`leadtime simulate` as a planner runs it: names, parameters, manifests, and what it refuses."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from leadtime.scenario_demand import read_demand
from leadtime.scenario_sections import DemandSection
from policies.errors import BadInput
from simulations.trace import SHIPPED, Trace

SHARED = Path(os.environ.get("LEADTIME_SHARED", Path(__file__).parents[3] / "shared"))
TABLES = SHARED / "traces" / "servegen" / "deepseek-r1-rates.csv.gz"
EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"


def simulate(folder: Path, *arguments: str) -> str:
    done = CliRunner().invoke(
        app,
        ["simulate", str(SHIPPED), "--minutes", "5", "--report", str(folder / "r.html"), *arguments],
        env={"COLUMNS": "120"},
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_names_parameters_and_manifests_run_side_by_side(tmp_path: Path) -> None:
    policies = [
        "leadtime",
        "static:replicas=5",
        str(EXAMPLES / "hpa-batch-size.yaml"),
        str(EXAMPLES / "hpa-queue.yaml"),
    ]
    flags = [flag for policy in policies for flag in ("--policy", policy)]
    output = simulate(tmp_path, *flags, "--json", str(tmp_path / "figures.json"))
    figures = json.loads((tmp_path / "figures.json").read_text())
    names = [row["policy"] for row in figures["policies"]]
    assert names == ["leadtime", "static:replicas=5", "vllm-batch-size", "vllm-queue"]
    assert all(name in output for name in names)
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_gkes_names_are_the_exporters_series(tmp_path: Path) -> None:
    """The duty cycle of GKE and DCGM's utilization are the same series, so both manifests scale."""
    output = simulate(tmp_path, "--policy", str(EXAMPLES / "hpa-duty-cycle.yaml"), "--initial-replicas", "1")
    assert "kubernetes.io|container|accelerator|duty_cycle is" in output


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        pytest.param("hpaa", "policy: was 'hpaa'", id="unknown-name"),
        pytest.param("static:replica=5", "unknown parameter; did you mean replicas", id="unknown-parameter"),
        pytest.param("static:replicas=many", "replicas: was 'many'", id="text-in-a-number"),
        pytest.param("static:replicas", "'replicas' must be key=value", id="no-value"),
        pytest.param("missing.yaml", "missing.yaml: No such file", id="missing-file"),
        pytest.param(str(EXAMPLES / "hpa-torchserve.yaml"), "is not simulated", id="a-metric-nobody-exports"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(tmp_path: Path, policy: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        simulate(tmp_path, "--policy", policy)
    assert not list(tmp_path.iterdir())


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["simulate", *arguments], env={"COLUMNS": "120"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def scenario(folder: Path, text: str = "") -> str:
    path = folder / "scenario.yaml"
    path.write_text(f"demand: {{source: {SHIPPED}, minutes: 2}}\npolicies: ['static:replicas=3']\n{text}")
    return str(path)


def test_a_scenario_file_runs_and_a_flag_goes_before_it(tmp_path: Path) -> None:
    path = scenario(tmp_path, "replicas: {initial: 3}\nprice_per_gpu_hour: 2\n")
    files = ("--report", str(tmp_path / "r.html"), "--json", str(tmp_path / "f.json"))
    invoke(path, *files, "--initial-replicas", "2", "--set", "slo.ttft_seconds=1")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["initial_replicas"], figures["price_per_gpu_hour"]) == (2, 2)
    assert figures["slo"]["ttft_seconds"] == 1
    assert [row["policy"] for row in figures["policies"]] == ["static:replicas=3"]


def test_the_same_command_twice_writes_the_same_figures_byte_for_byte(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    written = []
    for name in ("a.json", "b.json"):
        invoke(path, "--policy", "leadtime", "--report", str(tmp_path / "r.html"), "--json", str(tmp_path / name))
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_the_printed_scenario_reads_as_itself_and_gives_the_same_run(tmp_path: Path) -> None:
    path = scenario(tmp_path, "slo: {ttft_seconds: 1}\n")
    printed = invoke(path, "--max-replicas", "7", "--print-scenario")
    again = tmp_path / "printed.yaml"
    again.write_text(printed)
    assert "max: 7  # maxReplicas" in printed
    assert invoke(str(again), "--print-scenario") == printed
    files = ("--report", str(tmp_path / "r.html"), "--json")
    invoke(path, "--max-replicas", "7", *files, str(tmp_path / "a.json"))
    invoke(str(again), *files, str(tmp_path / "b.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["--max-replicas", "0"], "--max-replicas: was 0, must be in [1, 100000]", id="flag"),
        pytest.param(["--minutes", "0"], "--minutes: was 0, must be in (0, 527040]", id="no-minutes"),
        pytest.param(["--set", "replicas.minn=2"], "--set replicas.minn: unknown field; did you mean min?", id="field"),
        pytest.param(["--set", "replicas.min"], "must be FIELD=VALUE", id="no-value"),
        pytest.param(["--max-replicas", "2"], "replicas.initial: was 4, must be in [min, max] = [0, 2]", id="initial"),
        pytest.param(["--profile", "h900"], "profile: was 'h900'", id="profile"),
    ],
)
def test_an_impossible_scenario_is_refused_in_one_line(tmp_path: Path, arguments: list[str], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        invoke(scenario(tmp_path), "--report", str(tmp_path / "r.html"), *arguments)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r.html").exists()


def test_a_demand_that_no_replica_can_hold_is_refused_and_one_long_request_is_not(tmp_path: Path) -> None:
    """Llama 8B on an L4 in fp8 has 5,000 blocks of 16 tokens: 80,000."""
    header = "arrival_seconds,prompt_tokens,output_tokens\n"
    trace = tmp_path / "long.csv"
    trace.write_text(header + "0,79999,2\n1,90000,10\n")
    files = ("--policy", "static", "--report", str(tmp_path / "r.html"), "--json", str(tmp_path / "f.json"))
    with pytest.raises(BadInput, match=r"with 80,000 tokens of KV cache, must hold at least one request .* has 80,001"):
        invoke(str(trace), *files)
    trace.write_text(header + "0,79998,2\n1,90000,10\n")
    invoke(str(trace), *files)
    (row,) = json.loads((tmp_path / "f.json").read_text())["policies"]
    assert (row["requests"], row["rejected_requests"]) == (2, 1)


def test_bad_rows_are_skipped_when_asked_and_counted(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_seconds,prompt_tokens,output_tokens\n0,10,10\n1,many,10\n2,10,10\n")
    files = ("--policy", "static", "--report", str(tmp_path / "r.html"))
    with pytest.raises(BadInput, match=r"trace\.csv:3: prompt_tokens was 'many'"):
        invoke(str(trace), *files)
    assert "skipped 1 of 3 rows: prompt_tokens 1 (line 3)" in invoke(str(trace), *files, "--skip-bad-rows")


def test_a_demand_is_cut_then_scaled_thinned_and_warped(tmp_path: Path) -> None:
    """Ten requests a second apart: from 0.05 min on (second 3) for 0.1 min (to second 9), twice as slow."""
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_seconds,prompt_tokens,output_tokens\n" + "".join(f"{s},10,10\n" for s in range(10)))
    section = DemandSection(source=str(trace), start_minutes=0.05, minutes=0.1, time_warp=2)
    demand = read_demand(section, None).demand
    assert isinstance(demand, Trace)
    assert demand.arrival_seconds == pytest.approx([0, 2, 4, 6, 8, 10, 12])
    many = read_demand(DemandSection(source=str(SHIPPED), minutes=30), None).demand
    for fields, ratio in (({"scale_rate": 2.0}, 2), ({"thin": 0.25}, 0.25)):
        changed = read_demand(DemandSection(source=str(SHIPPED), minutes=30, **fields), None).demand
        assert isinstance(changed, Trace)
        assert len(changed) == pytest.approx(ratio * many.expected_requests, rel=0.05), fields
    with pytest.raises(BadInput, match="start_seconds: was 3600, must be in"):
        read_demand(DemandSection(source=str(trace), start_minutes=60), None)


@pytest.mark.shared
@pytest.mark.skipif(not TABLES.is_file(), reason=f"{TABLES} is not there")
def test_demand_from_tables_is_run_for_each_phase(tmp_path: Path) -> None:
    """What holds for one phase of the clients only is no result."""
    files = ("--report", str(tmp_path / "r.html"), "--json", str(tmp_path / "f.json"))
    prefix = str(TABLES).removesuffix("-rates.csv.gz")
    invoke(prefix, "--minutes", "1", "--set", "demand.thin=0.1", "--policy", "static:replicas=6", *files)
    rows = json.loads((tmp_path / "f.json").read_text())["policies"]
    assert [row["policy"] for row in rows] == ["static:replicas=6 phase 1", "static:replicas=6 phase 2"]
    assert rows[0]["requests"] != rows[1]["requests"]


def test_workloads_share_the_nodes_and_each_has_its_own_row(tmp_path: Path) -> None:
    """Two nodes of two GPUs hold four replicas: of the four that are asked for beside the first two, two start."""
    path = scenario(
        tmp_path,
        "replicas: {initial: 1, max: 4}\nlead_time: {sigma: 0, load_median_seconds: 20}\n"
        "nodes: {gpus_per_node: 2, min_nodes: 2, max_nodes: 2}\n"
        "workloads:\n- {name: chat}\n- {name: batch, policy: 'static:replicas=3', slo: {ttft_seconds: 60}}\n",
    )
    files = ("--report", str(tmp_path / "r.html"), "--json", str(tmp_path / "f.json"))
    invoke(path, *files, "--parquet", str(tmp_path / "tables"))
    rows = json.loads((tmp_path / "f.json").read_text())["policies"]
    assert [row["policy"] for row in rows] == ["static:replicas=3 on chat", "static:replicas=3 on batch"]
    assert rows[0]["requests"] == rows[1]["requests"] > 300
    assert [row["rescales"] for row in rows] == [1, 1]
    assert sum(row["cold_starts"] for row in rows) == 2
    assert len(list((tmp_path / "tables").iterdir())) == 4


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("router: {policy: round-robin}", id="round-robin"),
        pytest.param("router: {policy: queue-aware, signal_interval_seconds: 5}", id="queue-aware-stale"),
        pytest.param("router: {policy: prefix-aware, weights: {prefix: 3, queue: 2}}", id="prefix-aware-weights"),
        pytest.param("server: {max_num_seqs: 8}", id="max-num-seqs"),
        pytest.param("timeouts: {client_seconds: 5}", id="client-timeout"),
        pytest.param("failures: {mtbf_hours: 0.02}", id="failures"),
        pytest.param("nodes: {gpus_per_node: 2, min_nodes: 1}", id="nodes"),
        pytest.param("disaggregation: {prefill_replicas: 2}", id="disaggregation"),
        pytest.param("slo: {e2e_seconds: 5}", id="slo-e2e"),
        pytest.param("seed: 2\nlead_time: {load_median_seconds: 5, start_median_seconds: 5}", id="lead-time"),
    ],
)
def test_a_field_of_the_scenario_changes_the_run(tmp_path: Path, text: str) -> None:
    """Nothing that can be written is left without effect: 2 replicas that become 4 under load see each of these."""
    figures = []
    for name, more in (("a.json", ""), ("b.json", text)):
        path = scenario(tmp_path, f"replicas: {{initial: 2}}\n{more}\n")
        files = ("--report", str(tmp_path / "r.html"), "--json", str(tmp_path / name))
        invoke(path, *files, "--policy", "static:replicas=4")
        figures.append(json.loads((tmp_path / name).read_text())["policies"])
    assert figures[0] != figures[1]
