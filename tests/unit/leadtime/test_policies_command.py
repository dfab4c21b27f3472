"""`leadtime policies`: the list, one policy in detail, and the same for programs."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from leadtime import policies as command
from policies.entry import parameters
from policies.errors import BadInput
from policies.registry import ENTRIES

app = typer.Typer()
app.command("policies")(command.policies)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_the_list_has_every_policy_with_its_knob() -> None:
    result = run()
    assert result.exit_code == 0
    for entry in ENTRIES.values():
        assert entry.name in result.output
        assert entry.knob in result.output


@pytest.mark.parametrize("name", ENTRIES)
def test_one_policy_in_detail_has_every_parameter_and_the_source(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0
    assert f"source: {ENTRIES[name].source}" in result.output
    assert f"knob: {ENTRIES[name].knob}" in result.output
    for each in parameters(ENTRIES[name]):
        assert each.name in result.output


def test_a_required_parameter_is_marked() -> None:
    assert "(required)" in run("leadtime").output
    assert "(required)" not in run("static").output


def test_json_has_the_same_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "policies.json"
    assert run("--json", str(path)).exit_code == 0
    listed = json.loads(path.read_text())["policies"]
    assert [each["name"] for each in listed] == list(ENTRIES)
    attainment = next(each for each in listed[0]["parameters"] if each["name"] == "attainment")
    assert attainment["default"] == 0.95
    assert attainment["required"] is False
    profile = next(each for each in listed[0]["parameters"] if each["name"] == "profile")
    assert profile["default"] is None
    assert profile["required"] is True
    assert run("static", "--json", str(path)).exit_code == 0
    assert [each["name"] for each in json.loads(path.read_text())["policies"]] == ["static"]


def test_an_unknown_name_and_a_folder_that_is_not_there_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean static"):
        command.policies(name="statik")
    with pytest.raises(BadInput, match="cannot be written"):
        command.policies(json_path=tmp_path / "none" / "x.json")
