"""`leadtime batch-sizes`: the table, the best size, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from policies.errors import BadInput

T4 = ["--profile", "resnet50-fp16-t4", "--requests", "5000"]


def batch_sizes(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["batch-sizes", *arguments], env={"COLUMNS": "120"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_best_size_is_the_fastest_within_the_slo(tmp_path: Path) -> None:
    """At 300 requests/s, waiting up to 100 ms: 8 keeps to 60 ms, 16 does not."""
    path = tmp_path / "figures.json"
    output = batch_sizes(
        "--requests-per-second", "300", "--p99-seconds", "0.06", "--max-wait-seconds", "0.1", *T4, "--json", str(path)
    )
    assert "best: batch size 8, p99" in output
    assert re.search(r"^ +8 +9\d\d .* best$", output, re.MULTILINE)
    figures = json.loads(path.read_text())
    assert figures["best_batch_size"] == 8
    p99 = {row["batch_size"]: row["p99_seconds"] for row in figures["sizes"]}
    assert list(p99) == [1, 2, 4, 8, 16, 32]
    assert p99[8] <= 0.06 < p99[16]


def test_measured_points_take_the_place_of_a_profile() -> None:
    """1 ms and 1 ms more for each: 8 requests in 9 ms are 889/s, less what the last batch lacks."""
    output = batch_sizes(
        "--requests-per-second", "100", "--p99-seconds", "1", "--measured", "1:0.002,8:0.009", "--sizes", "8,8",
        "--requests", "4000",
    )  # fmt: skip
    assert re.search(r"^ +8 +889 ", output, re.MULTILINE)
    assert len(re.findall(r"^ +\d+ +\d+ ", output, re.MULTILINE)) == 1, "a size given twice is one row"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param([], "--profile: was null, must be one of resnet50-fp16-t4, ", id="no-profile"),
        pytest.param(["--profile", "bert"], "--profile: was 'bert', must be one of", id="unknown-profile"),
        pytest.param([*T4, "--measured", "1:1,2:2"], "--profile: was 'resnet50-fp16-t4' beside measured", id="both"),
        pytest.param(
            ["--measured", "1:0.003"], "--measured: was [(1, 0.003)], must be two batch sizes", id="one-point"
        ),
        pytest.param(["--measured", "eight:1"], "--measured: was 'eight:1', must be SIZE:SECONDS", id="no-number"),
        pytest.param([*T4, "--sizes", "0,4"], "--sizes: was '0,4', must be numbers in [1, 65536]", id="size-0"),
        pytest.param([*T4, "--sizes", "4,x"], "--sizes: was '4,x', must be whole numbers", id="size-text"),
        pytest.param([*T4, "--instances", "0"], "--instances: was 0, must be", id="instances"),
        pytest.param([*T4, "--max-wait-seconds", "-1"], "--max-wait-seconds: was -1.0, must be", id="wait"),
        pytest.param([*T4, "--requests-per-second", "0"], "--requests-per-second: was 0.0, must be", id="no-demand"),
        pytest.param([*T4, "--p99-seconds", "0"], "--p99-seconds: was 0, must be above 0", id="no-slo"),
        pytest.param([*T4, "--requests", "10"], "--requests: was 10, must be in [1000, 5e+06]", id="few-requests"),
    ],
)
def test_wrong_input_is_refused_in_one_line_that_names_the_flag(arguments: list[str], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        batch_sizes("--requests-per-second", "100", "--p99-seconds", "0.1", *arguments)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_slo_out_of_reach_shows_the_table_and_says_how_far_off_it_is(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    arguments = ["--requests-per-second", "300", "--p99-seconds", "0.001", *T4, "--json", str(path)]
    done = CliRunner().invoke(app, ["batch-sizes", *arguments], env={"COLUMNS": "120"})
    assert isinstance(done.exception, BadInput)
    assert re.search(r"--p99-seconds: was 0.001, must be 0\.\d+ or more at this load", str(done.exception))
    assert "GPU" in done.output
    assert json.loads(path.read_text())["best_batch_size"] is None
