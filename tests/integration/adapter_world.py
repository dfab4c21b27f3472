"""The adapter as its clients meet it: `serve` with real HTTPS and real metrics pages, in a time that the test sets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from cryptography import x509
from made_certificates import SERVER, Made, client_context, make

from adapter.configuration_file import parse_configuration
from adapter.server import serve
from adapter.settings import AdapterSettings

START_SECOND = 1_700_000_000  # 2023-11-14T22:13:20Z
NS_PER_SECOND = 1_000_000_000
WAITING = "vllm:num_requests_waiting"
PODS = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/llm"

Configuration: TypeAlias = dict[str, Any]
"""The configuration file's document."""


# Certificates.

LOOPBACK = ((x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False),)
SERVING_CA, CLIENT_CA = make("serving-ca", ca=True), make("client-ca", ca=True)
SERVING = make("leadtime-adapter", SERVING_CA, uses=SERVER, more=LOOPBACK)
HPA = make("hpa", CLIENT_CA)


def write_pair(folder: Path, pair: Made) -> dict[str, str]:
    """The section servingCertificate with this pair, in files of the folder."""
    files = {"certFile": folder / "serving.crt", "keyFile": folder / "serving.key"}
    files["certFile"].write_text(pair.pem)
    files["keyFile"].write_text(pair.key_pem)
    return {key: str(path) for key, path in files.items()}


def configuration(folder: Path, *, scrape: Mapping[str, object] | None = None, **changes: object) -> Configuration:
    """A configuration without a cluster: pods in the folder's targets.json, certificates in its files."""
    (folder / "client-ca.pem").write_text(CLIENT_CA.pem)
    if not (folder / "targets.json").exists():
        (folder / "targets.json").write_text("[]")
    return {
        "server": {"host": "127.0.0.1", "port": 0},
        "servingCertificate": write_pair(folder, SERVING),
        "authentication": {"clientCAFile": str(folder / "client-ca.pem")},
        "discovery": {"targetsFile": str(folder / "targets.json")},
        "sources": [{"scrape": dict(scrape or {})}],
        **changes,
    }


def settings_of(document: Configuration) -> AdapterSettings:
    """As the file with this document is read (JSON is YAML)."""
    return parse_configuration(json.dumps(document), "adapter.yaml")


# Pods.

Answer: TypeAlias = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] | None
"""What a page answers: a whole HTTP response, whatever is written, or nothing ever."""


def page(
    body: str | bytes,
    *,
    status: str = "200 OK",
    content_type: str = "text/plain; version=0.0.4",
    missing_bytes: int = 0,
    headers: str = "",
) -> bytes:
    """An HTTP response. missing_bytes: how much more is announced than is sent. headers: whole lines."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(content) + missing_bytes}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return ("\r\n".join(lines) + f"\r\n{headers}\r\n").encode() + content


@dataclass
class Pages:
    """Metrics pages on the loopback, by path; a path without one answers 500.

    asked: paths in the order of requests. on_request: called with each path. hold: what every request waits for.
    at_once: the most requests that ever waited together.
    """

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    on_request: Callable[[str], object] = lambda _: None
    hold: Callable[[], Awaitable[object]] | None = None
    at_once: int = 0
    _inside: int = 0

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Pages"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    def show(self, path: str, text: str) -> None:
        self.answers[path] = page(text)

    def group(self, path: str, **labels: str) -> dict[str, object]:
        """An entry of a targets file."""
        return {"targets": [f"127.0.0.1:{self.port}"], "labels": {"__metrics_path__": path, **labels}}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
            self.asked.append(path)
            self.on_request(path)
            if self.hold is not None:
                self._inside += 1
                self.at_once = max(self.at_once, self._inside)
                await self.hold()
                self._inside -= 1
            answer = self.answers.get(path, page("told to fail", status="500 Internal Server Error"))
            if answer is None:
                await reader.read()  # until the client gives up
            elif callable(answer):
                await answer(writer)
            else:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up
        finally:
            writer.close()


# Time.


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
        async with asyncio.timeout(30):
            await done

    def end(self) -> None:
        self._asked.put_nowait(None)


# The running adapter.


@dataclass
class Adapter:
    """A running adapter and its world. folder: where its files are, targets.json among them."""

    port: int
    folder: Path
    settings: AdapterSettings
    pages: Pages
    clock: HandClock
    trigger: HandTrigger
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def list_targets(self, *groups: dict[str, object]) -> None:
        (self.folder / "targets.json").write_text(json.dumps(groups))

    async def collect(self, *, after_seconds: int = 0, times: int = 1) -> None:
        """One collection of every source, this much later; or several, each this much after the one before."""
        for _ in range(times):
            self.clock.second += after_seconds
            await self.trigger.collect()

    async def get(self, path: str, session: aiohttp.ClientSession | None = None, **headers: str) -> tuple[int, str]:
        """Status and body. No answer may carry Retry-After: it would make an HPA worker sleep."""
        async with (session or self.session).get(f"{self.url}{path}", headers=headers) as response:
            assert "Retry-After" not in response.headers
            return response.status, await response.text()

    async def get_json(self, path: str, session: aiohttp.ClientSession | None = None) -> dict[str, Any]:
        status, text = await self.get(path, session)
        assert status == 200, text
        loaded = json.loads(text)
        assert isinstance(loaded, dict)
        return loaded

    async def values(self, metric: str = WAITING, *, of: str = f"{PODS}/*", query: str = "") -> dict[str, str]:
        """Object -> value, of a custom metric."""
        items = (await self.get_json(f"{of}/{metric}{query}"))["items"]
        return {item["describedObject"]["name"]: item["value"] for item in items}

    async def times(self, metric: str = WAITING) -> dict[str, str]:
        """Pod -> time of its value, without the day."""
        items = (await self.get_json(f"{PODS}/*/{metric}"))["items"]
        return {item["describedObject"]["name"]: item["timestamp"][11:] for item in items}

    async def refusal(self, path: str, session: aiohttp.ClientSession | None = None) -> tuple[int, str]:
        """Code and message of the Status that answers, in the place of a value."""
        status, text = await self.get(path, session)
        body = json.loads(text)
        assert body["kind"] == "Status", text[:1000]
        assert body["code"] == status, text
        assert "retryAfterSeconds" not in text
        return status, body["message"]

    async def own_metrics(self) -> dict[str, float]:
        """Sample, as its line begins -> value."""
        status, text = await self.get("/metrics")
        assert status == 200
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def client(folder: Path, pair: Made | None = HPA, *sent: Made, server_ca: Made = SERVING_CA) -> aiohttp.ClientSession:
    """A client that shows this certificate, or none."""
    context = client_context(folder, server_ca.pem, pair, *sent)
    connector = aiohttp.TCPConnector(ssl=context)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))


@asynccontextmanager
async def running(folder: Path, document: Configuration | None = None, *, hpa: Made = HPA) -> AsyncIterator[Adapter]:
    """The adapter with this configuration, none collected yet; it must end well. hpa: the certificate of its client."""
    settings = settings_of(document if document is not None else configuration(folder))
    clock, trigger = HandClock(), HandTrigger()
    async with Pages().served() as pages:
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(settings, clock=clock, trigger=trigger, on_listening=listening.set_result))
        await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        try:
            async with client(folder, hpa) as session:
                yield Adapter(listening.result(), folder, settings, pages, clock, trigger, session)
        finally:
            trigger.end()
            await asyncio.wait_for(serving, 10)


# Two vLLM pods and a DCGM exporter.

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


def workload(pages: Pages) -> list[dict[str, object]]:
    """The targets file's groups of the three."""
    return [
        pages.group("/0", namespace="llm", pod="vllm-0", app="vllm", tier="a"),
        pages.group("/1", namespace="llm", pod="vllm-1", app="vllm", tier="b"),
        pages.group("/dcgm", namespace="gpu", pod="dcgm-x", role="exporter"),
    ]


@asynccontextmanager
async def collected(folder: Path, document: Configuration | None = None) -> AsyncIterator[Adapter]:
    """The three pods, collected once at START_SECOND."""
    async with running(folder, document) as adapter:
        for path, text in {"/0": PAGE_0, "/1": PAGE_1, "/dcgm": DCGM_PAGE}.items():
            adapter.pages.show(path, text)
        adapter.list_targets(*workload(adapter.pages))
        await adapter.collect()
        yield adapter


# Memory.


class Memory:
    """peak_growth_bytes: how far the resident set was above where it began, once the block has ended."""

    peak_growth_bytes = 0


@contextmanager
def peak_memory() -> Iterator[Memory]:
    """Of this process, the clients and fakes of the test included. Linux only (proc(5), clear_refs and VmHWM)."""
    memory = Memory()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_bytes()
    yield memory
    memory.peak_growth_bytes = resident_bytes(peak=True) - before


def resident_bytes(process_id: int | str = "self", *, peak: bool = False) -> int:
    """What a process occupies, or has at its most."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {wanted} of process {process_id}")
