"""`leadtime compare` as a planner runs it: policies side by side, scenarios side by side, and what differs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from policies.errors import BadInput
from simulations.trace import SHIPPED


def compare(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """What it prints, and its figures."""
    files = ["--report", str(folder / "r.html"), "--json", str(folder / "c.json")]
    done = CliRunner().invoke(app, ["compare", *arguments, *files], env={"COLUMNS": "140"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures: dict[str, Any] = json.loads((folder / "c.json").read_text())
    return done.output, figures


def scenario(path: Path, initial: int) -> str:
    path.write_text(
        f"demand: {{source: {SHIPPED}, minutes: 3}}\npolicies: ['static:replicas={initial}']\n"
        f"replicas: {{initial: {initial}, max: 6}}\n"
    )
    return str(path)


def test_policies_are_compared_to_the_first(tmp_path: Path) -> None:
    output, figures = compare(
        tmp_path, str(SHIPPED), "--minutes", "3", *("--policy", "static:replicas=4", "--policy", "static:replicas=8")
    )
    first, second = figures["runs"]
    assert first["differs"] == second["differs"] == {}
    assert figures["common"]["demand.minutes"] == 3
    assert set(first["difference"].values()) <= {0, None}, "None: a percentile of nothing less another"
    assert second["difference"]["gpu_hours"] == pytest.approx(second["gpu_hours"] - first["gpu_hours"])
    assert second["gpu_hours"] > first["gpu_hours"]
    assert f"{100 * (second['gpu_hours'] / first['gpu_hours'] - 1):+.1f} %" in output
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_scenarios_are_compared_and_what_they_differ_by_is_said(tmp_path: Path) -> None:
    paths = [scenario(tmp_path / "small.yaml", 3), scenario(tmp_path / "large.yaml", 5)]
    output, figures = compare(tmp_path, *paths)
    assert [run["scenario"] for run in figures["runs"]] == paths
    assert [run["differs"] for run in figures["runs"]] == [{"replicas.initial": 3}, {"replicas.initial": 5}]
    assert "replicas.initial" not in figures["common"]
    assert "replicas.initial" in output


def test_each_run_s_tables_are_written_as_parquet(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    compare(
        tmp_path, scenario(tmp_path / "s.yaml", 3), "--policy", "static", "--policy", "hpa", "--parquet", str(tables)
    )
    assert sorted(path.name for path in tables.iterdir()) == [
        "01-static-intervals.parquet",
        "01-static-requests.parquet",
        "02-hpa-intervals.parquet",
        "02-hpa-requests.parquet",
    ]


def test_one_run_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"was given one run, static on .*, must be at least 2; add --policy NAME"):
        compare(tmp_path, str(SHIPPED), "--policy", "static")
    assert not list(tmp_path.iterdir())
