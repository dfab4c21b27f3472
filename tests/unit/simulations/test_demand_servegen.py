"""ServeGen's tables as demand: rates kept, no common edge, the same requests for any pieces."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.demand import arrival_sampling as sampling
from simulations.demand.drawn import Drawn
from simulations.demand.servegen import is_servegen, read_servegen
from simulations.demand.servegen_tables import read_tables
from simulations.trace import Trace

SHARED = Path(os.environ.get("LEADTIME_SHARED", Path(__file__).parents[4] / "shared"))
TABLES = SHARED / "traces" / "servegen"

RATES = """client,window_start_s,rate_rps,cv,family,shape,scale_s
3,0,2,1.5,Gamma,0.444444,1
3,600,4,2,Weibull,0.6,1
3,1800,1,,,,
8,600,3,0.5,Gamma,,
8,1200,0.5,1,Gamma,1,1
9,0,1,1,,,
"""
LENGTHS = """client,block_start_s,field,lower_tokens,upper_tokens,probability
3,0,input_tokens,100,101,1
3,0,output_tokens,10,11,0.5
3,0,output_tokens,20,21,0.5
3,0,reason_ratio,0,0.05,1
8,0,input_tokens,300,301,1
8,0,output_tokens,30,31,1
"""


def written(folder: Path, rates: str = RATES, lengths: str = LENGTHS) -> Path:
    prefix = folder / "model"
    (folder / "model-rates.csv.gz").write_bytes(gzip.compress(rates.encode()))
    (folder / "model-lengths.csv.gz").write_bytes(gzip.compress(lengths.encode()))
    return prefix


def everything(demand: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pieces = list(demand.pieces())
    return (
        np.concatenate([piece.arrival_seconds for piece in pieces]),
        np.concatenate([piece.prompt_tokens for piece in pieces]),
        np.concatenate([piece.output_tokens for piece in pieces]),
    )


def window_means(demand: Drawn, client: int, phase: float, windows: int) -> list[float]:
    """The exact mean rate of each of a client's windows, on its own clock, which runs in a circle."""
    curve = demand.processes.curve(client)
    edges = np.arange(windows + 1) * 600.0 - phase
    # A window that the phase moved over the end lies in two parts.
    edges = np.concatenate([[0.0], edges[1:], [demand.duration_seconds]])
    knots = np.union1d(curve.seconds, edges)
    rates = curve.at(knots)
    areas = np.concatenate([[0.0], np.cumsum(0.5 * (rates[1:] + rates[:-1]) * np.diff(knots))])
    parts = np.diff(np.interp(edges, knots, areas))
    parts[0] += parts[-1]
    return list(parts[:-1] / 600.0)


def test_every_client_keeps_the_mean_of_every_window(tmp_path: Path) -> None:
    demand = read_servegen(written(tmp_path), seed=4)
    assert demand.duration_seconds == 2_400
    assert demand.lengths.clock_seconds.shape == (3,)  # type: ignore[attr-defined]
    for row, rates in enumerate([[2, 4, 0, 1], [0, 3, 0.5, 0], [1, 0, 0, 0]]):
        phase = float(demand.lengths.clock_seconds[row])  # type: ignore[attr-defined]
        assert 0 <= phase < 600
        assert window_means(demand, row, phase, 4) == pytest.approx(rates, rel=1e-9, abs=1e-9)
    assert demand.expected_requests == pytest.approx(600 * 11.5)


def test_rates_are_continuous_and_never_negative(tmp_path: Path) -> None:
    demand = read_servegen(written(tmp_path))
    for client in range(3):
        curve = demand.processes.curve(client)
        assert (np.diff(curve.seconds) > 0).all(), "no two rates at one time"
        assert (curve.rps >= 0).all()
        assert curve.rps[0] == pytest.approx(curve.rps[-1]), "the circle closes"
        assert (curve.seconds[0], curve.seconds[-1]) == (0.0, 2_400.0)


def test_no_two_clients_and_no_two_seeds_have_the_same_window_edges(tmp_path: Path) -> None:
    prefix = written(tmp_path)
    phases = [read_servegen(prefix, seed=seed).lengths.clock_seconds for seed in (1, 2)]  # type: ignore[attr-defined]
    assert len(np.unique(np.concatenate(phases))) == 6


def test_requests_do_not_depend_on_the_pieces(tmp_path: Path) -> None:
    """Equal seeds give equal requests for any length of piece; another seed gives others."""
    demand = read_servegen(written(tmp_path), seed=9, keep=0.8)
    once = everything(replace(demand, piece_requests=10_000_000))
    for size in (7, 1_000):
        again = everything(replace(demand, piece_requests=size))
        assert all(np.array_equal(one, other) for one, other in zip(once, again, strict=True))
    assert not np.array_equal(everything(replace(demand, seed=10))[0][:50], once[0][:50])
    assert (np.diff(once[0]) >= 0).all()
    assert once[0][-1] <= demand.duration_seconds


def test_lengths_are_the_clients_own_or_pooled(tmp_path: Path) -> None:
    """Client 3 has prompts of 100 and answers of 10 or 20, client 8 300 and 30; client 9 has any of them."""
    pairs = []
    for client in (3, 8, 9):
        rows = [line for line in RATES.splitlines() if line.startswith(("client", f"{client},"))]
        folder = tmp_path / str(client)
        folder.mkdir()
        _, prompts, outputs = everything(read_servegen(written(folder, "\n".join(rows) + "\n")))
        pairs.append(set(zip(prompts.tolist(), outputs.tolist(), strict=True)))
    own, other, pooled = pairs
    assert own == {(100, 10), (100, 20)}
    assert other == {(300, 30)}
    assert pooled == {(prompt, output) for prompt in (100, 300) for output in (10, 20, 30)}


def test_pooled_lengths_are_weighted_by_requests(tmp_path: Path) -> None:
    prefix = written(tmp_path, RATES + "9,1200,200,1,,,\n")
    arrivals, prompts, _ = everything(read_servegen(prefix, start_seconds=1_200, seconds=600))
    # Client 9 makes nearly all of the requests here; 7 of 10.5 of those with histograms are client 3's.
    assert len(arrivals) > 60_000
    assert (prompts == 100).mean() == pytest.approx(7 / 10.5, abs=0.01)


def test_a_slice_is_a_part_of_the_table(tmp_path: Path) -> None:
    whole, part = (
        read_servegen(written(tmp_path), start_seconds=start, seconds=seconds)
        for start, seconds in ((0.0, None), (900.0, 700.0))
    )
    assert part.duration_seconds == 700
    assert part.start_ns - whole.start_ns == 900 * 10**9
    times = np.linspace(0, 700, 50)
    for client in range(3):
        assert np.allclose(whole.processes.curve(client).at(times + 900.0), part.processes.curve(client).at(times))


def test_rate_factor_and_keep_scale_the_expected_requests(tmp_path: Path) -> None:
    prefix = written(tmp_path)
    plain = read_servegen(prefix)
    assert read_servegen(prefix, rate_factor=3).expected_requests == pytest.approx(3 * plain.expected_requests)
    kept = read_servegen(prefix, keep=0.25)
    assert kept.expected_requests == pytest.approx(0.25 * plain.expected_requests)
    seen, of = everything(kept)[0], everything(plain)[0]
    assert np.isin(seen, of).all(), "what is kept is some of what there is"
    assert len(seen) == pytest.approx(0.25 * len(of), rel=0.1)


def test_only_the_largest_clients(tmp_path: Path) -> None:
    """A client's requests do not depend on the others."""
    one = read_servegen(written(tmp_path), max_clients=1, seed=5)
    assert one.processes.client_ids.tolist() == [3]
    assert np.isin(everything(one)[0], everything(read_servegen(written(tmp_path), seed=5))[0]).all()


def test_a_client_shares_its_system_prompt_and_its_adapter(tmp_path: Path) -> None:
    trace: Trace = next(read_servegen(written(tmp_path), system_prompt_tokens=250, lora_adapters=2).pieces())
    assert trace.prefixes is not None
    assert trace.lora is not None
    assert trace.prefixes.block_tokens == 240
    counts = np.diff(trace.prefixes.offsets)
    assert (counts == (trace.prompt_tokens >= 240)).all(), "a prompt that is too short does not hold it"
    assert set(trace.lora.tolist()) == {0, 1}
    ids = trace.prefixes.ids
    assert len(np.unique(ids)) == 2, "one for each client with long prompts: 8, and 9 with its pooled lengths"
    assert all(len(set(trace.lora[counts > 0][ids == which].tolist())) == 1 for which in np.unique(ids))


@pytest.mark.parametrize(
    ("rates", "lengths", "named"),
    [
        pytest.param("client,rate_rps\n", LENGTHS, ":1: column window_start_s is missing", id="column"),
        pytest.param(RATES + "3,x,1,1,Gamma,1,1\n", LENGTHS, ":8: window_start_s was 'x'", id="number"),
        pytest.param(
            RATES + "3,2400,-1,1,Gamma,1,1\n", LENGTHS, r":8: rate_rps was '-1', must be .* in \[0", id="rate"
        ),
        pytest.param(RATES + "3,2400,1,1,Pareto,1,1\n", LENGTHS, "family was 'Pareto', must be Gamma", id="family"),
        pytest.param(RATES + "3,2400,1,1,Gamma,0,1\n", LENGTHS, "shape was '0'", id="shape"),
        pytest.param(RATES + "3,600,1,1,Gamma,1,1\n", LENGTHS, "client 3 has two rows", id="twice"),
        pytest.param(RATES + "3,2401,1,1,Gamma,1,1\n", LENGTHS, "2401, must be a multiple of 600", id="grid"),
        pytest.param(RATES + "3,2400,1\n", LENGTHS, ":8: has 3 fields, must have 7", id="short"),
        pytest.param(RATES.splitlines()[0], LENGTHS, "has no rate above 0", id="no-rates"),
        pytest.param(RATES, LENGTHS.replace("101,1", "99,1"), ":2: upper_tokens was '99', must be above", id="bin"),
        pytest.param(RATES, LENGTHS.replace("output", "other"), "has no histogram of output_tokens", id="no-output"),
        pytest.param(RATES, LENGTHS.replace("301,1", "301,2"), ":6: probability was '2'", id="probability"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, rates: str, lengths: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        read_servegen(written(tmp_path, rates, lengths))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"start_seconds": 2_400.0}, r"start_seconds: was 2400, must be in \[0, 1800\]"),
        ({"seconds": 0.0}, "seconds: was 0"),
        ({"rate_factor": 0.0}, "rate_factor: was 0"),
        ({"keep": 1.5}, r"keep: was 1.5, must be in \(0, 1\]"),
        ({"system_prompt_tokens": 5}, "system_prompt_tokens: was 5, must be 0 for none or in"),
        ({"lora_adapters": -1}, "lora_adapters: was -1"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        read_servegen(written(tmp_path), **options)  # type: ignore[arg-type]


def test_missing_tables_are_named(tmp_path: Path) -> None:
    assert not is_servegen(tmp_path / "model")
    with pytest.raises(BadInput, match=r"model-rates\.csv\.gz does not exist"):
        read_servegen(tmp_path / "model")


@pytest.mark.shared
@pytest.mark.parametrize(("model", "requests"), [("m-small", 1_420_558_774), ("deepseek-r1", 1_383_669)])
def test_recorded_tables_keep_their_requests(model: str, requests: int) -> None:
    """What is expected is what the table holds."""
    assert read_servegen(recorded(model)).expected_requests == pytest.approx(requests, rel=1e-6)


@pytest.mark.shared
def test_an_hour_of_a_recorded_table_has_its_requests() -> None:
    """Of the table's hour and of what the demand expects; the phases move up to 10 minutes of it."""
    windows = read_tables(recorded("deepseek-r1")).windows
    table = 600 * sum(window.rps for window in windows if 36_000 <= window.start_seconds < 39_600)
    hour = read_servegen(recorded("deepseek-r1"), start_seconds=36_000, seconds=3_600)
    assert hour.expected_requests == pytest.approx(table, rel=0.1)
    arrivals, prompts, outputs = everything(hour)
    assert len(arrivals) == pytest.approx(hour.expected_requests, rel=0.15), "bursts make counts vary"
    assert prompts.min() >= 1
    assert outputs.min() >= 1


def recorded(model: str) -> Path:
    if not is_servegen(TABLES / model):
        pytest.skip(f"{TABLES / model} is absent; set LEADTIME_SHARED to the folder that holds traces/servegen")
    return TABLES / model


def test_the_knots_are_as_the_compiled_sampler_reads_them(tmp_path: Path) -> None:
    knots = read_servegen(written(tmp_path)).processes.knots
    assert knots.dtype == sampling.KNOT
    assert set(knots["family"].tolist()) == {sampling.EXPONENTIAL, sampling.GAMMA, sampling.WEIBULL}
    assert (knots["shape"] > 0).all()
