"""Past demand from Prometheus' range queries, over HTTP on the loopback and from matrices as it writes them."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
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


SERVERS = {
    "vllm": (
        "vllm:request_success_total",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
    ),
    "sglang": (
        "sglang:num_requests_total",
        "sglang:prompt_tokens_total",
        "sglang:generation_tokens_total",
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
    ),
    "tgi": (
        "tgi_request_success",
        "tgi_request_input_length_sum",
        "tgi_request_generated_tokens_sum",
        "tgi_batch_current_size",
        "tgi_queue_size",
    ),
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "servers",
    [
        pytest.param(["vllm"], id="vllm"),
        pytest.param(["sglang"], id="sglang"),
        pytest.param(["tgi"], id="tgi"),
        pytest.param(["vllm", "sglang"], id="of-two-the-first-one-s"),
    ],
)
def test_prometheus_tells_the_demand_of_each_server(servers: Sequence[str], tmp_path: Path) -> None:
    """Two pods, each with 2 answers/s of 100 and 50 tokens, 3 running and 1 waiting; a second server's are tenfold.
    SGLang's two tensor-parallel ranks both write."""
    series = []
    for times, server in zip((1, 10), servers, strict=False):
        for name, grows in zip(SERVERS[server], (120, 12_000, 6_000, None, None), strict=True):
            begins = {SERVERS[server][3]: 3, SERVERS[server][4]: 1}.get(name, 0) * times
            values = f"{begins}+{(grows or 0) * times}x10"
            ranks = ("0", "1") if name.startswith("sglang:num_") and grows is None else ("0",)
            series += [
                {"series": f'{name}{{namespace="llm",pod="vllm-{pod}",tp_rank="{rank}"}}', "values": values}
                for pod in (0, 1)
                for rank in ranks
            ]
    expected = {"answered": 4, "prompt": 400, "output": 200, "in_flight": 8}
    told = [{"labels": f'{{leadtime_series="{kind}"}}', "value": value} for kind, value in expected.items()]
    check = {"expr": promql(pods_of("llm", "StatefulSet", "vllm"), {}), "eval_time": "8m", "exp_samples": told}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [check]}
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    command = ["promtool", "test", "rules", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert result.returncode == 0, result.stdout + result.stderr


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
