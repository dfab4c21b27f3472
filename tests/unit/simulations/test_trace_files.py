"""Reading recorded demand: every wrong line is named, or counted where that is asked for."""

import gzip
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations import trace_files
from simulations.trace import SHIPPED
from simulations.trace_files import read_recording, read_trace

SHARED = Path(os.environ.get("LEADTIME_SHARED", Path(__file__).parents[4] / "shared"))
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
PLAIN = "arrival_seconds,prompt_tokens,output_tokens\n"
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


def test_mooncake_hash_ids_are_prefixes(tmp_path: Path) -> None:
    """One id for each 512 tokens; a request without them shares nothing."""
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [4, 7]}\n'
        '{"timestamp": 1, "input_length": 9, "output_length": 5}\n'
        '{"timestamp": 2, "input_length": 500, "output_length": 5, "hash_ids": [4]}\n'
    )
    prefixes = read_trace(path).prefixes
    assert prefixes is not None
    assert (prefixes.block_tokens, prefixes.offsets.tolist(), prefixes.ids.tolist()) == (512, [0, 2, 2, 3], [4, 7, 4])


def test_optional_columns_are_read(tmp_path: Path) -> None:
    """An empty field says nothing of that request, and a column that is not there says nothing of any."""
    path = written(
        tmp_path,
        "arrival_seconds,prompt_tokens,output_tokens,lora,priority,e2e_limit_seconds\n0,9,5,2,,30\n1,9,5,,-1,\n",
    )
    trace = read_trace(path)
    assert trace.lora is not None
    assert trace.lora.tolist() == [2, -1]
    assert trace.priority is not None
    assert trace.priority.tolist() == [0, -1]
    assert trace.e2e_limit_seconds is not None
    assert (trace.e2e_limit_seconds[0], np.isnan(trace.e2e_limit_seconds[1])) == (30.0, True)
    plain = read_trace(written(tmp_path, PLAIN + "0,9,5\n"))
    assert (plain.lora, plain.priority, plain.e2e_limit_seconds, plain.prefixes) == (None, None, None, None)


def test_requests_of_one_session_share_what_came_before(tmp_path: Path) -> None:
    """48 + 16 tokens are 4 blocks, which the next request of the session repeats; others share nothing."""
    trace = read_trace(
        written(
            tmp_path,
            "arrival_seconds,prompt_tokens,output_tokens,session\n0,48,16,a\n1,40,8,\n2,80,9,a\n3,64,1,b\n",
        )
    )
    prefixes = trace.prefixes
    assert prefixes is not None
    assert prefixes.block_tokens == 16
    ids = [prefixes.ids[low:high].tolist() for low, high in pairwise(prefixes.offsets.tolist())]
    assert [len(each) for each in ids] == [4, 0, 5, 4]
    assert ids[2][:4] == ids[0]
    assert not set(ids[3]) & set(ids[2])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="azure"),
        pytest.param("x,arrival_seconds,prompt_tokens,output_tokens\nq,0.25,10,5\nz,1e2,20,0\n", id="plain"),
        pytest.param(
            "arrival_seconds,prompt_tokens,output_tokens,lora,priority,e2e_limit_seconds\n0,9,5,2,3,30\n1,9,5,-1,-1,2\n",
            id="optional",
        ),
        pytest.param(HEADER + "2023-11-16T18:15:46,1,0\n2023-11-16 18:15:46.123456789,2,5\n", id="fractions"),
        pytest.param(HEADER + "2023-11-16 18:15:46+02:00,1,0\n2023-11-16 18:15:47+02:00,2,5\n", id="offsets"),
        pytest.param(HEADER + "\n2023-11-16 18:15:46,1,0\n\n", id="empty-lines"),
    ],
)
def test_columns_at_once_and_row_by_row_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    path = SHIPPED if text is None else written(tmp_path, text)
    at_once = read_trace(path)
    monkeypatch.setattr(trace_files, "read_columns", lambda *_: None)
    by_row = read_trace(path)
    assert at_once.start_ns == by_row.start_ns
    for column in ("arrival_seconds", "prompt_tokens", "output_tokens", "lora", "priority", "e2e_limit_seconds"):
        one, other = getattr(at_once, column), getattr(by_row, column)
        assert (one is None) == (other is None), column
        if one is not None:
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist(), column


def test_bad_rows_are_counted_by_reason_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = "0,1,1\n" + "1,x,1\n" * 5 + "2,1\n" + "3,4,5\n" + "2.5,9,9\n" + "4,6,-1\n"
    path = written(tmp_path, PLAIN + rows)
    recording = read_recording(path, skip_bad_rows=True)
    assert recording.trace.prompt_tokens.tolist() == [1, 4]
    assert str(recording.skipped) == (
        "skipped 8 of 10 rows: prompt_tokens 5 (lines 3, 4, 5, ...), number of fields 1 (line 8), "
        "time out of order 1 (line 10), output_tokens 1 (line 11)"
    )
    assert (recording.skipped.rows, recording.skipped.count) == (10, 8)
    assert str(read_recording(SHIPPED, skip_bad_rows=True).skipped) == "skipped 0 of 19,366 rows"
    jsonl = written(tmp_path, '{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp"\n')
    assert str(read_recording(jsonl, skip_bad_rows=True).skipped) == "skipped 1 of 2 rows: not JSON 1 (line 2)"


def test_a_wrong_header_and_a_file_of_bad_rows_are_errors_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="column output_tokens is missing"):
        read_recording(written(tmp_path, "arrival_seconds,prompt_tokens\n0,1\n"), skip_bad_rows=True)
    with pytest.raises(BadInput, match=r"has no requests, must have at least 1 \(skipped 1 of 1 rows"):
        read_recording(written(tmp_path, PLAIN + "x,1,1\n"), skip_bad_rows=True)


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
        pytest.param(PLAIN + "0,1,99999999\n", r"output_tokens was '99999999', .* \[0, 10000000\]", id="too-long"),
        pytest.param(PLAIN.replace("out", "prompt_tokens,out"), "column prompt_tokens is there twice", id="twice"),
        pytest.param(PLAIN.strip() + ",lora\n0,1,1,-2\n", "lora was '-2'", id="no-adapter"),
        pytest.param(PLAIN.strip() + ",priority\n0,1,1,high\n", "priority was 'high'", id="no-priority"),
        pytest.param(PLAIN.strip() + ",e2e_limit_seconds\n0,1,1,0\n", "e2e_limit_seconds was '0'", id="no-limit"),
        pytest.param(
            '{"timestamp": 1, "input_length": 5, "output_length": 1, "hash_ids": [1, -1]}\n',
            r"hash_ids was \[1, -1\], must be a list of whole numbers",
            id="json-hash-ids",
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
