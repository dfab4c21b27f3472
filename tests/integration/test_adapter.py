"""The adapter as its clients meet it: real HTTPS, real metrics pages, injected time."""

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typer.testing import CliRunner

from adapter.cli import app as cli
from adapter.errors import BadInput
from adapter.server import serve
from adapter.settings import AdapterSettings, read_settings
from adapter.store import NS_PER_SECOND

START_SECOND = 1_700_000_000  # 2023-11-14T22:13:20Z
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods"
WAITING = "vllm:num_requests_waiting"
METRIC_404 = "the server could not find the metric"
RESOURCE_404 = "the server could not find the requested resource"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/llm"

PAGE_0 = """\
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="llama"} 3.0
vllm:num_requests_waiting{engine="1",model_name="llama"} 9.5
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="llama"} 0.75
"""
PAGE_1 = """\
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="mistral"} 1.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0",model_name="mistral"} 0.125
"""
DCGM_PAGE = """\
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",namespace="llm",pod="vllm-0"} 40
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b",namespace="llm",pod="vllm-0"} 80
"""


# Certificates.


class Authority:
    """A certificate authority that writes what it signs into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}-ca.pem"
        certificate = self._sign(self._name, self._key, ca=True, usage=None)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, common_name: str, *, client: bool) -> tuple[Path, Path]:
        """A certificate and its key, as PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._sign(subject, key, ca=False, usage=usage)
        files = (self.file.with_suffix(f".{common_name}.crt"), self.file.with_suffix(f".{common_name}.key"))
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool, usage: x509.ObjectIdentifier | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_key_usage(ca=ca), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    """What strict verification (the default from Python 3.13) asks for."""
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "true")


@pytest.fixture
def settings(tmp_path: Path, authority: Authority) -> AdapterSettings:
    certificate, key = authority.issue("adapter", client=False)
    (tmp_path / "targets.json").write_text("[]")
    return read_settings(
        {
            "host": "127.0.0.1",
            "port": 0,
            "tls_cert_file": certificate,
            "tls_key_file": key,
            "client_ca_file": authority.file,
            "targets_file": tmp_path / "targets.json",
        }
    )


# Pods, time, and the running adapter.


@dataclass
class Pages:
    """Metrics pages over HTTP, by path. A path without a page answers 500.

    hold: what every request waits for. at_once: the most requests that ever waited together.
    """

    port: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    hold: Callable[[], Awaitable[object]] | None = None
    at_once: int = 0
    _inside: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        if self.hold is not None:
            self._inside += 1
            self.at_once = max(self.at_once, self._inside)
            await self.hold()
            self._inside -= 1
        text = self.texts.get(request.path)
        return web.Response(status=500) if text is None else web.Response(text=text)

    def group(self, path: str, **labels: str) -> dict[str, object]:
        return {"targets": [f"127.0.0.1:{self.port}"], "labels": {"__metrics_path__": path, **labels}}


class HandClock:
    """A clock that stands still until it is set, and can be told to fail."""

    def __init__(self) -> None:
        self.second = START_SECOND
        self.broken = False

    def now_ns(self) -> int:
        if self.broken:
            raise RuntimeError("the secret of the clock")
        return self.second * NS_PER_SECOND + 999_999_999


class HandTrigger:
    """Asks for a collection when told to, and knows when it is done."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[asyncio.Future[None] | None] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[None]:
        while (done := await self._asked.get()) is not None:
            yield
            done.set_result(None)

    async def collect(self) -> None:
        done = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(done)
        await done

    def end(self) -> None:
        self._asked.put_nowait(None)


@dataclass
class Adapter:
    """A running adapter with its world: pages, targets, clock, trigger."""

    port: int
    settings: AdapterSettings
    pages: Pages
    clock: HandClock
    trigger: HandTrigger
    session: aiohttp.ClientSession

    def list_targets(self, *groups: dict[str, object]) -> None:
        self.settings.targets_file.write_text(json.dumps(groups))

    async def get(self, path: str, session: aiohttp.ClientSession | None = None, **headers: str) -> tuple[int, str]:
        async with (session or self.session).get(f"https://127.0.0.1:{self.port}{path}", headers=headers) as response:
            assert "Retry-After" not in response.headers
            return response.status, await response.text()

    async def get_json(self, path: str) -> dict[str, object]:
        status, text = await self.get(path)
        assert status == 200, text
        loaded = json.loads(text)
        assert isinstance(loaded, dict)
        return loaded

    async def values(self, path: str) -> dict[str, str]:
        """Pod -> value."""
        body = await self.get_json(path)
        items = body["items"]
        assert isinstance(items, list)
        return {item["describedObject"]["name"]: item["value"] for item in items}


def client(authority: Authority, pair: tuple[Path, Path] | None) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=authority.file)
    if pair is not None:
        context.load_cert_chain(*pair)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=10))


@asynccontextmanager
async def running(settings: AdapterSettings, authority: Authority) -> AsyncIterator[Adapter]:
    pages, clock, trigger = Pages(), HandClock(), HandTrigger()
    pods = web.Application()
    pods.router.add_get("/{path:.*}", pages.answer)
    runner = web.AppRunner(pods)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pages.port = runner.addresses[0][1]
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, clock=clock, trigger=trigger, on_listening=listening.set_result))
    await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
    try:
        async with client(authority, authority.issue("hpa", client=True)) as session:
            yield Adapter(await listening, settings, pages, clock, trigger, session)
    finally:
        trigger.end()
        await asyncio.wait_for(serving, 10)
        await runner.cleanup()


@pytest.fixture
async def adapter(settings: AdapterSettings, authority: Authority) -> AsyncIterator[Adapter]:
    """Two vLLM pods and a DCGM exporter, collected once at START_SECOND."""
    async with running(settings, authority) as one:
        one.pages.texts.update({"/0": PAGE_0, "/1": PAGE_1, "/dcgm": DCGM_PAGE})
        one.list_targets(*world(one.pages))
        await one.trigger.collect()
        yield one


def world(pages: Pages) -> list[dict[str, object]]:
    return [
        pages.group("/0", namespace="llm", pod="vllm-0", app="vllm", tier="a"),
        pages.group("/1", namespace="llm", pod="vllm-1", app="vllm", tier="b"),
        pages.group("/dcgm", namespace="gpu", pod="dcgm-x", role="exporter"),
    ]


# Values.


async def test_v1beta2_is_byte_for_byte_what_the_hpa_reads(adapter: Adapter) -> None:
    status, text = await adapter.get(f"{CUSTOM}/vllm-0/vllm:num_requests_waiting")
    assert status == 200
    assert text == (
        '{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":['
        '{"describedObject":{"kind":"Pod","namespace":"llm","name":"vllm-0","apiVersion":"/v1"},'
        '"metric":{"name":"vllm:num_requests_waiting","selector":null},'
        '"timestamp":"2023-11-14T22:13:20Z","windowSeconds":0,"value":"12500m"}]}'
    )


async def test_v1beta1_has_the_older_field_names(adapter: Adapter) -> None:
    status, text = await adapter.get(f"{CUSTOM}/vllm-0/vllm:kv_cache_usage_perc".replace("v1beta2", "v1beta1"))
    assert status == 200
    assert text == (
        '{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":['
        '{"describedObject":{"kind":"Pod","namespace":"llm","name":"vllm-0","apiVersion":"/v1"},'
        '"metricName":"vllm:kv_cache_usage_perc",'
        '"timestamp":"2023-11-14T22:13:20Z","window":0,"value":"500m","selector":null}]}'
    )


async def test_external_has_one_item_per_series_with_its_labels(adapter: Adapter) -> None:
    status, text = await adapter.get(f"{EXTERNAL}/vllm:num_requests_waiting?labelSelector=pod%3Dvllm-0,engine%3D1")
    assert status == 200
    assert text == (
        '{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":['
        '{"metricName":"vllm:num_requests_waiting","metricLabels":{"engine":"1","model_name":"llama","app":"vllm",'
        '"tier":"a","namespace":"llm","pod":"vllm-0"},"timestamp":"2023-11-14T22:13:20Z","window":0,"value":"9500m"}]}'
    )
    everything = await adapter.get_json(f"{EXTERNAL}/vllm:num_requests_waiting")
    assert [item["value"] for item in everything["items"]] == ["3000m", "9500m", "1000m"]  # type: ignore[attr-defined]


async def test_the_star_lists_every_pod_and_a_label_selector_chooses_among_them(adapter: Adapter) -> None:
    metric = "vllm:num_requests_waiting"
    assert await adapter.values(f"{CUSTOM}/*/{metric}") == {"vllm-0": "12500m", "vllm-1": "1000m"}
    assert await adapter.values(f"{CUSTOM}/%2A/vllm%3Anum_requests_waiting?labelSelector=app%3Dvllm,tier!%3Da") == {
        "vllm-1": "1000m"
    }
    assert await adapter.values(f"{CUSTOM}/*/{metric}?labelSelector=tier+in+(a)") == {"vllm-0": "12500m"}


async def test_a_metric_selector_chooses_series_and_is_told_back(adapter: Adapter) -> None:
    body = await adapter.get_json(f"{CUSTOM}/*/vllm:num_requests_waiting?metricLabelSelector=engine%3D0")
    items = body["items"]
    assert isinstance(items, list)
    assert [item["value"] for item in items] == ["3000m", "1000m"]
    assert items[0]["metric"]["selector"] == {"matchLabels": {"engine": "0"}}


async def test_an_older_name_on_the_page_or_in_the_request_is_the_same_metric(adapter: Adapter) -> None:
    for name in ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"):
        assert await adapter.values(f"{CUSTOM}/*/{name}") == {"vllm-0": "500m", "vllm-1": "125m"}


async def test_gpus_belong_to_the_workloads_pod(adapter: Adapter) -> None:
    assert await adapter.values(f"{CUSTOM}/*/DCGM_FI_DEV_GPU_UTIL") == {"vllm-0": "60000m"}
    status, _ = await adapter.get(f"{CUSTOM}/*/DCGM_FI_DEV_GPU_UTIL".replace("/llm/", "/gpu/"))
    assert status == 404


async def test_external_names_are_found_in_lower_case(adapter: Adapter) -> None:
    body = await adapter.get_json(f"{EXTERNAL}/dcgm_fi_dev_gpu_util")
    assert [item["value"] for item in body["items"]] == ["40000m", "80000m"]  # type: ignore[attr-defined]


# Absence.


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param(f"{CUSTOM}/*/queue_depth", f"{METRIC_404} queue_depth for pods", id="no-such-metric"),
        pytest.param(f"{CUSTOM}/vllm-9/{WAITING}", f"{METRIC_404} {WAITING} for pods vllm-9", id="no-such-pod"),
        pytest.param(
            f"{CUSTOM}/*/{WAITING}?labelSelector=app%3Dtgi", f"{METRIC_404} {WAITING} for pods", id="no-pod-is-selected"
        ),
        pytest.param(
            f"{CUSTOM}/*/m".replace("/pods/", "/deployments.apps/"),
            f"{METRIC_404} m for deployments.apps",
            id="another-resource-than-pods",
        ),
        pytest.param(f"{EXTERNAL}/depth", f"{METRIC_404} depth for provided labels", id="no-such-external-metric"),
        pytest.param("/apis/metrics.k8s.io/v1", RESOURCE_404, id="another-group"),
        pytest.param("/apis/custom.metrics.k8s.io/v1", RESOURCE_404, id="another-version"),
        pytest.param("/api", RESOURCE_404, id="no-such-path"),
    ],
)
async def test_what_is_not_there_is_a_404_status(adapter: Adapter, path: str, message: str) -> None:
    status, text = await adapter.get(path)
    assert status == 404
    assert text == (
        '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        f'"message":"{message}","reason":"NotFound","code":404}}'
    )


async def test_a_bad_selector_is_a_400_status(adapter: Adapter) -> None:
    for path in (f"{CUSTOM}/*/vllm:num_requests_waiting", f"{EXTERNAL}/vllm:num_requests_waiting"):
        status, text = await adapter.get(f"{path}?labelSelector=app+in+vllm")
        assert (status, json.loads(text)["reason"]) == (400, "BadRequest")
        assert "labelSelector: unable to parse requirement" in text


async def test_another_method_is_a_405_status(adapter: Adapter) -> None:
    async with adapter.session.post(f"https://127.0.0.1:{adapter.port}/apis") as response:
        assert (response.status, (await response.json())["reason"]) == (405, "MethodNotAllowed")


async def test_a_value_without_a_number_is_missing_and_says_so(adapter: Adapter) -> None:
    adapter.pages.texts["/0"] = PAGE_0.replace("9.5", "NaN")
    await adapter.trigger.collect()
    assert await adapter.values(f"{CUSTOM}/*/vllm:num_requests_waiting") == {"vllm-1": "1000m"}
    status, text = await adapter.get(f"{CUSTOM}/vllm-0/vllm:num_requests_waiting")
    assert status == 404
    assert "for pods vllm-0: its page gives NaN" in text


async def test_a_value_beyond_a_quantity_is_missing_and_says_so(adapter: Adapter) -> None:
    adapter.pages.texts["/0"] = "vllm:num_requests_waiting 1e30\n"
    await adapter.trigger.collect()
    for path in (f"{CUSTOM}/vllm-0/vllm:num_requests_waiting",
                 f"{EXTERNAL}/vllm:num_requests_waiting?labelSelector=pod%3Dvllm-0"):  # fmt: skip
        status, text = await adapter.get(path)
        assert status == 404
        assert "value 1e+30 is beyond a quantity's range" in text


async def test_a_fault_of_the_adapter_is_a_500_status_that_tells_nothing_and_is_logged(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    adapter.clock.broken = True
    status, text = await adapter.get(f"{CUSTOM}/*/{WAITING}")
    adapter.clock.broken = False
    assert status == 500
    assert text == (
        '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        '"message":"internal server error; the adapter\'s log holds the cause","code":500}'
    )
    assert "the secret of the clock" in caplog.text
    assert (await adapter.get(f"{CUSTOM}/*/{WAITING}"))[0] == 200


# Age.


async def test_a_page_that_fails_keeps_its_values_and_their_time_until_the_max_age(adapter: Adapter) -> None:
    del adapter.pages.texts["/0"]
    adapter.clock.second += 60
    await adapter.trigger.collect()
    body = await adapter.get_json(f"{CUSTOM}/*/vllm:num_requests_waiting")
    times = {item["describedObject"]["name"]: item["timestamp"] for item in body["items"]}  # type: ignore[attr-defined]
    assert times == {"vllm-0": "2023-11-14T22:13:20Z", "vllm-1": "2023-11-14T22:14:20Z"}
    adapter.clock.second += 1
    assert await adapter.values(f"{CUSTOM}/*/vllm:num_requests_waiting") == {"vllm-1": "1000m"}


async def test_values_age_without_collections_and_the_answer_says_how_old_they_are(adapter: Adapter) -> None:
    adapter.clock.second += 95
    status, text = await adapter.get(f"{CUSTOM}/*/vllm:num_requests_waiting")
    assert status == 404
    why = "vllm-0: last sample 95 s old, max age 60 s (and 1 more)"
    assert f"the server could not find the metric vllm:num_requests_waiting for pods: {why}" in text
    status, text = await adapter.get(f"{EXTERNAL}/vllm:num_requests_waiting")
    assert status == 404
    assert "last sample 95 s old, max age 60 s (and 2 more)" in text


async def test_a_samples_own_timestamp_is_what_ages(adapter: Adapter) -> None:
    adapter.pages.texts["/1"] = f"vllm:num_requests_waiting 4 {(START_SECOND - 30) * 1000}\n"
    await adapter.trigger.collect()
    body = await adapter.get_json(f"{CUSTOM}/vllm-1/vllm:num_requests_waiting")
    assert body["items"][0]["timestamp"] == "2023-11-14T22:12:50Z"  # type: ignore[index]
    adapter.clock.second += 31
    status, _ = await adapter.get(f"{CUSTOM}/vllm-1/vllm:num_requests_waiting")
    assert status == 404


async def test_a_pod_that_leaves_the_targets_is_gone_with_the_next_collection(adapter: Adapter) -> None:
    adapter.list_targets(*world(adapter.pages)[1:])
    await adapter.trigger.collect()
    assert await adapter.values(f"{CUSTOM}/*/vllm:num_requests_waiting") == {"vllm-1": "1000m"}
    status, text = await adapter.get(f"{CUSTOM}/*/DCGM_FI_DEV_GPU_UTIL")
    assert status == 404, f"the exporter still speaks of a pod that left: {text}"


async def test_a_broken_targets_file_keeps_the_pods_of_the_last_good_one(adapter: Adapter) -> None:
    adapter.settings.targets_file.write_text("[{")
    adapter.pages.texts["/1"] = "vllm:num_requests_waiting 7\n"
    await adapter.trigger.collect()
    assert (await adapter.values(f"{CUSTOM}/*/vllm:num_requests_waiting"))["vllm-1"] == "7000m"
    _, page = await adapter.get("/metrics")
    assert "leadtime_adapter_targets_file_usable 0.0" in page


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("<html>no metrics here</html>", "malformed", id="a-page-in-another-format"),
        pytest.param("a 1\n" * (3 * 1024 * 1024), "too_large", id="a-page-over-the-limit"),
        pytest.param(None, "status", id="an-error-status"),
    ],
)
async def test_a_bad_page_keeps_the_last_values_and_is_counted(adapter: Adapter, text: str | None, reason: str) -> None:
    adapter.pages.texts.pop("/0")
    if text is not None:
        adapter.pages.texts["/0"] = text
    await adapter.trigger.collect()
    assert (await adapter.values(f"{CUSTOM}/*/vllm:num_requests_waiting"))["vllm-0"] == "12500m"
    _, page = await adapter.get("/metrics")
    assert f'leadtime_adapter_scrape_failures_total{{reason="{reason}"}} 1.0' in page


async def test_a_pod_that_does_not_answer_is_counted_as_a_failed_connection(adapter: Adapter) -> None:
    adapter.list_targets({"targets": ["127.0.0.1:1"], "labels": {"namespace": "llm", "pod": "vllm-2"}})
    await adapter.trigger.collect()
    _, page = await adapter.get("/metrics")
    assert 'leadtime_adapter_scrape_failures_total{reason="connection"} 1.0' in page
    assert 'leadtime_adapter_target_up{target="http://127.0.0.1:1/metrics"} 0.0' in page


async def test_a_pod_that_never_answers_costs_one_timeout(settings: AdapterSettings, authority: Authority) -> None:
    hurried = settings.model_copy(update={"scrape_timeout_seconds": 0.1})
    async with running(hurried, authority) as adapter:
        adapter.list_targets(adapter.pages.group("/0", namespace="llm", pod="vllm-0"))
        answered = asyncio.Event()
        adapter.pages.hold = answered.wait
        await adapter.trigger.collect()
        answered.set()
        _, page = await adapter.get("/metrics")
        assert 'leadtime_adapter_scrape_failures_total{reason="timeout"} 1.0' in page


async def test_no_more_pages_are_fetched_at_a_time_than_set(settings: AdapterSettings, authority: Authority) -> None:
    """Requests are let go in pairs, so the collection ends only if two are ever under way together."""
    async with running(settings.model_copy(update={"max_concurrent_scrapes": 2}), authority) as adapter:
        groups = [adapter.pages.group(f"/{i}", namespace="llm", pod=f"vllm-{i}") for i in range(8)]
        adapter.list_targets(*groups)
        adapter.pages.hold = asyncio.Barrier(2).wait
        await adapter.trigger.collect()
        assert adapter.pages.at_once == 2


# Discovery.


async def test_discovery_names_groups_versions_and_resources(adapter: Adapter) -> None:
    custom = {
        "name": "custom.metrics.k8s.io",
        "versions": [
            {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
            {"groupVersion": "custom.metrics.k8s.io/v1beta1", "version": "v1beta1"},
        ],
        "preferredVersion": {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
    }
    groups = await adapter.get_json("/apis")
    assert groups["kind"] == "APIGroupList"
    assert groups["groups"][0] == custom  # type: ignore[index]
    assert await adapter.get_json("/apis/custom.metrics.k8s.io") == {"kind": "APIGroup", "apiVersion": "v1", **custom}
    for version in ("v1beta1", "v1beta2"):
        resources = await adapter.get_json(f"/apis/custom.metrics.k8s.io/{version}")
        assert resources["groupVersion"] == f"custom.metrics.k8s.io/{version}"
        assert {
            "name": "pods/vllm:num_requests_waiting",
            "singularName": "",
            "namespaced": True,
            "kind": "MetricValueList",
            "verbs": ["get"],
        } in resources["resources"]  # type: ignore[operator]
    _, text = await adapter.get("/apis/external.metrics.k8s.io/v1beta1")
    assert text == (
        '{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":['
        '{"name":"externalmetrics","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]}]}'
    )


async def test_a_request_for_aggregated_discovery_gets_the_plain_list(adapter: Adapter) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    status, text = await adapter.get("/apis", Accept=accept)
    assert (status, json.loads(text)["kind"]) == (200, "APIGroupList")


async def test_discovery_is_complete_before_the_first_collection(
    settings: AdapterSettings, authority: Authority
) -> None:
    async with running(settings, authority) as adapter:
        resources = await adapter.get_json("/apis/custom.metrics.k8s.io/v1beta2")
        assert len(resources["resources"]) > 10  # type: ignore[arg-type]


# Who may ask, and readiness.


async def test_without_a_certificate_everything_but_health_is_a_401_status(
    adapter: Adapter, authority: Authority
) -> None:
    async with client(authority, None) as nobody:
        for path in (f"{CUSTOM}/*/vllm:num_requests_waiting", "/apis", "/metrics", "/nowhere"):
            status, text = await adapter.get(path, nobody)
            assert status == 401
            assert text == (
                '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                '"message":"Unauthorized","reason":"Unauthorized","code":401}'
            )
        for path in ("/healthz", "/livez", "/readyz"):
            assert await adapter.get(path, nobody) == (200, "ok")


async def test_a_certificate_from_another_authority_of_the_same_name_is_dropped(
    adapter: Adapter, authority: Authority
) -> None:
    forged = Authority(authority.folder, "forged").issue("hpa", client=True)
    async with client(authority, forged) as forger:
        with pytest.raises(aiohttp.ClientError):
            await adapter.get("/healthz", forger)


async def test_a_serving_certificate_is_no_client_certificate(adapter: Adapter, authority: Authority) -> None:
    async with client(authority, authority.issue("other", client=False)) as server:
        with pytest.raises(aiohttp.ClientError):
            await adapter.get("/apis", server)


async def test_only_the_allowed_names_may_ask(settings: AdapterSettings, authority: Authority) -> None:
    narrow = settings.model_copy(update={"allowed_names": ("front-proxy-client",)})
    async with running(narrow, authority) as adapter:
        assert (await adapter.get("/apis"))[0] == 401
        async with client(authority, authority.issue("front-proxy-client", client=True)) as proxy:
            assert (await adapter.get("/apis", proxy))[0] == 200


async def test_ready_only_after_the_first_collection(settings: AdapterSettings, authority: Authority) -> None:
    async with running(settings, authority) as adapter:
        assert (await adapter.get("/healthz"))[0] == 200
        assert await adapter.get("/readyz") == (503, "no collection is complete yet")
        await adapter.trigger.collect()
        assert await adapter.get("/readyz") == (200, "ok")


async def test_the_adapter_tells_of_itself(adapter: Adapter) -> None:
    await adapter.get("/apis/nowhere")
    adapter.clock.second += 10
    _, page = await adapter.get("/metrics")
    url = f"http://127.0.0.1:{adapter.pages.port}/0"
    for line in (
        'leadtime_adapter_requests_total{code="404"} 1.0',
        "leadtime_adapter_collections_total 1.0",
        "leadtime_adapter_collection_duration_seconds_count 1.0",
        "leadtime_adapter_request_duration_seconds_count 1.0",
        "leadtime_adapter_series 8.0",
        "leadtime_adapter_oldest_sample_age_seconds 10.0",
        "leadtime_adapter_targets_file_usable 1.0",
        f'leadtime_adapter_target_scrapes_total{{outcome="success",target="{url}"}} 1.0',
    ):
        assert line in page.splitlines()


# Starting and stopping.


async def test_the_end_of_the_trigger_closes_the_port(settings: AdapterSettings, authority: Authority) -> None:
    async with running(settings, authority) as adapter:
        port = adapter.port
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)


def flags(settings: AdapterSettings, **changes: object) -> list[str]:
    names = ("host", "port", "tls_cert_file", "tls_key_file", "client_ca_file", "targets_file")
    values = {name: getattr(settings, name) for name in names} | changes
    return ["serve", *(part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value)))]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda it: {"tls_cert_file": it.tls_cert_file.parent / "none"}, "tls_cert_file: was", id="no-cert"
        ),
        pytest.param(lambda it: {"tls_key_file": it.client_ca_file}, "tls_cert_file, tls_key_file: were", id="no-key"),
        pytest.param(
            lambda it: {"client_ca_file": it.targets_file}, "client_ca_file: was", id="a-ca-file-without-a-ca"
        ),
        pytest.param(lambda it: {"targets_file": it.tls_key_file}, "targets_file: ", id="targets-that-are-not-json"),
        pytest.param(lambda _: {"port": 70000}, "port: was 70000", id="a-port-out-of-range"),
        pytest.param(lambda _: {"host": "192.0.2.1"}, "host, port: were '192.0.2.1', 0", id="anothers-address"),
    ],
)
def test_what_an_operator_gets_wrong_is_one_line_and_exit_2(
    settings: AdapterSettings, spoil: Callable[[AdapterSettings], dict[str, object]], message: str
) -> None:
    result = CliRunner().invoke(cli, flags(settings, **spoil(settings)))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"leadtime adapter: {message}")


def test_a_key_of_another_certificate_is_named(settings: AdapterSettings, authority: Authority) -> None:
    _, other = authority.issue("other", client=False)
    result = CliRunner().invoke(cli, flags(settings, tls_key_file=other))
    assert result.exit_code == 2
    assert "tls_key_file: was" in result.stderr
    assert "must be the key of tls_cert_file" in result.stderr


async def test_a_port_in_use_is_named(adapter: Adapter) -> None:
    taken = adapter.settings.model_copy(update={"port": adapter.port})
    with pytest.raises(BadInput, match=f"host, port: were '127.0.0.1', {adapter.port}, must be .* free port"):
        await serve(taken, clock=adapter.clock, trigger=HandTrigger(), on_listening=lambda _: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_listens_collects_at_once_and_stops_at_a_signal(
    settings: AdapterSettings, number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "adapter",
        *flags(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            assert (await process.stdout.readline()).startswith(b"leadtime adapter: listening on https://127.0.0.1:")
            assert b"collection targets=0 scraped=0 failed=0 series=0" in await process.stderr.readline()
            process.send_signal(number)
            rest = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert (process.returncode, rest) == (0, (b"", b""))
