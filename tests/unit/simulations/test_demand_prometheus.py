"""A Prometheus server's range queries as demand, over HTTP on loopback and from saved answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.demand import prometheus
from simulations.demand.lengths import Lognormal
from simulations.demand.text import demand_from

START = 1_700_000_000 // 300 * 300


class FakePrometheus:
    """Speaks /api/v1/query_range, with the real server's limit of 11,000 points; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.rates = {"requests": 4.0, "prompt": 1_200.0, "output": 200.0}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = fake.answer(self.path)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append(asked)
        start, end, step = (float(asked[key]) for key in ("start", "end", "step"))
        if parts.path != "/api/v1/query_range" or (end - start) / step > 11_000:
            return 400, {"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"}
        which = next((name for name in self.rates if name in asked["query"]), None)
        times = np.arange(start, end + 1, step)
        series = [] if which is None else [{"metric": {}, "values": [[t, f"{self.rates[which]}"] for t in times]}]
        return 200, {"status": "success", "data": {"resultType": "matrix", "result": series}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrometheus]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fake = FakePrometheus()
    yield fake
    fake.close()


def text(server: FakePrometheus, more: str = "") -> str:
    return (
        f'prometheus:url={server.url},query=sum(rate(requests_total{{a="b",c="d"}}[5m])),'
        f"prompt_query=prompt,output_query=output,prompt_cv=0.5,end=2023-11-14T22:00:00{more}"
    )


def test_rates_and_lengths_come_from_the_server(server: FakePrometheus) -> None:
    demand = demand_from(text(server, ",hours=2"))
    assert [asked["query"] for asked in server.asked] == [
        "prompt",
        "output",
        'sum(rate(requests_total{a="b",c="d"}[5m]))',
    ]
    assert {asked["step"] for asked in server.asked} == {"300"}
    # The first sample is the mean of the 5 minutes before it.
    assert demand.duration_seconds == 7_500
    assert demand.start_ns == (1_700_000_000 // 3_600 * 3_600 - 7_200 - 300) * 10**9
    assert demand.expected_requests == pytest.approx(4 * 7_500)
    pieces = list(demand.pieces())
    assert sum(map(len, pieces)) == pytest.approx(30_000, rel=0.03)
    assert np.concatenate([piece.prompt_tokens for piece in pieces]).mean() == pytest.approx(300, rel=0.02)
    assert np.concatenate([piece.output_tokens for piece in pieces]).mean() == pytest.approx(50, rel=0.05)


def test_a_long_range_is_asked_for_in_parts(server: FakePrometheus) -> None:
    series = prometheus.query_range(
        server.url, "requests", start_seconds=START, end_seconds=START + 25_000 * 15, step_seconds=15
    )
    assert len(series.values) == 25_001
    assert len(server.asked) == 3
    assert series.first_seconds == START


def test_a_query_without_series_and_a_wrong_server_are_named(server: FakePrometheus) -> None:
    with pytest.raises(BadInput, match="has 0 samples, must have at least 2"):
        demand_from(text(server).replace("requests_total", "nothing"))
    with pytest.raises(BadInput, match=r"did not answer .*exceeded maximum resolution"):
        prometheus.query_range(
            f"{server.url}/wrong", "requests", start_seconds=START, end_seconds=START + 60, step_seconds=15
        )


def matrix(*series: list[float | None], step: float = 60.0) -> list[dict[str, Any]]:
    """Series of samples, each with its None left out."""
    return [
        {"values": [[START + step * at, str(value)] for at, value in enumerate(values) if value is not None]}
        for values in series
    ]


def test_series_are_summed_and_holes_are_filled_from_beside_them() -> None:
    series = prometheus.series_of(matrix([1.0, 2.0] + [3.0] * 9, [1.0, 2.0] + [3.0] * 9), "x")
    assert series.values.tolist() == [2.0, 4.0] + [6.0] * 9
    holed = prometheus.series_of(matrix([1.0, None, 3.0, *[3.0] * 9]), "x", step_seconds=60.0)
    assert holed.values[:3].tolist() == [1.0, 2.0, 3.0]
    lost = prometheus.series_of(matrix([1.0, float("nan"), 3.0, *[3.0] * 9]), "x", step_seconds=60.0)
    assert lost.values[:3].tolist() == [1.0, 2.0, 3.0], "NaN is missing, not 0"


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (matrix([1.0, None, None, 3.0, 4.0]), "lacks 2 of 5 samples, at most 10% may be missing"),
        (matrix([1.0]), "has 1 samples"),
        (matrix([1.0, -2.0]), r"a sample was \[.*'-2.0'\], must be a rate in \[0"),
        ([{"values": [["x", "1"]]}], "must be \\[time, value\\]"),
        ([{"values": [[0, "1"], [60, "1"], [130, "1"]]}], "off the grid of 60 s"),
    ],
)
def test_what_is_no_rate_is_named(result: list[dict[str, Any]], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        prometheus.series_of(result, "x", 60.0)


def test_every_steps_mean_is_kept() -> None:
    values = [3.0, 0.0, 5.0, 5.0, 1.0]
    demand = prometheus.prometheus_demand(
        prometheus.series_of(matrix(values), "x"), prompt=Lognormal(mean=10), output=Lognormal(mean=10)
    )
    curve = demand.processes.curve(0)
    expected = np.interp(60.0 * np.arange(6), curve.seconds, curve.expected())
    assert np.diff(expected).tolist() == pytest.approx([60.0 * value for value in values])
    assert demand.start_ns == (START - 60) * 10**9


def test_lengths_follow_the_tokens_of_the_time() -> None:
    """Twice the tokens per request in the second half; where no request came, the law's own mean."""
    requests = prometheus.series_of(matrix([50.0] * 20), "x")
    tokens = prometheus.series_of(matrix([5_000.0] * 10 + [10_000.0] * 10), "x")
    demand = prometheus.prometheus_demand(
        requests, prompt=Lognormal(mean=7), output=Lognormal(mean=9), prompt_tokens=tokens
    )
    (piece,) = demand.pieces()
    early, late = piece.arrival_seconds < 500, piece.arrival_seconds > 700
    assert set(piece.prompt_tokens[early].tolist()) == {100}
    assert set(piece.prompt_tokens[late].tolist()) == {200}
    assert set(piece.output_tokens.tolist()) == {9}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "is not JSON"),
        ("[]", 'has no data.result of resultType "matrix"'),
        ('{"data": {"resultType": "vector", "result": []}}', 'has no data.result of resultType "matrix"'),
        ('{"data": {"resultType": "matrix", "result": []}}', "has 0 samples"),
        (
            json.dumps({"data": {"resultType": "matrix", "result": matrix([0.0] * 5)}}),
            "has only rates of 0",
        ),
    ],
)
def test_a_wrong_saved_answer_is_named(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "rates.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=named):
        demand_from(path)
