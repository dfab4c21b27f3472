"""A Prometheus behind the adapter, beside the pods' own pages or alone: failover, and every way to fail."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from adapter_world import (
    EXTERNAL,
    PAGE_0,
    PODS,
    WAITING,
    Adapter,
    configuration,
    page,
    peak_memory,
    running,
    workload,
)
from aiohttp import web
from fake_kube_api import serving

MEGABYTE = 1024 * 1024


class FakePrometheus:
    """Knows the queue of some pods: pod -> (value, Unix second). fault: what it answers instead, whatever is asked;
    queue_fault: the same where the queue is asked for."""

    def __init__(self) -> None:
        self.queue: dict[str, tuple[float, int]] = {}
        self.fault: web.Response | None = None
        self.queue_fault: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.fault is not None:
            fault, body = self.fault, self.fault.body
            assert isinstance(body, bytes)
            return web.Response(status=fault.status, body=body, headers=fault.headers)
        query = request.query["query"]
        rows = []
        if query.endswith("[120s]") and WAITING in re.split(r'["|]', query):
            if self.queue_fault is not None:
                return await self.queue_fault(request)
            rows = [
                {"metric": {"__name__": WAITING, "namespace": "llm", "pod": pod}, "values": [[second, str(value)]]}
                for pod, (value, second) in self.queue.items()
            ]
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": rows}})


async def fifty_megabytes(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the adapter hangs up on what is too long
        for _ in range(50):
            await response.write(b" " * MEGABYTE)
    return response


def throttled(retry_after: str = "30") -> web.Response:
    return web.json_response(
        {"status": "error", "errorType": "too_many_requests", "error": "quota exceeded"},
        status=429,
        headers={"Retry-After": retry_after},
    )


@asynccontextmanager
async def with_prometheus(
    folder: Path, *, scraped: bool, **settings: object
) -> AsyncIterator[tuple[Adapter, FakePrometheus]]:
    """The two pods, scraped first if at all, and known to a Prometheus. Not collected yet."""
    fake = FakePrometheus()
    async with serving(fake.handle) as url:
        prometheus = {"url": url, "absentRetrySeconds": 0, **settings}
        sources = [{"scrape": {"timeoutSeconds": 1}}] * scraped + [{"prometheus": prometheus}]
        async with running(folder, configuration(folder, sources=sources, failbackSeconds=60)) as adapter:
            adapter.pages.show("/0", PAGE_0)
            adapter.pages.show("/1", f"{WAITING} 1\n")
            groups = workload(adapter.pages)[:2]
            adapter.list_targets(*(groups if scraped else [{**one, "targets": []} for one in groups]))
            yield adapter, fake


def now(adapter: Adapter) -> int:
    return adapter.clock.second


async def test_a_metric_fails_over_to_prometheus_before_it_is_stale_and_back_when_the_pods_have_been_well(
    tmp_path: Path,
) -> None:
    """Pods' pages say 12.5 and 1, Prometheus 20 and 30. In steps of 15 s: one round of good pages, four of failing
    ones, a good one, three failing ones (a second break), and then good ones, of which five span failbackSeconds."""
    async with with_prometheus(tmp_path, scraped=True) as (adapter, fake):
        good = dict(adapter.pages.answers)
        bad = dict.fromkeys(good, page("", status="500 Internal Server Error"))
        seen = []
        for pages in [good, bad, bad, bad, bad, good, bad, bad, bad, good, good, good, good, good]:
            adapter.pages.answers = dict(pages)
            fake.queue = {"vllm-0": (20, now(adapter)), "vllm-1": (30, now(adapter))}
            await adapter.collect()
            values, times = await adapter.values(), await adapter.times()
            seen.append({"12500m": "pods", "20000m": "prometheus"}[values["vllm-0"]])
            assert values == ({"vllm-0": "12500m", "vllm-1": "1000m"} if seen[-1] == "pods" else
                              {"vllm-0": "20000m", "vllm-1": "30000m"})  # fmt: skip
            assert all(_age(now(adapter), time) <= 30 for time in times.values()), "left before half its max age"
            adapter.clock.second += 15
    assert seen == ["pods"] * 3 + ["prometheus"] * 10 + ["pods"]


def _age(second: int, time: str) -> int:
    hours, minutes, seconds = (int(part) for part in time.rstrip("Z").split(":"))
    return second % 86_400 - (hours * 3600 + minutes * 60 + seconds)


async def test_a_change_of_source_shows_in_the_log_and_in_explain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with with_prometheus(tmp_path, scraped=True) as (adapter, fake):
        await adapter.collect()
        adapter.pages.answers = {}
        fake.queue = {"vllm-0": (20, now(adapter) + 45)}
        await adapter.collect(after_seconds=45)
        explained = await adapter.get_json(f"{PODS}/*/{WAITING}?explain=true")
    assert explained["source"] == "prometheus"
    pods, prometheus = explained["sources"]
    assert (pods["name"], pods["inUse"], prometheus["inUse"]) == ("scrape", False, True)
    assert "none of 2 pages could be had" in pods["error"]
    assert prometheus["query"].endswith("[120s]")
    assert f"metric changes its source: metric={WAITING} from=scrape to=prometheus" in caplog.text


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        pytest.param(throttled(), "throttled", "throttled us with 429 (too_many_requests: quota exceeded)", id="429"),
        pytest.param(web.Response(status=500, body=b"oops"), "status", "status was 500 (oops)", id="500"),
        pytest.param(web.Response(status=401, body=b""), "unauthorized", "refused us with 401", id="401"),
        pytest.param(
            web.Response(body=b"<html>log in</html>", content_type="text/html"),
            "malformed",
            "content type was 'text/html'",
            id="wrong-content-type",
        ),
        pytest.param(
            web.Response(body=b'{"status":"success","data":{"result":[', content_type="application/json"),
            "truncated",
            "was not JSON",
            id="truncated",
        ),
    ],
)
async def test_a_backend_that_fails_is_unavailable_with_its_own_words_and_never_not_found(
    tmp_path: Path, fault: web.Response, reason: str, words: str
) -> None:
    """From the start; and once the last values of before have grown too old (60 s, and a lag of 60 s)."""
    async with with_prometheus(tmp_path, scraped=False, concurrency=1) as (adapter, fake):
        fake.fault = fault
        await adapter.collect()
        for path in (f"{PODS}/*/{WAITING}", f"{EXTERNAL}/{WAITING}"):
            code, message = await adapter.refusal(path)
            assert (code, words in message) == (503, True), message
        assert (await adapter.get("/livez"))[0] == 200
        assert (await adapter.get("/readyz"))[0] == 503
        own = await adapter.own_metrics()
        assert own[f'leadtime_adapter_source_failures_total{{reason="{reason}",source="prometheus"}}'] == 1
        assert own['leadtime_adapter_source_up{source="prometheus"}'] == 0

        fake.fault, fake.queue = None, {"vllm-0": (20, now(adapter))}
        await adapter.collect()
        assert await adapter.values() == {"vllm-0": "20000m"}

        fake.fault = fault
        await adapter.collect(after_seconds=119)
        assert await adapter.values() == {"vllm-0": "20000m"}
        adapter.clock.second += 1
        for path in (f"{PODS}/*/{WAITING}", f"{EXTERNAL}/{WAITING}"):
            code, message = await adapter.refusal(path)
            assert (code, "last sample 121 s old" in message, words in message) == (503, True, True), message


async def test_an_answer_of_50_mb_costs_its_rule_and_a_bounded_piece_of_memory(tmp_path: Path) -> None:
    async with with_prometheus(tmp_path, scraped=False) as (adapter, fake):
        fake.queue = {"vllm-0": (20, now(adapter))}
        await adapter.collect()
        fake.queue_fault = fifty_megabytes
        with peak_memory() as memory:
            await adapter.collect(after_seconds=60)
        assert memory.peak_growth_bytes < 60 * MEGABYTE
        assert await adapter.values() == {"vllm-0": "20000m"}
        code, message = await adapter.refusal(f"{PODS}/*/tgi_queue_size")
        assert (code, "source prometheus gives no series of it" in message) == (404, True), "the others were asked"
        adapter.clock.second += 61
        code, message = await adapter.refusal(f"{EXTERNAL}/{WAITING}")
        assert (code, "answer was over 16777216 bytes" in message) == (503, True), message


async def test_a_slow_backend_is_given_up_and_the_pods_own_values_stay(tmp_path: Path) -> None:
    async with with_prometheus(tmp_path, scraped=True, timeoutSeconds=0.1) as (adapter, fake):
        stopped = asyncio.Event()

        async def slow(_: web.Request) -> web.StreamResponse:
            await stopped.wait()
            return web.Response()

        fake.queue_fault = slow
        await adapter.collect()
        stopped.set()
        assert await adapter.values() == {"vllm-0": "12500m", "vllm-1": "1000m"}
        explained = await adapter.get_json(f"{PODS}/*/{WAITING}?explain=true")
        assert "no answer within timeoutSeconds=0.1" in explained["sources"][1]["error"]


async def test_a_pod_that_prometheus_still_knows_but_the_cluster_does_not_is_left_out(tmp_path: Path) -> None:
    """Prometheus answers for five minutes about a target that is gone."""
    async with with_prometheus(tmp_path, scraped=False) as (adapter, fake):
        fake.queue = {"vllm-0": (20, now(adapter)), "vllm-9": (99, now(adapter))}
        await adapter.collect()
        assert await adapter.values() == {"vllm-0": "20000m"}
        items = (await adapter.get_json(f"{EXTERNAL}/{WAITING}"))["items"]
        assert [item["value"] for item in items] == ["20000m"]
