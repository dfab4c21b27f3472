"""Pages that fail in every way: what the HPA then sees, that the adapter lives, that its memory is bounded."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from adapter_world import (
    EXTERNAL,
    PAGE_0,
    PODS,
    START_SECOND,
    WAITING,
    Adapter,
    Answer,
    collected,
    configuration,
    page,
    peak_memory,
    running,
    workload,
)

OF_NAMESPACE = PODS.removesuffix("pods") + "metrics"
BOTH = {"vllm-0": "12500m", "vllm-1": "1000m"}
MEGABYTE = 1024 * 1024


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with collected(tmp_path, configuration(tmp_path, scrape={"timeoutSeconds": 10})) as one:
        yield one


async def fifty_megabytes(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 52428800\r\n\r\n")
    for _ in range(50):
        writer.write(b"a 1\n" * (MEGABYTE // 4))
        await writer.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def _bomb() -> bytes:
    """50 MB in 50 kB."""
    return page(gzip.compress(b"a 1\n" * (50 * MEGABYTE // 4)), headers="Content-Encoding: gzip\r\n")


PAGES_THAT_FAIL: list[tuple[str, Answer, str]] = [
    ("slow", None, "timeout"),
    ("hangs-up", hang_up, "connection"),
    ("429", page("slow down", status="429 Too Many Requests", headers="Retry-After: 600\r\n"), "throttled"),
    ("500", page("oops", status="500 Internal Server Error"), "status"),
    ("401", page("who are you?", status="401 Unauthorized"), "unauthorized"),
    ("redirect", page("", status="302 Found", headers="Location: http://192.0.2.1/\r\n"), "status"),
    ("truncated", page(PAGE_0, missing_bytes=1000), "truncated"),
    ("50-MB", fifty_megabytes, "too_large"),
    ("50-MB-in-50-kB", _bomb(), "too_large"),
    ("html", page("<html>log in</html>", content_type="text/html"), "malformed"),
    ("json", page('{"a": 1}', content_type="application/json"), "malformed"),
    ("html-that-says-it-is-text", page("<html>log in</html>"), "malformed"),
    ("not-utf-8", page(b'vllm:num_requests_waiting{a="\xff"} 1\n'), "encoding"),
    ("a-line-without-end", page("a" * MEGABYTE), "malformed"),
    ("not-even-http", b"\x15\x03\x01\x00\x02\x02\x16", "connection"),
]


@pytest.mark.parametrize(("answer", "reason"), [pytest.param(*row[1:], id=row[0]) for row in PAGES_THAT_FAIL])
async def test_a_page_that_fails_costs_its_pod_and_only_when_its_last_value_is_too_old(
    tmp_path: Path, answer: Answer, reason: str
) -> None:
    """At once and for 60 s nothing changes but the age. Then the pod is left out of Pods metrics, which the HPA
    treats with caution, and a sum that would miss it is not told. The next good page mends everything.

    A page that takes 30 s is one that takes longer than its timeout: here 0.2 s, and for the large ones 10.
    """
    document = configuration(tmp_path, scrape={"timeoutSeconds": 0.2 if answer is None else 10})
    async with collected(tmp_path, document) as adapter:
        adapter.pages.answers["/0"] = answer
        with peak_memory() as memory:
            await adapter.collect(after_seconds=30, times=2)
        assert memory.peak_growth_bytes < 30 * MEGABYTE
        assert await adapter.values() == BOTH
        assert await adapter.times() == {"vllm-0": "22:13:20Z", "vllm-1": "22:14:20Z"}
        own = await adapter.own_metrics()
        assert own[f'leadtime_adapter_source_failures_total{{reason="{reason}",source="scrape"}}'] == 2
        assert own[f'leadtime_adapter_target_up{{target="http://127.0.0.1:{adapter.pages.port}/0"}}'] == 0

        await adapter.collect(after_seconds=1)
        assert await adapter.values() == {"vllm-1": "1000m"}
        for path in (f"{PODS}/vllm-0/{WAITING}", f"{EXTERNAL}/{WAITING}", f"{OF_NAMESPACE}/{WAITING}"):
            code, message = await adapter.refusal(path)
            assert (code, "last sample 61 s old, max age 60 s" in message) == (404, True), message

        adapter.pages.show("/0", PAGE_0)
        await adapter.collect()
        assert await adapter.values() == BOTH
        assert await adapter.values(of=OF_NAMESPACE) == {"llm": "13500m"}


async def test_a_pod_that_refuses_connections_is_no_other_than_one_that_hangs_up(adapter: Adapter) -> None:
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    down = {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "llm", "pod": "vllm-0", "app": "vllm"}}
    adapter.list_targets(down, *workload(adapter.pages)[1:])
    await adapter.collect(after_seconds=30, times=2)
    assert await adapter.values() == BOTH
    own = await adapter.own_metrics()
    assert own['leadtime_adapter_source_failures_total{reason="connection",source="scrape"}'] == 2
    adapter.clock.second += 1
    assert await adapter.values() == {"vllm-1": "1000m"}


@pytest.mark.parametrize(
    ("policy", "pods", "external"),
    [
        pytest.param("omit", 404, 404, id="omit"),
        pytest.param("hold, holdSeconds: 30", 200, 200, id="hold"),
        pytest.param("notFound", 404, 404, id="not-found"),
        pytest.param("unavailable", 503, 503, id="unavailable"),
    ],
)
async def test_a_rule_says_what_is_told_beyond_the_max_age(
    tmp_path: Path, policy: str, pods: int, external: int
) -> None:
    (tmp_path / "rules.yaml").write_text(
        "apiVersion: adapter.leadtime.dev/v1alpha1\nkind: MetricRules\nrules:\n"
        f"- {{name: depth, latest: {{series: depth}}, maxAgeSeconds: 15, whenStale: {{policy: {policy}}}, "
        f"whenStaleSummed: {{policy: {policy}}}}}\n"
    )
    document = configuration(tmp_path, rules=[str(tmp_path / "rules.yaml")])
    async with running(tmp_path, document) as adapter:
        adapter.pages.show("/0", "depth 4\n")
        adapter.list_targets(adapter.pages.group("/0", namespace="llm", pod="vllm-0"))
        await adapter.collect()
        adapter.clock.second += 45
        for path, code in ((f"{PODS}/*/depth", pods), (f"{EXTERNAL}/depth", external)):
            status, text = await adapter.get(path)
            assert status == code
            assert ('"value":"4000m"' if code == 200 else "last sample 45 s old, max age 15 s") in text
        adapter.clock.second += 1
        assert (await adapter.get(f"{PODS}/*/depth"))[0] == (503 if pods == 503 else 404)


# Numbers, times and labels that cannot be taken as they are.


@pytest.mark.parametrize("number", ["NaN", "+Inf", "-Inf"])
async def test_what_is_no_number_is_missing_and_its_pod_is_not_told_from_what_is_left(
    adapter: Adapter, number: str
) -> None:
    """One of vllm-0's two engines: the other one's 3 would be too low for the pod."""
    missing = 'leadtime_adapter_series_without_value{state="missing"}'
    before = (await adapter.own_metrics())[missing]
    adapter.pages.show("/0", PAGE_0.replace("9.5", number))
    await adapter.collect()
    assert await adapter.values() == {"vllm-1": "1000m"}
    for path in (f"{PODS}/vllm-0/{WAITING}", f"{EXTERNAL}/{WAITING}"):
        code, message = await adapter.refusal(path)
        assert code == 404
        assert number.lstrip("+") in message
    assert (await adapter.own_metrics())[missing] == before + 1


async def test_a_pods_clock_ahead_of_ours_keeps_no_value_fresh(adapter: Adapter) -> None:
    """Its samples say tomorrow; they count as of the scrape, and age from then on."""
    adapter.pages.show("/0", f"{WAITING} 7 {(START_SECOND + 86_400) * 1000}\n")
    await adapter.collect(after_seconds=15)
    assert await adapter.times() == {"vllm-0": "22:13:35Z", "vllm-1": "22:13:35Z"}
    adapter.pages.answers["/0"] = page("", status="500 Internal Server Error")
    await adapter.collect(after_seconds=30, times=2)
    adapter.clock.second += 1
    assert await adapter.values() == {"vllm-1": "1000m"}


async def test_a_pods_clock_behind_ours_makes_its_values_as_old_as_they_say(adapter: Adapter) -> None:
    adapter.pages.show("/0", f"{WAITING} 7 {(START_SECOND - 3600) * 1000}\n")
    await adapter.collect(after_seconds=30, times=2)
    assert await adapter.values() == {"vllm-1": "1000m"}
    code, message = await adapter.refusal(f"{EXTERNAL}/{WAITING}")
    assert (code, "last sample 3661 s old" in message) == (404, True), message


async def test_our_own_clock_may_jump_back(adapter: Adapter) -> None:
    """What was collected before is then from the future; the next collection takes its place."""
    adapter.clock.second -= 3600
    assert await adapter.values() == BOTH
    await adapter.collect()
    assert await adapter.times() == {"vllm-0": "21:13:20Z", "vllm-1": "21:13:20Z"}


async def test_of_duplicate_series_the_first_counts_and_the_others_are_counted(adapter: Adapter) -> None:
    adapter.pages.show("/0", 2 * f'{WAITING}{{engine="0"}} 3\n' + f'{WAITING}{{engine="0"}} 4\n')
    await adapter.collect()
    assert await adapter.values() == BOTH | {"vllm-0": "3000m"}
    own = await adapter.own_metrics()
    assert own['leadtime_adapter_source_failures_total{reason="duplicate",source="scrape"}'] == 2


def _exploded(series: int) -> str:
    """A page that has one series for each of so many requests."""
    lines = (f'{WAITING}{{request_id="{number:032x}"}} 1\n' for number in range(series))
    return 'vllm:kv_cache_usage_perc{engine="0"} 0.5\n' + "".join(lines)


def _with_labels(labels: str) -> str:
    return f"{WAITING}{{{labels}}} 1\nvllm:kv_cache_usage_perc 0.5\n"


@pytest.mark.parametrize(
    ("text", "scrape", "why"),
    [
        pytest.param(lambda: _exploded(80_000), {}, "over 5000 series on the page", id="many-series"),
        pytest.param(
            lambda: _with_labels(",".join(f'l{number}="x"' for number in range(100))),
            {},
            "over 64 labels",
            id="many-labels",
        ),
        pytest.param(
            lambda: _with_labels(f'prompt="{5000 * "x"}"'),
            {},
            "a label value of over 1024 characters",
            id="a-long-value",
        ),
    ],
)
async def test_labels_that_explode_cost_their_metric_and_no_other(
    tmp_path: Path, text: Callable[[], str], scrape: dict[str, object], why: str
) -> None:
    """A sum over those that fit would be wrong, so the page's whole metric is without a value; others stay."""
    async with collected(tmp_path, configuration(tmp_path, scrape=scrape)) as adapter:
        adapter.pages.show("/0", text())
        with peak_memory() as memory:
            for _ in range(3):
                await adapter.collect(after_seconds=15)
        assert memory.peak_growth_bytes < 40 * MEGABYTE
        assert await adapter.values() == {"vllm-1": "1000m"}
        assert (await adapter.values("vllm:kv_cache_usage_perc"))["vllm-0"] == "500m"
        code, message = await adapter.refusal(f"{EXTERNAL}/{WAITING}")
        assert (code, why in message) == (404, True), message
        own = await adapter.own_metrics()
        assert own['leadtime_adapter_source_failures_total{reason="limit",source="scrape"}'] > 0


async def test_when_all_pages_together_are_too_many_series_the_largest_page_goes_first(tmp_path: Path) -> None:
    async with collected(tmp_path, configuration(tmp_path, scrape={"seriesLimit": 20})) as adapter:
        adapter.pages.show("/0", _exploded(30))
        await adapter.collect(after_seconds=30, times=3)  # the first finds its size
        assert await adapter.values() == {"vllm-1": "1000m"}
        own = await adapter.own_metrics()
        assert own['leadtime_adapter_source_failures_total{reason="limit",source="scrape"}'] == 3


# Many pages.


async def test_no_more_pages_are_fetched_at_a_time_than_set(tmp_path: Path) -> None:
    """Requests are let go in pairs, so the collection ends only if two are ever under way together."""
    async with running(tmp_path, configuration(tmp_path, scrape={"concurrency": 2})) as adapter:
        adapter.list_targets(*(adapter.pages.group(f"/{i}", namespace="llm", pod=f"vllm-{i}") for i in range(8)))
        adapter.pages.hold = asyncio.Barrier(2).wait
        await adapter.collect()
        assert adapter.pages.at_once == 2


async def test_pods_that_hang_hold_the_others_back_by_one_timeout_in_all(tmp_path: Path) -> None:
    document = configuration(tmp_path, scrape={"concurrency": 4, "timeoutSeconds": 0.2})
    async with running(tmp_path, document) as adapter:
        names = [f"vllm-{i}" for i in range(40)]
        adapter.list_targets(*(adapter.pages.group(f"/{one}", namespace="llm", pod=one) for one in names))
        for one in names:
            adapter.pages.answers[f"/{one}"] = None if one in names[:4] else page(f"{WAITING} 1\n")
        began = asyncio.get_running_loop().time()
        await adapter.collect()
        assert asyncio.get_running_loop().time() - began < 2
        assert list(await adapter.values()) == sorted(names[4:])


async def test_a_source_of_which_no_page_can_be_had_is_unavailable_and_not_without_metrics(
    adapter: Adapter,
) -> None:
    for path in ("/0", "/1", "/dcgm"):
        adapter.pages.answers[path] = page("", status="503 Service Unavailable")
    await adapter.collect(after_seconds=15)
    assert await adapter.values() == BOTH
    own = await adapter.own_metrics()
    assert own['leadtime_adapter_source_up{source="scrape"}'] == 0
    code, message = await adapter.refusal(f"{PODS}/*/tgi_queue_size")
    assert code == 503
    assert "source scrape is not available: none of 3 pages could be had" in message
