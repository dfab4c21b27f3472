"""The command `conformance hpa`: what it prints, what it writes, and its exit status."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leadtime.conformance import app

SAMPLE = Path(__file__).parents[2] / "conformance" / "hpa_sample.jsonl.gz"
RULES = {
    "id": "v-1",
    "kind": "convertDesiredReplicasWithRules",
    "input": {"currentReplicas": 3, "desiredReplicas": 9, "minReplicas": 1, "maxReplicas": 20},
    "want": {"replicas": 6, "reason": "ScaleUpLimit", "message": "for reading", "error": None},
}


def conformance(*arguments):
    return CliRunner().invoke(app, ["hpa", *map(str, arguments)])


def write(path, *vectors):
    path.write_text("".join(json.dumps(vector) + "\n" for vector in vectors))
    return path


def wrong(index):
    return {**RULES, "id": f"wrong-{index}", "want": {**RULES["want"], "replicas": 7, "reason": "TooManyReplicas"}}


def test_the_sample_matches(tmp_path):
    figures = tmp_path / "figures.json"
    result = conformance(SAMPLE, "--json", figures)
    assert result.exit_code == 0, result.output
    written = json.loads(figures.read_text())
    assert (written["vectors"], written["matched"], written["mismatched"]) == (304, 304, 0)
    assert written["by_kind"]["sequence"] == {"vectors": 12, "matched": 12, "mismatched": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_a_mismatch_prints_a_diff_and_exits_1(tmp_path):
    result = conformance(write(tmp_path / "v.jsonl", RULES, wrong(1)), "--json", tmp_path / "figures.json")
    assert result.exit_code == 1
    assert result.stdout.endswith(
        "wrong-1  convertDesiredReplicasWithRules\n"
        "  - replicas: 7\n"
        "  + replicas: 6\n"
        '  - reason: "TooManyReplicas"\n'
        '  + reason: "ScaleUpLimit"\n'
    )
    assert json.loads((tmp_path / "figures.json").read_text())["mismatched"] == 1


def test_show_limits_the_diffs_not_the_count(tmp_path):
    result = conformance(write(tmp_path / "v.jsonl", *map(wrong, range(5))), "--show", 2)
    assert result.exit_code == 1
    assert "wrong-1" in result.stdout
    assert "wrong-2" not in result.stdout
    assert "3 more mismatched vectors" in result.stdout


def test_blank_lines_do_not_matter(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text("\n" + json.dumps(RULES) + "\n\n")
    assert conformance(path).exit_code == 0


def missing(path):
    assert not path.exists()


def truncated(path):
    path.write_bytes(SAMPLE.read_bytes()[:20_000])


def corrupt(path):
    content = bytearray(SAMPLE.read_bytes())
    content[5_000:5_100] = bytes(100)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(missing, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a-folder"),
        pytest.param(truncated, "is damaged or cut short", id="truncated-gzip"),
        pytest.param(corrupt, "is damaged or cut short", id="corrupt-gzip"),
        pytest.param(lambda path: path.write_text(""), "was empty, must hold at least one vector", id="empty"),
        pytest.param(lambda path: path.write_bytes(gzip.compress(b"")), "was empty", id="empty-gzip"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe{"), "is not UTF-8 text", id="not-text"),
        pytest.param(lambda path: path.write_text(json.dumps(RULES) + "\n{oops\n"), ":2: is not JSON", id="not-json"),
        pytest.param(lambda path: path.write_text("[1]\n"), ":1: was a JSON list, must be an object", id="not-object"),
        pytest.param(
            lambda path: write(path, RULES, {**RULES, "id": "v-2", "kind": "Guess"}),
            ":2: v-2: kind: was 'Guess', must be one of",
            id="unknown-kind",
        ),
        pytest.param(
            lambda path: write(path, {**RULES, "input": {}}),
            ":1: v-1: convertDesiredReplicasWithRules: a field of this kind is missing or malformed",
            id="field-missing",
        ),
        pytest.param(
            lambda path: write(path, {**RULES, "input": {**RULES["input"], "currentReplicas": 10**400}}),
            ":1: v-1: convertDesiredReplicasWithRules: a field of this kind is missing or malformed",
            id="number-beyond-any-machine",
        ),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_2(tmp_path, make, says):
    path = tmp_path / "vectors.jsonl.gz"
    make(path)
    result = conformance(path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert says in result.stderr
    assert str(path) in result.stderr


def test_figures_that_cannot_be_written_are_bad_input(tmp_path):
    result = conformance(write(tmp_path / "v.jsonl", RULES), "--json", tmp_path / "absent" / "figures.json")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "--json" in result.stderr
