"""`leadtime fit` and `leadtime validate` as a planner runs them: tables, files, and what they refuse."""

import json
from pathlib import Path

import pytest
from headless_chromium import dom_of, needs_chromium
from typer.testing import CliRunner

from leadtime.__main__ import app
from policies.errors import BadInput
from simulations.calibration.measured_csv import read_measured_runs
from simulations.calibration.profile_file import read_profile
from simulations.calibration.validation import judge, listed_profile
from simulations.calibration.validation_report import validation_html

RUNS = Path(__file__).parents[2] / "simulations" / "data" / "measured_vllm.csv"


def leadtime(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "140"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def few_runs(tmp_path: Path) -> Path:
    """Two experiments of one pair: quick to fit."""
    lines = RUNS.read_text().splitlines()
    path = tmp_path / "few.csv"
    path.write_text("\n".join([lines[0], *lines[1:4]]) + "\n")
    return path


def test_validate_shows_every_row_and_the_medians(tmp_path: Path) -> None:
    output = leadtime("validate", str(RUNS), "--json", str(tmp_path / "v.json"), "--report", str(tmp_path / "v.html"))
    assert output.count("→") == 3 * 18
    assert "median error: ITL" in output
    assert "18 of 19 rows judged" in output
    figures = json.loads((tmp_path / "v.json").read_text())
    assert len(figures["rows"]) == 19
    assert figures["rows"][7]["not_judged"].startswith("no rate")
    assert figures["rows"][0]["errors"]["itl"] == pytest.approx(
        figures["rows"][0]["simulated"]["itl_seconds"] / figures["rows"][0]["measured"]["itl_seconds"] - 1
    )
    page = (tmp_path / "v.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "not judged: no rate" in page


def test_a_fitted_profile_is_written_and_validates(few_runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    output = leadtime("fit", str(few_runs), "--out", str(path))
    assert "llama-3.1-8b-h100" in output
    profile = read_profile(path)
    assert (profile.name, profile.tensor_parallel_size) == ("llama-3.1-8b-h100", 1)
    assert profile.source.startswith("leadtime fit few.csv: 3 runs of 2 experiments")
    assert "over 3 measured runs, leave-one-experiment-out" in profile.validation
    assert "3 of 3 rows judged" in leadtime("validate", str(few_runs), "--profile", str(path))


def test_leave_one_experiment_out_judges_each_row_by_the_others(few_runs: Path, tmp_path: Path) -> None:
    output = leadtime("validate", str(few_runs), "--leave-one-experiment-out", "--json", str(tmp_path / "v.json"))
    assert "3 of 3 rows judged" in output
    assert {row["experiment"] for row in json.loads((tmp_path / "v.json").read_text())["rows"]} == {"16", "19"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["fit", "absent.csv"], "absent.csv: cannot be read", id="missing-file"),
        pytest.param(["fit", str(RUNS), "--only", "gemma"], "--only: was 'gemma', must be one of", id="unknown-name"),
        pytest.param(["fit", str(RUNS), "--out", "p.yaml"], "p.yaml is one file for 7 profiles", id="one-file-for-all"),
        pytest.param(["validate", str(RUNS), "--profile", "nemo"], "profile: was 'nemo'", id="unknown-profile"),
        pytest.param(
            ["validate", str(RUNS), "--profile", "llama-3.1-8b-l4", "--leave-one-experiment-out"],
            "--profile: cannot be given with",
            id="two-ways-at-once",
        ),
        pytest.param(
            ["validate", str(RUNS), "--json", "/absent/v.json"], "--json: /absent/v.json cannot", id="unwritable"
        ),
    ],
)
def test_bad_input_is_refused(arguments: list[str], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@needs_chromium
def test_the_page_draws_its_plots_and_asks_the_network_for_nothing(tmp_path: Path) -> None:
    page = tmp_path / "v.html"
    page.write_text(validation_html(list(judge(read_measured_runs(RUNS), listed_profile)), "Built-in profiles."))
    dom = dom_of(page)
    assert 'data-plots="3"' in dom
    assert 'data-requests="0"' in dom
