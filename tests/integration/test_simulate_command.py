"""`leadtime simulate` as a planner runs it: names, parameters, manifests, and what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from policies.errors import BadInput
from simulations.trace import SHIPPED

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
