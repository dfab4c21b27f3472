"""Demand as people type it: every kind by its defaults, what is meant by a path, and what is wrong with a text."""

import gzip
import json
import re
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.demand.kinds import DEMAND_KINDS
from simulations.demand.rows import Skipped
from simulations.demand.text import demand_from
from simulations.trace import SHIPPED, Demand, Trace

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "demand.md"
PLAIN = "arrival_seconds,prompt_tokens,output_tokens\n0,10,5\n1,20,6\n2.5,30,7\n"


def everything(demand: Demand) -> Trace:
    """Columns that all pieces have, in one trace."""
    pieces = list(demand.pieces())
    joined = [
        np.concatenate([getattr(piece, column) for piece in pieces])
        for column in ("arrival_seconds", "prompt_tokens", "output_tokens")
    ]
    return Trace(demand.name, demand.start_ns, *joined)


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("poisson:rate=20", [20.0] * 6),
        ("gamma:rate=20,cv=1.5", [20.0] * 6),
        ("gamma:rate=20,cv=0", [20.0] * 6),
        ("ramp:rate=0,to_rate=60", [5, 15, 25, 35, 45, 55]),
        ("step:rate=5,to_rate=50,at_minutes=30", [5, 5, 5, 50, 50, 50]),
        ("flash-crowd:rate=5,peak_rate=60,at_minutes=10,rise_seconds=0,hold_seconds=600", [5, 60, 32.5, 5, 5, 5]),
        ("flash-crowd:rate=5,peak_rate=65,at_minutes=50,rise_seconds=1200", [5, 5, 5, 5, 5, 20]),
        ("poisson:rate=20 + poisson:rate=10", [30.0] * 6),
    ],
)
def test_a_generator_has_its_rate_in_each_ten_minutes(text: str, per_second: list[float]) -> None:
    demand = demand_from(text)
    trace = everything(demand)
    seen = np.histogram(trace.arrival_seconds, 6, (0, 3_600))[0] / 600.0
    assert seen == pytest.approx(per_second, rel=0.08)
    assert len(trace) == pytest.approx(demand.expected_requests, rel=0.05)
    assert set(trace.prompt_tokens.tolist()) == {512}


def test_even_gaps_are_even() -> None:
    gaps = np.diff(everything(demand_from("gamma:rate=4,cv=0")).arrival_seconds)
    assert np.allclose(gaps, 0.25)


def test_days_and_weekends_rise_and_fall() -> None:
    demand = demand_from("diurnal:rate=5,amplitude=0.8,peak_hour=15,weekend_factor=0.5,minutes=10080")
    hours = np.histogram(everything(demand).arrival_seconds, 168, (0, 604_800))[0].reshape(7, 24) / 3_600
    assert hours[1].argmax() in {14, 15}
    assert hours[1].argmin() in {2, 3}
    assert hours[1].mean() == pytest.approx(5.0, rel=0.02)
    assert hours[1].max() == pytest.approx(9.0, rel=0.05)
    assert hours[5:, 4:20].sum() == pytest.approx(0.5 * hours[1:3, 4:20].sum(), rel=0.03)


def test_equal_texts_give_equal_requests_and_parts_differ() -> None:
    one, other, third = (
        everything(demand_from("poisson:rate=3,prompt_cv=1,output_cv=1", seed=seed)) for seed in (5, 5, 6)
    )
    assert np.array_equal(one.arrival_seconds, other.arrival_seconds)
    assert np.array_equal(one.prompt_tokens, other.prompt_tokens)
    assert not np.array_equal(one.arrival_seconds[:99], third.arrival_seconds[:99])
    both = everything(demand_from("poisson:rate=3 + poisson:rate=3")).arrival_seconds
    assert len(np.unique(both)) == len(both), "two equal parts are two streams"


def test_lengths_can_come_from_a_recording(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text(PLAIN)
    trace = everything(demand_from(f"poisson:rate=5,lengths_from={tmp_path / 'plain.csv'}"))
    pairs = set(zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True))
    assert pairs == {(10, 5), (20, 6), (30, 7)}


def test_a_share_can_be_without_streaming() -> None:
    piece = next(demand_from("poisson:rate=50,streaming_share=0.9,e2e_limit_seconds=30").pieces())
    assert piece.e2e_limit_seconds is not None
    assert np.isnan(piece.e2e_limit_seconds).mean() == pytest.approx(0.9, abs=0.01)


def test_a_file_is_read_and_its_bad_rows_are_told(tmp_path: Path) -> None:
    path = tmp_path / "plain + odd.csv"
    path.write_text(PLAIN + "9,x,1\n")
    told: list[Skipped] = []
    demand = demand_from(path, skip_bad_rows=True, on_skipped=told.append)
    assert len(everything(demand)) == 3
    assert [str(each) for each in told] == ["skipped 1 of 4 rows: prompt_tokens 1 (line 5)"]
    with pytest.raises(BadInput, match=":5: prompt_tokens was 'x'"):
        demand_from(path)


def test_tables_and_saved_ranges_are_known_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "m-rates.csv.gz").write_bytes(
        gzip.compress(b"client,window_start_s,rate_rps,cv,family,shape\n1,0,2,1,,\n")
    )
    (tmp_path / "m-lengths.csv.gz").write_bytes(
        gzip.compress(
            b"client,block_start_s,field,lower_tokens,upper_tokens,probability\n"
            b"1,0,input_tokens,8,9,1\n1,0,output_tokens,4,5,1\n"
        )
    )
    tables = demand_from(tmp_path / "m", seed=3)
    assert (tables.name, tables.duration_seconds) == ("m", 600)
    assert np.array_equal(
        everything(tables).arrival_seconds,
        everything(demand_from(f"servegen:tables={tmp_path / 'm'},seed=3")).arrival_seconds,
    )
    values = [[1_700_000_000 + 60 * step, "2.5"] for step in range(30)]
    saved = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}
    (tmp_path / "rates.json").write_text(json.dumps(saved))
    assert demand_from(tmp_path / "rates.json").expected_requests == pytest.approx(2.5 * 1_800)


def test_a_demand_is_scaled_sliced_thinned_and_warped() -> None:
    plain = demand_from(SHIPPED)
    changed = demand_from(SHIPPED, rate_factor=2, start_seconds=600, seconds=1_200, keep=0.5, time_factor=0.25)
    assert changed.duration_seconds == 300
    assert changed.start_ns == plain.start_ns + 600 * 10**9
    inside = everything(plain).arrival_seconds
    count = ((inside >= 600) & (inside <= 1_800)).sum()
    assert len(everything(changed)) == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("poison:rate=5", "was 'poison', did you mean poisson"),
        ("poisson", "poisson.rate: was not given"),
        ("poison", "poison does not exist; did you mean poisson:...?"),
        ("nowhere.csv", "nowhere.csv does not exist; give a recording"),
        ("poisson:rat=5", "poisson.rat: unknown parameter; did you mean rate?"),
        ("poisson:minutes=5", r"poisson.rate: was not given \(mean rate, requests/s\)"),
        ("poisson:rate", "'rate', must be key=value"),
        ("poisson:rate=fast", "poisson.rate: was 'fast', must be a number"),
        ("poisson:rate=inf", "poisson.rate: was 'inf', must be a finite number"),
        ("poisson:rate=1,rate=2", "poisson.rate: was given twice"),
        ("poisson:rate=-1", r"poisson: rate: was -1, must be in \[0, 1e\+06\]"),
        ("poisson:rate=0", "rate: was 0 all the time"),
        ("poisson:rate=1,minutes=0", "minutes: was 0"),
        ("poisson:rate=1,prompt_tokens=0", "tokens: was 0"),
        ("poisson:rate=1,seed=-1", r"poisson.seed: was -1, must be in \[0, 4294967295\]"),
        ("poisson:rate=1,seed=1.5", "poisson.seed: was '1.5', must be a whole number"),
        ("poisson:rate=1,lengths_from=nowhere.csv", "nowhere.csv does not exist"),
        ("gamma:rate=1,cv=11", r"cv: was 11, must be in \[0, 10\]"),
        ("diurnal:rate=1,amplitude=2", "amplitude: was 2"),
        ("flash-crowd:rate=1,peak_rate=2,at_minutes=90", r"at_minutes: was 90, must be in \[0, 60\]"),
        ("batch:requests=1,every_minutes=0", "every_minutes: was 0"),
        ("batch:requests=1,first_minute=90", "jobs: was 0"),
        ("servegen:tables=nowhere", "nowhere-rates.csv.gz does not exist"),
        ("prometheus:", "url and file: one of the two"),
        ("prometheus:url=http://x,hours=0", "hours: was 0"),
        ("prometheus:url=http://x,end=later", "end: was 'later'"),
        ("poisson:rate=1 + ", "must be a file"),
        ("", "must be a file"),
        (".", "demand: . does not exist"),
        ("x" * 5_000, "does not exist"),
        ("poisson:" + "x" * 5_000, "must be key=value"),
    ],
)
def test_what_is_wrong_with_a_text_is_named(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        demand_from(text)


def test_every_kind_and_parameter_has_its_line_in_the_reference() -> None:
    """The page lists each parameter with its unit and default, as the code has them."""
    page = PAGE.read_text(encoding="utf-8")
    for kind in DEMAND_KINDS.values():
        section = page.split(f"### `{kind.name}`")[1].split("\n##")[0]
        assert kind.summary.lower() in section.lower(), kind.name
        own = {each.name for each in fields(kind.spec)}
        for each in kind.parameters():
            default = next(field for field in fields(kind.spec) if field.name == each.name).default
            text = "required" if default is MISSING else f"{default:g}" if isinstance(default, float) else f"{default}"
            row = f"| `{each.name}` | {each.unit} | {text} | {each.help} |"
            assert row in section or row in page.split("### `poisson`")[0], f"{kind.name}: {row}"
        listed = set(re.findall(r"^\| `([a-z_0-9]+)` \|", section, re.MULTILINE))
        assert listed <= own, f"{kind.name}: the page lists {sorted(listed - own)}"


def test_the_references_examples_are_demand() -> None:
    """Every generator text in the page is read as it stands."""
    page = PAGE.read_text(encoding="utf-8")
    examples = [line.split("   ")[0].strip() for line in re.findall(r"^    (\S.*)$", page, re.MULTILINE)]
    examples = [line for line in examples if line.partition(":")[0] in DEMAND_KINDS]
    generators = [line for line in examples if not line.startswith(("servegen", "prometheus"))]
    assert len(generators) >= 9
    for line in generators:
        assert demand_from(line).expected_requests > 0, line
