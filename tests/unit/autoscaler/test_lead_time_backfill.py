"""Past demand from Prometheus' range queries, over HTTP on the loopback and from matrices as it writes them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.source import SourceUnavailable
from autoscaler.lead_times.backfill import DemandHistory, merged, pods_of, promql, samples_of_matrix
from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND

MINUTE_NS = 60 * NS_PER_SECOND
FIRST = 29_000_000
"""A minute since the epoch."""


def row(kind: str, values: dict[int, float]) -> dict[str, Any]:
    """A series of the answer; values: minutes after FIRST -> value."""
    return {
        "metric": {"leadtime_series": kind},
        "values": [[60 * (FIRST + minute), str(value)] for minute, value in values.items()],
    }


def every(value: float, until: int = 10) -> dict[int, float]:
    return dict.fromkeys(range(until + 1), value)


def test_a_queue_that_builds_up_is_demand_too() -> None:
    """4 req/s are answered throughout; from minute 4 on 60 requests more wait each minute, which is 1 req/s."""
    waiting = {minute: 60.0 * max(0, minute - 4) for minute in range(11)}
    matrix = [
        row("answered", every(4)),
        row("in_flight", waiting),
        row("prompt", every(1200)),
        row("output", every(200)),
    ]
    samples = samples_of_matrix(matrix, FIRST, FIRST + 10)
    assert samples.requests_per_second.tolist() == [4, 4, 4, 4, 4, 4.5, 5, 5, 5, 5, 5]
    assert samples.prompt_tokens.tolist() == [300.0] * 11
    assert samples.output_tokens.tolist() == [50.0] * 11


def test_a_sample_lies_where_the_window_it_tells_of_does() -> None:
    """A rate over two minutes up to t is centred a minute before t, like the minute that ends 30 s before t."""
    samples = samples_of_matrix([row("answered", {5: 1.0})], FIRST, FIRST + 10)
    assert samples.at_ns.tolist() == [(FIRST + 5) * MINUTE_NS - 30 * NS_PER_SECOND]


def test_minutes_without_a_scrape_are_no_demand_of_zero() -> None:
    matrix = [row("answered", {0: 2.0, 1: 2.0, 7: 2.0, 8: float("nan")}), row("in_flight", {0: 5.0, 7: 500.0})]
    samples = samples_of_matrix(matrix, FIRST, FIRST + 10)
    assert len(samples.at_ns) == 3
    assert samples.requests_per_second.tolist() == [2.0, 2.0, 2.0], "growth across the gap is not known"


def test_a_pod_that_died_with_its_requests_makes_no_negative_demand() -> None:
    matrix = [row("answered", every(1)), row("in_flight", {**every(600, 4), **dict.fromkeys(range(5, 11), 0.0)})]
    assert samples_of_matrix(matrix, FIRST, FIRST + 10).requests_per_second.min() == 0.0


def test_an_idle_minute_has_no_request_size() -> None:
    samples = samples_of_matrix([row("answered", every(0)), row("prompt", every(0))], FIRST, FIRST + 3)
    assert samples.requests_per_second.tolist() == [0.0] * 4
    assert np.isnan(samples.prompt_tokens).all()


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("Deployment", "vllm[.]a-[a-z0-9]+-[a-z0-9]{5}"),
        ("StatefulSet", "vllm[.]a-[0-9]+"),
        ("LeaderWorkerSet", "vllm[.]a-[0-9]+(-[0-9]+)?"),
        ("Anything", "vllm[.]a-.+"),
    ],
)
def test_past_pods_are_found_by_the_names_that_their_controller_gave(kind: str, pattern: str) -> None:
    assert pods_of("llm", kind, "vllm.a").names == pattern


def test_the_query_names_the_workload_and_what_the_settings_add() -> None:
    text = promql(pods_of("llm", "StatefulSet", "vllm"), {"cluster": 'a"b'})
    assert '{cluster="a\\"b",namespace="llm",pod=~"vllm-[0-9]+"}' in text
    assert text.count("label_replace(") == 4


def samples(minutes: list[int], rate: float) -> Samples:
    at_ns = np.array(minutes, np.int64) * MINUTE_NS
    values = np.full(len(minutes), rate)
    return Samples(at_ns=at_ns, requests_per_second=values, prompt_tokens=values, output_tokens=values)


@pytest.mark.parametrize(
    ("own", "other", "rates"),
    [
        pytest.param([5, 6], [1, 2, 5, 6, 7], [2, 2, 1, 1, 2], id="gaps-are-filled"),
        pytest.param([], [1, 2], [2, 2], id="nothing-of-its-own"),
        pytest.param([1, 2], [], [1, 1], id="nothing-from-prometheus"),
    ],
)
def test_ones_own_samples_go_before_prometheus(own: list[int], other: list[int], rates: list[float]) -> None:
    both = merged(samples(own, 1.0), samples(other, 2.0))
    assert both.requests_per_second.tolist() == rates
    assert np.all(np.diff(both.at_ns) > 0)


class FakePrometheus:
    """/api/v1/query_range with the real server's limit of 11,000 points; 3 req/s throughout. answer: to break it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status, self.body = 200, ""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = fake.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.settings = PrometheusSettings(url=f"http://127.0.0.1:{self.server.server_port}")
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str) -> tuple[int, bytes]:
        asked = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
        self.asked.append(asked)
        if self.body or self.status != 200:
            return self.status, self.body.encode()
        start, end, step = (int(asked[key]) for key in ("start", "end", "step"))
        if (end - start) // step > 11_000:
            return 400, b'{"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"}'
        values = [[at, "3"] for at in range(start, end + 1, step)]
        result = [{"metric": {"leadtime_series": "answered"}, "values": values}]
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    fake = FakePrometheus()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


SPAN = {"since_ns": FIRST * MINUTE_NS, "until_ns": (FIRST + 14 * 1440) * MINUTE_NS}
VLLM = pods_of("llm", "Deployment", "vllm")


async def test_two_weeks_take_three_queries(prometheus: FakePrometheus) -> None:
    history = DemandHistory(prometheus.settings)
    found = await history.read(VLLM, **SPAN)
    history.close()
    assert len(found.at_ns) == 14 * 1440 + 1
    assert np.all(np.diff(found.at_ns) == MINUTE_NS)
    assert np.all(found.requests_per_second == 3.0)
    assert len(prometheus.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        pytest.param(500, "", "status", id="a-server-error"),
        pytest.param(200, "<html>login</html>", "malformed", id="a-login-page"),
        pytest.param(200, '{"status": "success", "data": {"result": {}}}', "malformed", id="no-matrix"),
        pytest.param(
            200,
            '{"data": {"result": [{"metric": {"leadtime_series": "answered"}, "values": [[1]]}]}}',
            "malformed",
            id="no-pair",
        ),
    ],
)
async def test_an_answer_that_is_none_fails_softly(
    prometheus: FakePrometheus, status: int, body: str, reason: str
) -> None:
    prometheus.status, prometheus.body = status, body
    history = DemandHistory(prometheus.settings)
    with pytest.raises(SourceUnavailable) as error:
        await history.read(VLLM, **SPAN)
    history.close()
    assert error.value.reason == reason


async def test_an_answer_that_is_too_long_is_not_read(prometheus: FakePrometheus) -> None:
    settings = prometheus.settings.model_copy(update={"max_response_bytes": 2048})
    history = DemandHistory(settings)
    with pytest.raises(SourceUnavailable, match="over 2048 bytes"):
        await history.read(VLLM, **SPAN)
    history.close()


async def test_a_prometheus_that_takes_too_long_is_given_up(prometheus: FakePrometheus) -> None:
    seconds = iter(range(0, 10_000, 7))  # each look at the clock costs 7 s
    history = DemandHistory(prometheus.settings, monotonic=lambda: float(next(seconds)))
    with pytest.raises(SourceUnavailable) as error:
        await history.read(VLLM, **SPAN, timeout_seconds=30.0)
    history.close()
    assert error.value.reason == "timeout"
