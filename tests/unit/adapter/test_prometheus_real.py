"""The Prometheus source against the real server: values, true times, TLS and passwords."""

import asyncio
import datetime
import http.server
import ipaddress
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.sources.catalogue import RULES as CATALOGUE_RULES
from adapter.sources.pods import PodInfo
from adapter.sources.prometheus.promql import quoted
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.prometheus.source import PrometheusSource
from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Share, Total
from adapter.sources.series import NS_PER_SECOND, PodKey
from adapter.sources.source import SourceUnavailable

BINARY = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(BINARY is None, reason="no `prometheus` on PATH (Debian: apt-get install prometheus)")

PODS = {PodKey("llm", name): PodInfo() for name in ("old-0", "new-0", "gpu-0")}
PASSWORD = "correct horse"  # noqa: S105 - of a server that lives for seconds
PASSWORD_BCRYPT = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"  # noqa: S105 - of the same
MATCHED = {"cluster": "a"}

RULES = {
    "kv": Rule(name="kv", value=Latest(("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"))),
    "tokens": Rule(name="tokens", value=Rate(("tokens_total",), 3)),
    "queue": Rule(name="queue", value=Ratio(("queue_us",), ("requests_total",), 3)),
    "ttft": Rule(name="ttft", value=Quantile(("ttft_seconds",), 0.5, 3)),
    "missed": Rule(name="missed", value=Share(("ttft_seconds",), 0.15, 3)),
    "demand": Rule(name="demand", value=Total((("running",), ("waiting",)))),
    "gpu": Rule(name="gpu", value=Latest(("DCGM_FI_DEV_GPU_UTIL",)), system="dcgm"),
    "own": Rule(name="own", value=Latest(("own",)), prometheus_query='running{engine="1"}'),
    "wrong": Rule(name="wrong", value=Latest(("wrong",)), prometheus_query="sum(("),
}


def page(seconds: float) -> str:
    """Counters grow by 100 tokens, 10 requests, 5,000 us of queue a second; half of all TTFTs are below 0.1 s."""
    tokens, requests = seconds * 100, seconds * 10
    return f"""
vllm:gpu_cache_usage_perc{{namespace="llm",pod="old-0"}} 0.25
vllm:gpu_cache_usage_perc{{namespace="llm",pod="new-0"}} 0.99
vllm:kv_cache_usage_perc{{namespace="llm",pod="new-0"}} 0.5
tokens_total{{namespace="llm",pod="new-0",engine="0"}} {tokens}
requests_total{{namespace="llm",pod="new-0",model="a"}} {requests}
requests_total{{namespace="llm",pod="new-0",model="b"}} {requests}
queue_us{{namespace="llm",pod="new-0",model="a"}} {seconds * 5000}
queue_us{{namespace="llm",pod="new-0",model="b"}} {seconds * 5000}
ttft_seconds_bucket{{namespace="llm",pod="new-0",engine="0",le="0.1"}} {requests * 0.5}
ttft_seconds_bucket{{namespace="llm",pod="new-0",engine="0",le="0.2"}} {requests}
ttft_seconds_bucket{{namespace="llm",pod="new-0",engine="0",le="+Inf"}} {requests}
running{{namespace="llm",pod="new-0",engine="0"}} 3
running{{namespace="llm",pod="new-0",engine="1"}} 4
waiting{{namespace="llm",pod="new-0",engine="0"}} 10
DCGM_FI_DEV_GPU_UTIL{{namespace="gpu-operator",pod="dcgm-x",exported_namespace="llm",exported_pod="gpu-0",gpu="0"}} 80
DCGM_FI_DEV_GPU_UTIL{{namespace="gpu-operator",pod="dcgm-x",gpu="1"}} 0
nan{{namespace="llm",pod="new-0"}} NaN
"""


@contextmanager
def pages() -> Iterator[int]:
    began = time.monotonic()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page(time.monotonic() - began + 1000).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def prometheus(folder: Path, scraped_port: int, web_config: str = "") -> Iterator[int]:
    """A server that has scraped the page at least once a second for as long as it is up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "prometheus.yml").write_text(f"""
scrape_configs:
- job_name: page
  scrape_interval: 1s
  scrape_timeout: 1s
  honor_labels: true
  static_configs: [{{targets: ["127.0.0.1:{scraped_port}"], labels: {{cluster: a}}}}]
""")
    (folder / "web.yml").write_text(web_config)
    command = [
        str(BINARY),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={folder / 'web.yml'}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own arguments
    try:
        for _ in range(200):
            if "Server is ready" in (folder / "log").read_text():
                break
            assert process.poll() is None, (folder / "log").read_text()[-500:]
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def collect(source: PrometheusSource, rules=None):
    return asyncio.run(source.collect(rules or tuple(RULES.values()), PODS, time.time_ns()))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    with pages() as scraped, prometheus(tmp_path_factory.mktemp("prometheus"), scraped) as port:
        url = f"http://127.0.0.1:{port}"
        source = PrometheusSource(PrometheusSettings(url=url, absent_retry_seconds=0))
        for _ in range(150):  # a rate is true when its window is full
            rates = collect(source, [RULES["tokens"]]).series["tokens"]
            if rates and (rates[0].value or 0) > 90:
                break
            time.sleep(0.1)
        asyncio.run(source.close())
        yield url


@pytest.fixture(params=[False, True], ids=["raw-samples", "exact-names-as-at-google"])
def reading(request, server):
    class Exact(PrometheusSettings):
        google_auth: bool = request.param

    source = PrometheusSource(
        Exact(url=server, absent_retry_seconds=0, extra_labels=MATCHED), auth=lambda prepared: prepared
    )
    try:
        yield collect(source)
    finally:
        asyncio.run(source.close())


def values(reading, rule: str) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for one in reading.series[rule]:
        found.setdefault(one.pod.name, []).append(one.value)
    return {pod: sorted(each) for pod, each in found.items()}


def test_values_are_those_of_the_page(reading):
    assert values(reading, "kv") == {"old-0": [0.25], "new-0": [0.5]}
    assert values(reading, "demand") == {"new-0": [13.0]}  # engine 1 has no queue
    assert values(reading, "gpu") == {"gpu-0": [80.0]}
    assert values(reading, "own") == {"new-0": [4.0]}
    assert values(reading, "tokens")["new-0"] == [pytest.approx(100.0, rel=0.2)]
    assert values(reading, "queue")["new-0"] == [pytest.approx(500.0, rel=1e-6)] * 2
    assert values(reading, "ttft")["new-0"] == [pytest.approx(0.1, rel=1e-6)]
    assert values(reading, "missed")["new-0"] == [pytest.approx(0.25, rel=1e-6)]
    assert reading.notes == {}


def test_a_query_with_a_fault_fails_alone(reading):
    assert reading.failures.keys() == {"wrong"}
    assert "bad_data" in str(reading.failures["wrong"])
    assert reading.series.keys() == RULES.keys() - {"wrong"}


@pytest.mark.parametrize("exact_names", [False, True])
def test_every_rule_of_the_catalogue_is_a_query_that_prometheus_takes(server, exact_names):
    source = PrometheusSource(
        PrometheusSettings(url=server, absent_retry_seconds=0, google_auth=exact_names), auth=lambda prepared: prepared
    )
    reading = collect(source, CATALOGUE_RULES)
    asyncio.run(source.close())
    assert reading.failures == {}
    assert reading.series.keys() == reading.queries.keys()
    assert len(reading.series) > 50


def test_labels_of_the_exporter_stay(reading):
    assert {one.labels["engine"] for one in reading.series["tokens"]} == {"0"}
    assert {"engine": "1", "job": "page"}.items() <= dict(reading.series["own"][0].labels).items()


def test_times_are_those_of_the_scrapes(server):
    """Two collections within one scrape interval see the same instants; evaluation times would differ."""
    source = PrometheusSource(PrometheusSettings(url=server, absent_retry_seconds=0))
    rules = [RULES[name] for name in ("kv", "tokens", "queue", "ttft", "demand", "gpu", "own")]
    scraped: set[int] = set()
    for _ in range(4):
        before = time.time_ns()
        for found in collect(source, rules).series.values():
            scraped |= {one.at_ns for one in found}
        assert before - max(scraped) < 2.5 * NS_PER_SECOND
    asyncio.run(source.close())
    # Four collections of 7 rules take a fraction of a second, in which at most a scrape or two happen.
    assert 1 <= len(scraped) <= 3


def test_nan_is_no_value(server):
    source = PrometheusSource(PrometheusSettings(url=server, absent_retry_seconds=0))
    (series,) = collect(source, [Rule(name="nan", value=Latest(("nan",)))]).series["nan"]
    asyncio.run(source.close())
    assert (series.value, series.why) == (None, "NaN")


def test_matchers_of_another_cluster_find_nothing(server):
    source = PrometheusSource(PrometheusSettings(url=server, absent_retry_seconds=0, extra_labels={"cluster": "b"}))
    reading = collect(source, [RULES["kv"], RULES["ttft"]])
    asyncio.run(source.close())
    assert reading.series == {"kv": [], "ttft": []}


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_prometheus_reads_a_quoted_text_as_it_was_meant(server, text):
    """A label set from the literal comes back equal, so no value can break out of a query."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        query = f'label_replace(vector(1), "x", {quoted(text.replace("$", ""))}, "", "")'
        result = session.get(f"{server}/api/v1/query", params={"query": query}, timeout=5).json()
    assert result["data"]["result"][0]["metric"].get("x", "") == text.replace("$", "")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """ca.pem, and server and client certificates by it; stranger.pem by nobody known."""
    folder = tmp_path_factory.mktemp("certificates")
    ca_key, ca = _certificate("test CA", None, None, folder / "ca")
    _certificate("server", ca, ca_key, folder / "server")
    _certificate("client", ca, ca_key, folder / "client")
    _certificate("stranger", None, None, folder / "stranger")
    return folder


def _certificate(name, ca, ca_key, path):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if ca is None else ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    certificate = builder.sign(key if ca_key is None else ca_key, hashes.SHA256())
    path.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key, certificate


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, certificates) -> Iterator[str]:
    """Wants a client certificate of the CA, and a password."""
    web_config = f"""
tls_server_config:
  cert_file: {certificates / "server.pem"}
  key_file: {certificates / "server.key"}
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: {certificates / "ca.pem"}
basic_auth_users: {{adapter: "{PASSWORD_BCRYPT}"}}
"""
    with pages() as scraped, prometheus(tmp_path_factory.mktemp("guarded"), scraped, web_config) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("client", "ca", "password", "reason"),
    [
        pytest.param("client", "ca", PASSWORD, None, id="certificate-and-password"),
        pytest.param("client", "ca", "guess", "unauthorized", id="wrong-password"),
        pytest.param("stranger", "ca", PASSWORD, "connection", id="a-strangers-certificate"),
        pytest.param(None, "ca", PASSWORD, "connection", id="no-certificate"),
        pytest.param("client", "stranger", PASSWORD, "connection", id="a-server-of-another-CA"),
    ],
)
def test_who_asks_and_who_answers_are_checked(guarded, certificates, tmp_path, client, ca, password, reason):
    (tmp_path / "user").write_text("adapter")
    (tmp_path / "password").write_text(password + "\n")
    settings = PrometheusSettings(
        url=guarded,
        ca_file=certificates / f"{ca}.pem",
        cert_file=client and certificates / f"{client}.pem",
        key_file=client and certificates / f"{client}.key",
        username_file=tmp_path / "user",
        password_file=tmp_path / "password",
    )
    source = PrometheusSource(settings)
    try:
        if reason is None:
            assert collect(source, [RULES["kv"]]).failures == {}
        else:
            with pytest.raises(SourceUnavailable) as caught:
                collect(source, [RULES["kv"]])
            assert caught.value.reason == reason
    finally:
        asyncio.run(source.close())
