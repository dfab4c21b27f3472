"""`leadtime frontier` as a planner runs it: figures and files, a second run that resumes, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from policies.errors import BadInput
from simulations.sweep.cells import Cell, Outcomes, Task, attempt

DEMAND = "diurnal:rate=15,minutes=60,seed=4"


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells in this process: each other one takes seconds to start."""

    def run(task: Task, cells: list[Cell], _workers: int) -> Outcomes:
        yield from ((cell, attempt(task, cell.content)) for cell in cells)

    monkeypatch.setattr("leadtime.frontier_runs.run_on_processes", run)


def frontier(out: Path, *arguments: str) -> str:
    done = CliRunner().invoke(
        app,
        ["frontier", "--out", str(out), "--lead-time", "120", *arguments],
        env={"COLUMNS": "160"},
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return done.output


def document(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "frontier.json").read_text())
    return found


def test_a_frontier_is_tuned_on_one_half_judged_on_the_other_and_checked(tmp_path: Path) -> None:
    arguments = (
        *("--demand", DEMAND, "--policies", "static,hpa-batch-size,schedule", "--settings", "4"),
        *("--check", "1", "--check-hours", "0.1"),
    )
    text = frontier(tmp_path, *arguments)
    (found,) = document(tmp_path)["frontiers"]
    assert found["train_seconds"] == found["judged_seconds"] == 1_800
    assert found["not_applicable"].keys() == {"schedule"}, "half an hour shows no day"
    by_name = {each["policy"]: each for each in found["policies"]}
    assert by_name.keys() == {"static", "hpa-batch-size", "clairvoyant"}
    for name in ("static", "hpa-batch-size"):
        assert len(by_name[name]["grid"]) == 4
        assert by_name[name]["errors"] == []
        levels = by_name[name]["levels"]["0.95"]
        if levels["gpu_hours"] is not None:
            assert levels["hindsight_gpu_hours"] <= levels["gpu_hours"] + 1e-9
            assert levels["over_clairvoyant"] > 0.99
    assert {each["policy"] for each in document(tmp_path)["check"]} == {"static", "hpa-batch-size"}
    assert "Count-level model against the full simulator" in text
    assert "Plotly.newPlot" in (tmp_path / "frontier.html").read_text()
    before = document(tmp_path)
    assert ": 0 finished before" not in frontier(tmp_path, *arguments), "the same folder resumes"
    assert document(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--slo", "2"), r"--slo: was 2, must be 2 numbers in \[0.001, 3600\]", id="half-an-slo"),
        pytest.param(("--lead-time", "5m"), r"--lead-time: was 5m, must be numbers", id="a-unit-in-the-lead-time"),
        pytest.param(("--policies", "hpa-que"), r"policy: was 'hpa-que', did you mean hpa-queue", id="a-typing-error"),
        pytest.param(("--settings", "0"), r"--settings: was 0, must be in \[1, 100000\]", id="no-settings"),
        pytest.param(("--slo", "2,0.02"), r"tpot_seconds: was 0.02, must be above 0.033", id="an-slo-below-one-step"),
    ],
)
def test_bad_input_names_field_value_and_range(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        frontier(tmp_path, "--demand", "poisson:rate=1,minutes=5", *arguments)


def test_what_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no\.csv"):
        frontier(tmp_path / "new" / "results", "--demand", str(tmp_path / "no.csv"))
    assert list(tmp_path.iterdir()) == []
