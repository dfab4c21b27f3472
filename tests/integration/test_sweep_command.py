"""`leadtime sweep` as a planner runs it: a grid, a kill in the middle, cells that fail, and what it refuses."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from leadtime.sweep_task import code_fingerprint
from policies.errors import BadInput
from simulations.sweep.cells import Cell, Outcomes, Task, attempt
from simulations.trace import SHIPPED


def scenario(folder: Path, minutes: float = 2.0) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(
        f"demand: {{source: {SHIPPED}, minutes: {minutes}}}\npolicies: [hpa-queue, 'static:replicas=3']\n"
        "replicas: {initial: 3, max: 6}\n"
    )
    return path


def sweep(path: Path, out: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(
        app, ["sweep", str(path), "--out", str(out), *arguments], env={"COLUMNS": "120"}, catch_exceptions=False
    )
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells in this process, where a test is not about processes: each one takes seconds to start."""

    def run(task: Task, cells: list[Cell], _workers: int) -> Outcomes:
        yield from ((cell, attempt(task, cell.content)) for cell in cells)

    monkeypatch.setattr("leadtime.sweep.run_on_processes", run)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_grid_gives_the_same_files_with_one_worker_and_with_two(tmp_path: Path) -> None:
    """A policy's parameter varies for it alone: 2 prices x (2 targets + 1 fixed size) = 6 cells, not 8."""
    path = scenario(tmp_path)
    varied = ("--set", "price_per_gpu_hour=1,2", "--set", "policy.hpa-queue.target_requests=2,8")
    sweep(path, tmp_path / "one", *varied, "--workers", "1")
    sweep(path, tmp_path / "two", *varied, "--workers", "2", "--report")
    for name in ("results.jsonl", "results.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    found = rows(tmp_path / "two")
    assert [(row["policy"], row["parameters"]["price_per_gpu_hour"]) for row in found] == [
        ("hpa-queue:target_requests=2", 1),
        ("static:replicas=3", 1),
        ("hpa-queue:target_requests=8", 1),
        ("hpa-queue:target_requests=2", 2),
        ("static:replicas=3", 2),
        ("hpa-queue:target_requests=8", 2),
    ]
    assert all(row["error"] is None and row["requests"] > 300 for row in found)
    assert found[4]["cost_usd"] == pytest.approx(2 * found[1]["cost_usd"])
    with (tmp_path / "two" / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["cost_usd"]) for line in lines] == [row["cost_usd"] for row in found]
    assert lines[0]["policy.hpa-queue.target_requests"] == "2"
    assert lines[1]["policy.hpa-queue.target_requests"] == ""
    assert (tmp_path / "two" / "frontier.html").read_text().startswith("<!doctype html>")


def alive(group: int) -> list[str]:
    """Processes of that group that run; the dead that nobody has waited for are none."""
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in {"Z", "X"}:
            states.append(stat.parent.name)
    return states


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see the workers")
def test_kill_9_in_the_middle_loses_the_running_cells_only_and_the_same_command_resumes(tmp_path: Path) -> None:
    path, out = scenario(tmp_path, minutes=10), tmp_path / "out"
    varied = ("--set", "seed=range(1,9)", "--set", "policies=static:replicas=3", "--workers", "2")
    running = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "leadtime", "sweep", str(path), "--out", str(out), *varied],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while len(list((out / "cells").glob("*.json"))) < 2:
            assert running.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline, "no cell was finished"
            time.sleep(0.002)
    finally:
        running.kill()
        running.wait()
    kept = {file: file.stat().st_mtime_ns for file in (out / "cells").glob("*.json")}
    assert 2 <= len(kept) < 8
    assert not (out / "results.csv").exists()
    deadline = time.monotonic() + 30
    while alive(running.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(running.pid), "workers run on for nobody"

    code_fingerprint.cache_clear()  # as the killed process saw the sources, not as they were when the tests began
    output = sweep(path, out, *varied)
    assert f"8 cells: {len(kept)} finished before, {8 - len(kept)} to run" in output
    assert {file: file.stat().st_mtime_ns for file in kept} == kept, "finished cells are not run again"
    assert [row["parameters"]["seed"] for row in rows(out)] == list(range(1, 9))
    assert "8 finished before, 0 to run" in sweep(path, out, *varied)


@pytest.mark.usefixtures("in_process")
def test_bad_cells_are_reported_and_the_others_are_run(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    varied = ("--set", "replicas.max=0,6", "--set", f"demand={SHIPPED},missing.csv", "--workers", "2")
    output = sweep(path, tmp_path / "out", *varied, code=1)
    found = rows(tmp_path / "out")
    good = [row for row in found if row["error"] is None]
    assert {row["policy"] for row in good} == {"hpa-queue", "static:replicas=3"}
    errors = {row["error"] for row in found if row["error"] is not None}
    assert any(error.startswith("--set replicas.max: was 0, must be in [1, 100000]") for error in errors)
    assert any("missing.csv does not exist" in error for error in errors)
    assert f"{len(found) - 2} of {len(found)} cells failed" in output
    assert "2 finished before" in sweep(path, tmp_path / "out", *varied, code=1), "failed cells are tried again"


@pytest.mark.usefixtures("in_process")
def test_random_points_are_resumed_by_a_larger_number(tmp_path: Path) -> None:
    path = scenario(tmp_path, minutes=1)
    varied = (
        "--policy",
        "static:replicas=2",
        "--set",
        "price_per_gpu_hour=0.1..10:log",
        "--seed",
        "3",
        "--workers",
        "1",
    )
    sweep(path, tmp_path / "out", "--random", "2", *varied)
    first = rows(tmp_path / "out")
    assert "4 cells: 2 finished before" in sweep(path, tmp_path / "out", "--random", "4", *varied)
    assert rows(tmp_path / "out")[:2] == first


@pytest.mark.usefixtures("in_process")
def test_workloads_are_one_row_with_their_sum_and_each_one_s_figures(tmp_path: Path) -> None:
    path = scenario(tmp_path, minutes=1)
    path.write_text(path.read_text() + "nodes: {}\nworkloads: [{name: chat}, {name: batch, policy: hpa-queue}]\n")
    sweep(
        path, tmp_path / "out", "--set", "workloads.0.replicas={initial: 4}", "--set", "seed=1,2", "--policy", "static"
    )
    first, second = rows(tmp_path / "out")
    assert (first["error"], first["policy"], second["parameters"]["seed"]) == (None, "static", 2)
    for figure in ("requests", "gpu_hours", "cost_usd"):
        assert first[figure] == pytest.approx(first[f"chat.{figure}"] + first[f"batch.{figure}"])
    low, high = sorted([first["chat.slo_attainment"], first["batch.slo_attainment"]])
    assert low <= first["slo_attainment"] <= high


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["--set", "replicas.maxx=1,2"], "replicas.maxx: unknown field; did you mean max?", id="field"),
        pytest.param(["--set", "replicas.max"], "must be FIELD=VALUES", id="no-values"),
        pytest.param(["--set", "seed=1..5"], "only --random N draws from", id="range-without-random"),
        pytest.param(["--set", "policy.hpa-que.target_requests=1"], "did you mean hpa-queue", id="policy"),
        pytest.param(["--set", "policy.hpa-queue.target=1"], "did you mean target_requests", id="parameter"),
        pytest.param(["--set", "seed=1", "--workers", "0"], "--workers: was 0", id="workers"),
        pytest.param(["--set", "seed=-1,-2"], "--set seed: was -1, must be in [0, 4294967295]", id="every-value"),
        pytest.param(["--set", "profile=h900", "--policy", "hpa-queue"], "profile: was 'h900'", id="every-cell"),
    ],
)
@pytest.mark.usefixtures("in_process")
def test_what_no_cell_can_run_is_one_line_for_exit_code_2(tmp_path: Path, arguments: list[str], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        sweep(scenario(tmp_path), tmp_path / "out", "--policy", "hpa-queue", *arguments)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out" / "results.csv").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--out: .* cannot be made"):
        sweep(scenario(tmp_path), tmp_path / "file" / "out", "--set", "seed=1")


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = scenario(tmp_path, minutes=1), tmp_path / "out"

    def interrupted(task: Task, cells: list[Cell], _workers: int) -> Outcomes:
        yield cells[0], attempt(task, cells[0].content)
        raise KeyboardInterrupt

    monkeypatch.setattr("leadtime.sweep.run_on_processes", interrupted)
    varied = ("--policy", "static:replicas=2", "--set", "seed=1,2,3")
    assert "stopped: 2 cells are left; the same command again runs them" in sweep(path, out, *varied, code=130)
    assert "3 cells: 1 finished before, 2 to run" in sweep(path, out, *varied, code=130)
