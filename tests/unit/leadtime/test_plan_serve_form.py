"""The planner page's form: what was typed as a question, and each fault beside its field in the command's words."""

import inspect
import shlex
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from leadtime.plan.command import plan_command
from leadtime.plan.options import request_of
from leadtime.plan.serve_form import FIELDS, FieldFault, check, command_of, defaults_of, request_from, values_of
from policies.errors import BadInput

DEMAND = "poisson:rate=1,minutes=5"
ASKED = {**defaults_of(demand=DEMAND, model="llama-3.1-8b", gpus="l4"), "start": "2026-11-22"}


def test_an_untouched_form_asks_what_the_command_asks_by_default() -> None:
    expected = request_of(demand=DEMAND, model="llama-3.1-8b", gpus="l4", start=date(2026, 11, 22))
    assert request_from(ASKED, DEMAND) == expected


def test_every_option_of_a_question_has_a_field() -> None:
    """So that none can be forgotten: of the command's options only where and how to work are no fields."""
    options = set(inspect.signature(plan_command).parameters)
    names = {"profile": "profiles", "machine": "machines"}
    not_asked = {"demand", "out", "jobs", "serve", "port"}
    assert {names.get(name, name) for name in options - not_asked} == {field.name for field in FIELDS}


def test_what_is_given_on_the_command_line_is_in_the_form() -> None:
    given = defaults_of(demand="week.csv", growth=1.3, max_replicas=None, prices=Path("own.yaml"), spot="0.05")
    assert (given["source"], given["path"]) == ("path", "week.csv")
    assert (given["growth"], given["max_replicas"], given["prices"], given["spot"]) == ("1.3", "", "own.yaml", "0.05")
    assert defaults_of(demand=DEMAND)["source"] == "generator"


@pytest.mark.parametrize(
    ("typed", "field", "text"),
    [
        pytest.param({"slo": "2"}, "slo", "--slo: was '2', must be 2 numbers", id="one-number-is-no-slo"),
        pytest.param({"attainment": "99"}, "attainment", "--attainment: was 99, must be in", id="percent"),
        pytest.param({"attainment": ""}, "attainment", "--attainment: was '', must be a number", id="emptied"),
        pytest.param({"months": "1.5"}, "months", "--months: was '1.5', must be a number", id="half-a-month"),
        pytest.param({"growth": "nan"}, "growth", "--growth: was nan, must be in", id="not-a-number"),
        pytest.param({"gpus": "l5"}, "gpus", "--gpus: was 'l5', must be of", id="unknown-gpu"),
        pytest.param({"gpus": "t4"}, "gpus", "plan: no candidate can be planned with", id="too-large"),
        pytest.param({"gpus": ""}, "model", "--model and --gpus: were not given", id="no-candidate"),
        pytest.param({"model": "gpt-0"}, "model", "--model: was 'gpt-0'", id="unknown-model"),
        pytest.param({"quota": "l4"}, "quota", "--quota: was 'l4', must be GPU=VALUE", id="quota-of-nothing"),
        pytest.param({"machines": "l4=x1"}, "gpus", "l4: machine: ", id="unknown-machine"),
        pytest.param({"profiles": "no.yaml"}, "profiles", "no.yaml cannot be read", id="no-such-file"),
        pytest.param({"profiles": "nothing"}, "profiles", "profile: was 'nothing'", id="no-such-profile"),
        pytest.param({"prices": "no.yaml"}, "prices", "no.yaml cannot be read", id="no-such-prices"),
        pytest.param({"region": "mars"}, "gpus", "has a price in mars", id="no-price-there"),
        pytest.param({"days": "0"}, "days", "--days: was 0, must be in", id="no-days"),
        pytest.param({"max_replicas": "0"}, "max_replicas", "--max-replicas: was 0, must be in", id="no-pods"),
        pytest.param({"spot": "a"}, "spot", "--spot: was 'a'", id="spot-in-words"),
        pytest.param({"lead_time": "gke-l4"}, "lead_time", "did you mean gke-l4-recorded?", id="preset-cut-short"),
        pytest.param({"start": "tomorrow"}, "start", "--start: was 'tomorrow'", id="day-in-words"),
        pytest.param({"target": "vllm"}, "target", "--target: was 'vllm'", id="workload-without-kind"),
        pytest.param({"policies": "magic"}, "policies", "policy: was 'magic'", id="unknown-policy"),
    ],
)
def test_a_fault_is_told_at_its_field(typed: dict[str, str], field: str, text: str) -> None:
    with pytest.raises(FieldFault) as raised:
        check({**ASKED, **typed}, DEMAND)
    assert text in raised.value.text
    assert raised.value.field == field


@pytest.mark.parametrize("source", ["path", "generator", "upload"])
def test_a_fault_of_the_demand_is_told_at_the_source_that_was_chosen(source: str) -> None:
    for demand in ("", "missing.csv", "poisson:rate=1,minutes=0.5"):
        with pytest.raises(FieldFault) as raised:
            check({**ASKED, "source": source}, demand)
        assert raised.value.field == source, raised.value.text


def test_the_words_are_those_of_the_command() -> None:
    line = ["plan", "--demand", DEMAND, "--model", "llama-3.1-8b", "--gpus", "l4", "--slo", "2,x"]
    done = CliRunner().invoke(app, line)
    with pytest.raises(FieldFault) as raised:
        check({**ASKED, "slo": "2,x"}, DEMAND)
    assert isinstance(done.exception, BadInput)
    assert raised.value.text == str(done.exception)


def test_a_run_is_told_as_the_command_that_asks_the_same() -> None:
    values = {**ASKED, "growth": "1.3", "profiles": "a.yaml, b c.yaml", "start": ""}
    line = command_of(values, "my week.csv")
    assert shlex.split(line) == [
        *("leadtime", "plan", "--demand", "my week.csv", "--model", "llama-3.1-8b", "--gpus", "l4", "--growth", "1.3"),
        *("--profile", "a.yaml", "--profile", "b c.yaml"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param([], id="a-list"),
        pytest.param({"else": "1"}, id="unknown-field"),
        pytest.param({**ASKED, "slo": 2}, id="a-number"),
        pytest.param({**ASKED, "slo": "1" * 3_000}, id="far-too-long"),
        pytest.param({**ASKED, "source": "network"}, id="unknown-source"),
    ],
)
def test_what_no_page_sends_is_refused(document: object) -> None:
    with pytest.raises(FieldFault):
        values_of(document)
