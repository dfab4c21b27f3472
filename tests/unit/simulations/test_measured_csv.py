"""Measured runs from CSV: what is read from columns and notes, and what is refused."""

import os
from pathlib import Path

import pytest

from policies.errors import BadInput
from simulations.calibration.measured_csv import read_measured_runs

ROOT = Path(__file__).parents[3]
SHIPPED_RUNS = ROOT / "simulations" / "data" / "measured_vllm.csv"
SHARED = Path(os.environ.get("LEADTIME_SHARED", ROOT.parent / "shared"))


def write(folder: Path, *lines: str) -> Path:
    path = folder / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_shipped_runs_are_read_whole() -> None:
    """19 rows; the first is Llama-3.1-8B on one H100 at 8 requests/s, its E2E and budget in the notes."""
    runs = read_measured_runs(SHIPPED_RUNS)
    assert len(runs) == 19
    first = runs[0]
    assert (first.line, first.experiment, first.tensor_parallel_size, first.requests_per_second) == (2, "16", 1, 8.0)
    assert (first.itl_seconds, first.e2e_seconds, first.ttft_seconds) == pytest.approx((7.90e-3, 1.893, 25.2e-3))
    assert first.max_num_batched_tokens == 2_048
    assert {run.experiment for run in runs} == {"16", "19", "22", "26", "46", "55", "36", "58", "6", "61", "64"}
    assert [run.line for run in runs if run.requests_per_second is None] == [9]


def test_prompts_of_a_shared_prefix_data_set_are_in_the_cache() -> None:
    """All but the rest of the last block: 7.5 tokens on average, and never the last token."""
    first = read_measured_runs(SHIPPED_RUNS)[0]
    assert first.cached_tokens == first.input_tokens == 547
    assert first.reused_tokens == 547 - 1 - 7.5


@pytest.mark.shared
def test_the_shipped_runs_are_the_shared_ones() -> None:
    path = SHARED / "validation" / "measured_vllm.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent; set LEADTIME_SHARED to the folder that holds validation/measured_vllm.csv")
    assert read_measured_runs(path) == read_measured_runs(SHIPPED_RUNS)


def test_columns_of_their_own_go_before_the_notes(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "model,gpu,tp,input_tokens,output_tokens,throughput_tok_s,e2e_ms,cached_tokens,experiment,notes",
        'qwen2.5-7b,L4,1,500,100,250,7000,0,monday,"exp 3; e2e_mean 1 ms; shared-prefix"',
    )
    (run,) = read_measured_runs(path)
    assert run.experiment == "monday"
    assert run.e2e_seconds == 7.0
    assert run.cached_tokens == 0
    assert run.requests_per_second == 2.5
    assert run.itl_seconds is None


HEADER = "model,gpu,tp,input_tokens,output_tokens,qps,cached_tokens"


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        pytest.param([HEADER], "has no rows", id="empty"),
        pytest.param(["model,gpu,tp,input_tokens", "a,b,1,1"], ":1: lacks the column 'output_tokens'", id="no-column"),
        pytest.param(
            [HEADER + ",tptot_ms"], ":1: unknown column 'tptot_ms'; the nearest known one is 'tpot_ms'", id="typo"
        ),
        pytest.param([HEADER, "a,b,1,x,5,1,"], ":2: input_tokens: was 'x', must be a number above 0", id="text"),
        pytest.param([HEADER, "a,b,1,5,5,-1,"], ":2: qps: was '-1', must be a number above 0", id="negative"),
        pytest.param([HEADER, "a,b,1,5,5,nan,"], ":2: qps: was 'nan'", id="nan"),
        pytest.param([HEADER, "a,b,1,5,5,1,", "a,b,,5,5,1,"], ":3: tp: is empty", id="second-row"),
        pytest.param([HEADER, ",b,1,5,5,1,"], ":2: model: is empty, must be a name", id="no-model"),
        pytest.param([HEADER, "a,b,1,5"], ":2: has fewer fields than the header", id="short-row"),
        pytest.param([HEADER, "a,b,1,5,5,1,2,3"], ":2: has more fields than the header; quote commas", id="long-row"),
        pytest.param([HEADER, "a,b,1,5,5,1,6"], r":2: cached_tokens: was 6, must be in \[0, 5\]", id="more-than-all"),
    ],
)
def test_a_bad_file_is_refused_with_line_column_and_value(tmp_path: Path, lines: list[str], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        read_measured_runs(write(tmp_path, *lines))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read as text"):
        read_measured_runs(tmp_path / "absent.csv")
