"""`leadtime backtest`, as people run it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from leadtime.backtest import backtest_command
from policies.errors import BadInput

app = typer.Typer()
app.command()(backtest_command)
DEMAND = "poisson:rate=5,minutes=60"


def _run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def test_a_generator_is_judged(tmp_path):
    """Table, report and JSON hold the same models."""
    report, figures = tmp_path / "page.html", tmp_path / "figures.json"
    result = _run(DEMAND, "--no-statsforecast", "--horizon-seconds", 120, "--report", report, "--json", figures)
    assert result.exit_code == 0
    assert "seasonal naive: not applicable" in result.stdout
    document = json.loads(figures.read_text())["demands"][0]
    assert document["history_minutes"] == 30
    assert {row["model"] for row in document["scores"]} == {"leadtime", "persistence"}
    assert all(0 <= row["coverage_95"] <= 1 and row["mean_pinball"] > 0 for row in document["scores"])
    assert f"report: {report}" in result.stdout
    assert "forecast 120 s ahead" in report.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "PATH and --prometheus: one of the two", id="nothing-to-judge"),
        pytest.param([DEMAND, "--prometheus", "http://x"], "one of the two must be given", id="both"),
        pytest.param([DEMAND, "--horizon-seconds", 90], "--horizon-seconds: was 90, must be a multiple", id="horizon"),
        pytest.param([DEMAND, "--train-days", -1], "--train-days: was -1", id="train-days"),
        pytest.param([DEMAND, "--train-days", 3, "--no-statsforecast"], "train: was 4320 minutes", id="too-long"),
        pytest.param(["poisson:rate=5,minutes=9", "--no-statsforecast"], "lasts 9 whole minutes", id="too-short"),
        pytest.param(["nothing.csv", "--no-statsforecast"], "nothing.csv does not exist", id="no-file"),
        pytest.param([DEMAND, "--report", "/nowhere/x.html", "--no-statsforecast"], "--report: /nowhere", id="report"),
    ],
)
def test_bad_input_is_named(arguments, message, tmp_path, monkeypatch):
    """One message with field, value and range."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        _run(*arguments)
