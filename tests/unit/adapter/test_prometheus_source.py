"""The Prometheus source against a server that can be told to fail next."""

import asyncio
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from adapter.sources.pods import PodInfo
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.prometheus.source import PrometheusSource
from adapter.sources.rule import Latest, Rule
from adapter.sources.series import NS_PER_SECOND, PodKey
from adapter.sources.source import SourceUnavailable

POD = PodKey("llm", "vllm-0")
PODS = {POD: PodInfo()}
NOW_NS = 1_800_000_000 * NS_PER_SECOND
RULES = [Rule(name=name, value=Latest((name,))) for name in ("a", "b", "c")]
ROW = {"metric": {"namespace": "llm", "pod": "vllm-0"}, "values": [[1_799_999_995.5, "4"]]}


def success(*rows, **others) -> bytes:
    data = {"resultType": "matrix", "result": list(rows)}
    return json.dumps({"status": "success", "data": data, **others}).encode()


class FakePrometheus:
    """Answers every query with `row`; `next_answers` go first. requests: (query, headers) as they came."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.next_answers: list[Callable[[http.server.BaseHTTPRequestHandler], None]] = []
        self.always: Callable[[http.server.BaseHTTPRequestHandler], None] = answer(200, success(ROW))
        self.released = threading.Event()

    def handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        assert parts.path == "/api/v1/query"
        self.requests.append((parse_qs(parts.query)["query"][0], dict(handler.headers)))
        (self.next_answers.pop(0) if self.next_answers else self.always)(handler)

    @contextmanager
    def serve(self) -> Iterator[str]:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake.handle(self)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # the client hangs up on what is too long
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()


def answer(status: int, body: bytes, kind: str = "application/json", **headers: str):
    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def error(status: int, kind: str, message: str, **headers: str):
    return answer(status, json.dumps({"status": "error", "errorType": kind, "error": message}).encode(), **headers)


def broken_off(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(success(ROW)[:40])
    handler.close_connection = True


def fifty_megabytes(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(50 * 1024 * 1024))
    handler.end_headers()
    for _ in range(50):
        handler.wfile.write(b" " * 1024 * 1024)


@pytest.fixture
def fake():
    return FakePrometheus()


@contextmanager
def source_of(fake: FakePrometheus, **settings) -> Iterator[PrometheusSource]:
    with fake.serve() as url:
        source = PrometheusSource(PrometheusSettings(url=url, **{"concurrency": 1, **settings}))
        try:
            yield source
        finally:
            asyncio.run(source.close())


def collect(source: PrometheusSource, rules=RULES):
    return asyncio.run(source.collect(rules, PODS, NOW_NS))


def test_one_query_is_asked_for_each_rule(fake):
    with source_of(fake, concurrency=2, headers={"X-Scope-OrgID": "team-a"}) as source:
        reading = collect(source)
    assert {name: [(one.pod, one.value, one.at_ns) for one in found] for name, found in reading.series.items()} == {
        name: [(POD, 4.0, 1_799_999_995_500_000_000)] for name in "abc"
    }
    assert sorted(query for query, _ in fake.requests) == ["a[120s]", "b[120s]", "c[120s]"]
    assert reading.queries["a"] == "a[120s]"
    assert all(headers["X-Scope-OrgID"] == "team-a" for _, headers in fake.requests)


def test_a_refused_query_fails_its_rule_alone(fake):
    fake.always = lambda handler: (
        error(422, "execution", "too many samples") if "query=b" in handler.path else answer(200, success(ROW))
    )(handler)
    with source_of(fake) as source:
        reading = collect(source)
    assert reading.series.keys() == {"a", "c"}
    assert reading.failures["b"].reason == "status"
    assert "422 (execution: too many samples); correct the rule's query" in str(reading.failures["b"])


def test_a_warning_is_counted(fake):
    fake.always = answer(200, success(ROW, warnings=["partial response", "a store is down"]))
    with source_of(fake) as source:
        assert collect(source, RULES[:1]).notes == {"warning": 2}


@pytest.mark.parametrize(
    ("failing", "reason", "said"),
    [
        pytest.param(error(500, "internal", "x"), "status", "status was 500 (internal: x)", id="500"),
        pytest.param(error(503, "timeout", "query timed out"), "timeout", "gave the query up", id="backend-timeout"),
        pytest.param(error(401, "x", "no token"), "unauthorized", "check the credentials", id="401"),
        pytest.param(answer(302, b"", Location="/login"), "status", "redirected to /login", id="a-redirect-to-a-login"),
        pytest.param(answer(200, b"<html>", "text/html"), "malformed", "a login page", id="a-login-page"),
        pytest.param(answer(200, success(ROW), "text/plain"), "malformed", "content type was", id="content-type"),
        pytest.param(broken_off, "truncated", "broke off", id="connection-cut"),
        pytest.param(answer(200, success(ROW)[:60]), "truncated", "was not JSON", id="truncated-JSON"),
        pytest.param(answer(200, b'{"status":"error"}'), "malformed", "must be", id="no-success"),
        pytest.param(answer(200, b"[]"), "malformed", "must be", id="not-an-object"),
        pytest.param(answer(200, b"\xff{}"), "encoding", "not UTF-8", id="not-UTF-8"),
        pytest.param(fifty_megabytes, "too_large", "at most maxResponseBytes", id="50-MB"),
    ],
)
def test_what_is_no_answer_has_a_name(fake, failing, reason, said):
    """The first rule fails under it; where all of them do, the source does."""
    fake.next_answers = [failing]
    with source_of(fake) as source:
        rules = RULES[1:] + RULES[:1]  # the turn begins with the second
        if reason == "unauthorized":
            with pytest.raises(SourceUnavailable, match=said):
                collect(source, rules)
            return
        reading = collect(source, rules)
        (failure,) = reading.failures.values()
        assert (failure.reason, len(reading.series)) == (reason, 2)
        assert said in str(failure)
        fake.always = failing
        with pytest.raises(SourceUnavailable) as caught:
            collect(source)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("failing", "seconds"),
    [
        pytest.param(error(429, "throttled", "slow down", Retry_After="7"), 7.0, id="429"),
        pytest.param(error(429, "throttled", "slow down"), None, id="429-without-a-time"),
        pytest.param(error(503, "unavailable", "x", Retry_After="7"), 7.0, id="503-with-a-time"),
        pytest.param(
            error(429, "x", "y", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), 0.0, id="a-date-that-has-passed"
        ),
        pytest.param(error(429, "x", "y", Retry_After="soon"), None, id="a-time-that-is-none"),
    ],
)
def test_throttling_stops_the_collection_and_says_for_how_long(fake, failing, seconds):
    fake.always = failing
    with source_of(fake) as source, pytest.raises(SourceUnavailable) as caught:
        collect(source)
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("throttled", seconds)
    assert len(fake.requests) == 1


def test_a_slow_answer_meets_the_deadline_and_the_source_recovers(fake):
    fake.next_answers = [lambda handler: (fake.released.wait(5), answer(200, success(ROW))(handler))]
    with source_of(fake, timeout_seconds=0.2) as source:
        with pytest.raises(SourceUnavailable) as caught:
            collect(source)
        assert caught.value.reason == "timeout"
        assert collect(source).series.keys() == {"a", "b", "c"}


def test_a_dripping_answer_meets_the_deadline(fake):
    """Each byte comes in time; the whole does not."""

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not fake.released.wait(0.02):
            handler.wfile.write(b" ")

    fake.always = drip
    with source_of(fake, timeout_seconds=0.3) as source:
        began = time.monotonic()
        with pytest.raises(SourceUnavailable) as caught:
            collect(source, RULES[:1])
        took = time.monotonic() - began
    assert caught.value.reason == "timeout"
    assert took < 2.0


def test_nobody_at_the_address_is_a_connection(fake):
    with fake.serve() as url:
        pass
    source = PrometheusSource(PrometheusSettings(url=url))
    with pytest.raises(SourceUnavailable, match="refused") as caught:
        collect(source)
    asyncio.run(source.close())
    assert caught.value.reason == "connection"


def test_a_rotated_token_is_used_at_the_next_request(fake, tmp_path):
    path = tmp_path / "token"
    path.write_text("one\n")
    with source_of(fake, bearer_token_file=path) as source:
        collect(source, RULES[:1])
        path.write_text("two\n")
        collect(source, RULES[:1])
        path.unlink()
        with pytest.raises(SourceUnavailable, match=r"bearerTokenFile: .* could not be read") as caught:
            collect(source, RULES[:1])
    assert [headers["Authorization"] for _, headers in fake.requests] == ["Bearer one", "Bearer two"]
    assert caught.value.reason == "unauthorized"


def test_credentials_of_the_environment_are_not_sent(fake, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with source_of(fake) as source:
        collect(source, RULES[:1])
    assert "Authorization" not in fake.requests[0][1]


def test_google_credentials_are_renewed_when_they_expire(fake):
    from adapter.sources.prometheus.credentials import GoogleToken

    class Credentials:
        valid = False
        token = ""
        refreshes = 0

        def refresh(self, _request: object) -> None:
            self.refreshes += 1
            self.valid, self.token = True, f"t{self.refreshes}"

    credentials = Credentials()
    with fake.serve() as url:
        source = PrometheusSource(
            PrometheusSettings(url=url, google_auth=True, absent_retry_seconds=0), auth=GoogleToken(credentials)
        )
        collect(source, RULES[:1])
        collect(source, RULES[:1])
        credentials.valid = False
        collect(source, RULES[:1])
        asyncio.run(source.close())
    assert [headers["Authorization"] for _, headers in fake.requests] == ["Bearer t1", "Bearer t1", "Bearer t2"]


def test_pods_that_are_gone_are_not_shown(fake):
    with source_of(fake) as source:
        reading = asyncio.run(source.collect(RULES[:1], {}, NOW_NS))
    assert reading.series == {"a": []}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "prometheus:9090"}, "url"),
        ({"bearer_token_file": "t", "google_auth": True}, "at most one"),
        ({"cert_file": "c"}, "certFile and keyFile"),
        ({"username_file": "u"}, "usernameFile is given without passwordFile"),
        ({"url": "http://prometheus:9090", "bearer_token_file": "t"}, "must be https"),
        ({"headers": {"X": "a\nb"}}, "headers"),
        ({"extra_labels": {"a-b": "c"}}, "extra"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        PrometheusSettings(**{"url": "https://prometheus:9090", **wrong})


def test_a_rule_that_has_never_found_anything_is_left_unasked_for_a_while(fake):
    """Most of the catalogue is absent from most clusters: Prometheus need not be asked for it four times a minute."""
    seconds = 1000.0
    fake.always = answer(200, success())
    with fake.serve() as url:
        source = PrometheusSource(PrometheusSettings(url=url, absent_retry_seconds=60), monotonic=lambda: seconds)
        assert dict(collect(source, RULES[:1]).series) == {"a": []}
        seconds += 59
        assert dict(collect(source, RULES[:1]).series) == {}
        assert len(fake.requests) == 1
        seconds += 1
        fake.always = answer(200, success(ROW))
        assert len(collect(source, RULES[:1]).series["a"]) == 1
        fake.always = answer(200, success())  # scaled to zero: when it is back, it is seen at once
        assert [dict(collect(source, RULES[:1]).series) for _ in range(2)] == [{"a": []}] * 2
        assert len(fake.requests) == 4
        asyncio.run(source.close())
