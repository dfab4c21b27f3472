"""Reading recorded demand: every wrong line is named, nothing is skipped."""

import gzip
import os
from pathlib import Path

import pytest

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

SHARED = Path(os.environ.get("LEADTIME_SHARED", Path(__file__).parents[4] / "shared"))
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROW = "2023-11-16 18:15:46.6805900,374,44\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_hour_has_19366_requests() -> None:
    trace = read_trace(SHIPPED)
    assert len(trace) == 19_366
    assert trace.start_ns == 1_700_158_546 * NS_PER_SECOND
    assert trace.arrival_seconds[0] == pytest.approx(0.68059)
    assert (trace.prompt_tokens.sum(), trace.output_tokens.sum()) == (22_361_870, 4_088_665)


def test_ties_offsets_and_missing_fractions_are_fine(tmp_path: Path) -> None:
    trace = read_trace(
        written(tmp_path, HEADER + "2023-11-16 18:15:46,1,0\n2023-11-16 18:15:46,2,5\n2023-11-16 20:15:47+02:00,3,6\n")
    )
    assert trace.arrival_seconds.tolist() == [0.0, 0.0, 1.0]
    assert trace.output_tokens.tolist() == [1, 5, 6], "a request that wrote nothing still costs the token that ends it"


def test_columns_may_come_in_any_order_and_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(b"GeneratedTokens,TIMESTAMP,ContextTokens\n7,2023-11-16 18:15:46.5,9\n"))
    trace = read_trace(path)
    assert (trace.prompt_tokens[0], trace.output_tokens[0]) == (9, 7)


def test_plain_csv_is_read_whatever_else_it_holds(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "user,arrival_seconds,prompt_tokens,output_tokens\na,0.25,10,5\nb,1e2,20,0\n"))
    assert trace.arrival_seconds.tolist() == [0.25, 100.0]
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([10, 20], [5, 1])


def test_mooncake_jsonl_is_read(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"timestamp": 0, "input_length": 6955, "output_length": 52, "hash_ids": [1, 2]}\n'
        '{"timestamp": 3052, "input_length": 10, "output_length": 1, "hash_ids": []}\n'
    )
    trace = read_trace(path)
    assert trace.arrival_seconds.tolist() == [0.0, 3.052]
    assert trace.prompt_tokens.tolist() == [6955, 10]


@pytest.mark.shared
def test_the_mooncake_recording_has_12031_requests() -> None:
    path = SHARED / "traces" / "mooncake" / "conversation.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent; set LEADTIME_SHARED to the folder that holds traces/mooncake")
    assert len(read_trace(path)) == 12_031


def test_first_keeps_what_arrived_in_time() -> None:
    trace = read_trace(SHIPPED).first(60)
    assert 0 < len(trace) < 300
    assert trace.duration_seconds <= 60


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("", "was empty", id="empty-file"),
        pytest.param(HEADER, "has no requests", id="no-rows"),
        pytest.param("time,ContextTokens,GeneratedTokens\n", ":1: column TIMESTAMP is missing", id="wrong-column"),
        pytest.param(HEADER + "2023-11-16 18:15:46,abc,44\n", ":2: ContextTokens was 'abc'", id="text-in-a-number"),
        pytest.param(HEADER + "2023-11-16 18:15:46,3.5,44\n", ":2: ContextTokens was '3.5'", id="fraction"),
        pytest.param(HEADER + "2023-11-16 18:15:46,0,44\n", ":2: ContextTokens was '0'", id="empty-prompt"),
        pytest.param(HEADER + "2023-11-16 18:15:46,5,-1\n", ":2: GeneratedTokens was '-1'", id="negative"),
        pytest.param(HEADER + "yesterday,5,1\n", ":2: TIMESTAMP was 'yesterday'", id="no-time"),
        pytest.param(HEADER + "2023-11-16 18:15:46.,5,1\n", ":2: TIMESTAMP was", id="dangling-dot"),
        pytest.param(HEADER + ROW + "2023-11-16 18:15:45,5,1\n", ":3: the time was .* earlier", id="backwards"),
        pytest.param("arrival_seconds,prompt_tokens\n", ":1: column output_tokens is missing", id="plain-column"),
        pytest.param("arrival_seconds,prompt_tokens,output_tokens\nnan,1,1\n", "seconds was 'nan'", id="nan"),
        pytest.param(
            "arrival_seconds,prompt_tokens,output_tokens\n-1,1,1\n", "seconds was '-1'", id="before-the-start"
        ),
        pytest.param('{"timestamp": 0, "input_length": 5}\n', ":1: output_length is missing", id="json-field"),
        pytest.param(
            '{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp"\n', ":2: is not JSON", id="cut-json"
        ),
        pytest.param(
            '{"timestamp": true, "input_length": 5, "output_length": 1}\n', "timestamp was True", id="json-no-number"
        ),
        pytest.param(
            '{"timestamp": 1, "input_length": 5.5, "output_length": 1}\n', "input_length was 5.5", id="json-fraction"
        ),
        pytest.param(HEADER + ROW + "2023-11-16 18:15:47,5\n", ":3: has 2 fields, must have 3", id="short-line"),
    ],
)
def test_a_wrong_trace_is_named_with_its_line(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        read_trace(written(tmp_path, text))


def test_a_missing_or_truncated_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_trace(tmp_path / "nowhere.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(BadInput, match="cannot be read"):
        read_trace(cut)
