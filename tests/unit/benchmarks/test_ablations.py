"""benchmarks/ablations.py: what is switched off is off, and only then; what it costs is told at equal attainment."""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.predictive import decide, need, sizing, state, within_slo
from policies.predictive.load_traits import TRAITS
from policies.predictive.miss_model import MissModel
from policies.predictive.observed_load import ObservedLoad, observe, traits_at
from policies.predictive.settled import Settled
from policies.predictive.spec import PredictiveSpec
from policies.predictive.work_factor import WorkFactor
from simulations.counts.frontier import Point

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from ablation.ingredients import INGREDIENTS, Ingredient
from ablations import WHOLE, Outcome, compare, main

BY_NAME = {each.name: each for each in INGREDIENTS}
OWNERS = (decide, need, sizing, state, within_slo, MissModel, Settled, WorkFactor)


def in_force() -> list[dict[str, Any]]:
    return [dict(vars(owner)) for owner in OWNERS]


@pytest.mark.parametrize("ingredient", INGREDIENTS, ids=lambda each: each.name)
def test_an_ingredient_is_off_within_its_context_and_back_after_it(ingredient: Ingredient) -> None:
    before = in_force()
    with ingredient.off():
        is_other = in_force() != before
    assert in_force() == before
    assert is_other or ingredient.parameters
    assert set(ingredient.parameters) <= {each.name for each in fields(PredictiveSpec)}


def test_names_are_told_apart() -> None:
    assert len(BY_NAME) == len(INGREDIENTS)


def test_traits_that_are_off_are_zero_where_decisions_and_the_search_take_them_from() -> None:
    load = ObservedLoad()
    for second in range(0, 3_600, 15):
        load = observe(load, second * 10**9, 3.0 + second % 60)
    row = TRAITS.index("rise")
    loads = np.linspace(1.0, 30.0, 60)
    assert traits_at(load, 300.0)[row] > 0  # type: ignore[index]
    with BY_NAME["the rise"].off():
        now, recorded = need.traits_at(load, 300.0), sizing.all_traits(loads, 300.0)
    assert now is not None
    assert now[row] == 0
    assert now[TRAITS.index("peak_300s")] > 0
    assert (recorded[row] == 0).all()


def test_a_part_is_compared_where_the_whole_rule_delivers_as_much() -> None:
    whole = [Point(100.0, 0.90), Point(200.0, 0.95), Point(400.0, 0.99)]
    outcome = Outcome(without="it", asked=0.95, attainment=0.925, gpu_hours=180.0)
    assert compare(outcome, whole).relative == pytest.approx(180.0 / 150.0 - 1.0)


@pytest.mark.parametrize("attainment", [0.89, 0.995])
def test_where_the_whole_rule_delivers_no_such_attainment_nothing_is_compared(attainment: float) -> None:
    whole = [Point(100.0, 0.90), Point(400.0, 0.99)]
    outcome = Outcome(without="it", asked=0.95, attainment=attainment, gpu_hours=180.0)
    assert compare(outcome, whole).relative is None


def test_a_demand_is_run_without_each_ingredient(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    demand = "flash-crowd:rate=10,peak_rate=60,at_minutes=40,hold_seconds=600,minutes=60"
    figures = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["ablations.py", demand, "--levels", "0.9", "--json", str(figures)])
    assert main() == 0
    (document,) = json.loads(figures.read_text())
    came = {(each["without"], each["asked"]): (each["attainment"], each["gpu_hours"]) for each in document["runs"]}
    assert set(came) == {(WHOLE.name, 0.9), (WHOLE.name, 0.95), *((name, 0.95) for name in BY_NAME)}
    whole = came[WHOLE.name, 0.95]
    assert came["the scale-down window", 0.95] != whole
    assert came["what came yesterday", 0.95] == whole  # of an hour there is no yesterday
    printed = capsys.readouterr().out
    assert all(name in printed for name in BY_NAME)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.csv"], "demand: nowhere.csv does not exist"),
        (["--slo", "2"], "--slo: was 2, must be 2 numbers in [0.001, 3600]"),
        (["--asked", "1.5"], "--asked: was 1.5, must be numbers in [0.5, 0.9999]"),
        (["--lead-time", "-5"], "--lead-time: was -5, must be in [1, 7200]"),
        (["--days", "0"], "--days: was 0, must be in [0.02, 400]"),
        (["--train-days", "-3"], "--train-days: was -3, must be in [0.02, 400]"),
        (["--jobs", "0"], "--jobs: was 0, must be in [1, 1024]"),
        (["--json", "/nowhere/figures.json"], "--json: "),
        (["--profile", "nope"], "profile: was 'nope', must be one of"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_run(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ablations.py", *arguments])
    assert main() == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(told)
    assert printed.err.count("\n") == 1
    assert printed.out == ""
