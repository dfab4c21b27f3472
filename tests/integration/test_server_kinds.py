"""`leadtime simulate` over fleets of NIM, Triton, TorchServe and fixed batches: the example HPAs scale them as they
stand, and what a kind of server cannot do is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from policies.errors import BadInput

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
MINUTES = 6
SERVERS = {
    "triton": "{kind: triton, batch_profile: resnet50-fp16-t4, max_batch_size: 8, max_queue_delay_microseconds: 1000}",
    "torchserve": "{kind: torchserve, measured: [[1, 0.003], [8, 0.009]], batch_size: 8, max_batch_delay: 5}",
    "nim": "{kind: nim, max_num_seqs: 64}",
    "fixed-batch": "{kind: fixed-batch, batch_profile: resnet50-fp16-t4, batch_size: 4, max_wait_seconds: 0.05}",
}


def scenario(folder: Path, kind: str, rate: float, tokens: tuple[int, int] = (1, 1)) -> str:
    path = folder / f"{kind}.yaml"
    prompt, output = tokens
    path.write_text(
        f"demand: 'poisson:rate={rate:g},minutes={MINUTES},prompt_tokens={prompt},output_tokens={output}'\n"
        "replicas: {initial: 1, max: 5}\n"
        "lead_time: {start_median_seconds: 20, load_median_seconds: 10}\n"
        f"server: {SERVERS[kind]}\n"
    )
    return str(path)


def simulate(folder: Path, *arguments: str) -> tuple[dict[str, float], str]:
    """The one policy's figures, and what was printed."""
    figures = folder / "figures.json"
    done = CliRunner().invoke(
        app,
        ["simulate", *arguments, "--report", str(folder / "r.html"), "--json", str(figures)],
        env={"COLUMNS": "200"},
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    (row,) = json.loads(figures.read_text())["policies"]
    return row, done.output


@pytest.mark.parametrize(
    ("kind", "rate", "tokens", "decided_by"),
    [
        # One replica answers 903 requests/s: it is always busy, and beyond 600/s too busy for the HPA's 70 %.
        pytest.param("triton", 1_000, (1, 1), ("nv_gpu_utilization", "avg_time_queue_us"), id="triton"),
        # 100 requests/s a pod is the target: three pods for 250.
        pytest.param("torchserve", 250, (1, 1), ("torchserve_requests_per_second",), id="torchserve"),
        # 2 requests/s a pod is the target: three pods for 6.
        pytest.param("nim", 6, (100, 20), ("nim_requests_per_second",), id="nim"),
    ],
)
def test_the_example_hpa_scales_its_server(
    tmp_path: Path, kind: str, rate: float, tokens: tuple[int, int], decided_by: tuple[str, ...]
) -> None:
    """All requests are answered, by more replicas than one, because of a metric that only this server shows."""
    policy = str(EXAMPLES / f"hpa-{kind}.yaml")
    row, output = simulate(tmp_path, scenario(tmp_path, kind, rate, tokens), "--policy", policy)
    last = [line for line in output.splitlines() if f"0{MINUTES - 1}:05" in line][-1]
    assert any(f"{name} is" in last for name in decided_by), last
    assert row["rescales"] >= 1
    assert row["gpu_hours"] > 1.5 * MINUTES / 60, "one replica alone would have been one GPU"
    assert row["served_requests"] == row["requests"]


def test_fixed_batches_are_scaled_by_the_gpus_exporter_alone(tmp_path: Path) -> None:
    """One replica of batches of 4 answers 719 requests/s at most: 700 keep its GPU busy nearly all the time."""
    path = scenario(tmp_path, "fixed-batch", 700)
    row, output = simulate(tmp_path, path, "--policy", str(EXAMPLES / "hpa-duty-cycle.yaml"))
    assert "duty_cycle is" in output
    assert row["rescales"] >= 1
    with pytest.raises(BadInput, match="is not simulated for a server of fixed batches"):
        simulate(tmp_path, path, "--policy", str(EXAMPLES / "hpa-queue.yaml"))


def test_what_has_no_tpot_shows_a_dash(tmp_path: Path) -> None:
    _, output = simulate(tmp_path, scenario(tmp_path, "triton", 50), "--policy", "static:replicas=1", "--minutes", "1")
    (line,) = (line for line in output.splitlines() if line.startswith("static:replicas=1 ") and "%" in line)
    assert "nan" not in output
    assert line.split().count("-") == 2


def test_nim_runs_leadtimes_own_policy(tmp_path: Path) -> None:
    """NIM's series are vLLM's by other names: the policy knows the demand, and so it decides."""
    row, output = simulate(tmp_path, scenario(tmp_path, "nim", 6, (100, 20)), "--policy", "leadtime")
    assert "req/s now at" in output
    assert row["slo_attainment"] > 0.95


@pytest.mark.parametrize(
    ("kind", "flags", "named"),
    [
        pytest.param(
            "triton", ["--policy", "leadtime"], "plans with a profile of vLLM's steps", id="leadtime-s-policy"
        ),
        pytest.param(
            "triton", ["--policy", "hpa"], "'vllm:num_requests_running' is not simulated for Triton", id="hpa"
        ),
        pytest.param(
            "torchserve", ["--policy", str(EXAMPLES / "hpa-triton.yaml")], "'avg_time_queue_us' is not", id="of-another"
        ),
        pytest.param(
            "torchserve",
            ["--set", "router.policy=prefix-aware"],
            "router.policy: was prefix-aware, must be",
            id="router",
        ),
        pytest.param("triton", ["--set", "disaggregation={}"], "disaggregation: was given, must be null", id="split"),
    ],
)
def test_what_a_kind_of_server_cannot_do_is_refused_in_one_line(
    tmp_path: Path, kind: str, flags: list[str], named: str
) -> None:
    policy = [] if "--policy" in flags else ["--policy", "static"]
    with pytest.raises(BadInput) as refused:
        simulate(tmp_path, scenario(tmp_path, kind, 50), *policy, *flags)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r.html").exists()
