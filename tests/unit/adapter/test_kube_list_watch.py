"""A list kept current by a watch, through everything that happens to watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from fake_kube_api import FakeKubeApi, fake_kube_api, short_sleep, until

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.kubernetes.backoff import backoff_seconds
from adapter.sources.kubernetes.list_watch import PAGE_LIMIT, Key, ListWatch, rbac_remedy

CONFIG_MAPS = "/api/v1/configmaps"


def config_map(name: str, value: str = "1") -> dict[str, Any]:
    return {"metadata": {"namespace": "llm", "name": name, "labels": {"noise": "x"}}, "data": {"value": value}}


def value_of(item: dict[str, Any]) -> str | None:
    """What the tests keep of an object: nothing of one whose value is "gone"."""
    value: str = item["data"]["value"]
    return None if value == "gone" else value


@asynccontextmanager
async def followed(
    api_and_client: tuple[FakeKubeApi, Any], **options: Any
) -> AsyncIterator[tuple[ListWatch[str], list[tuple[Key, str | None]]]]:
    changes: list[tuple[Key, str | None]] = []
    watch = ListWatch(
        api_and_client[1],
        CONFIG_MAPS,
        prune=value_of,
        on_change=lambda key, kept: changes.append((key, kept)),
        **{"sleep": short_sleep, **options},
    )
    task = asyncio.create_task(watch.run())
    try:
        yield watch, changes
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_long_list_is_read_in_pages_and_only_what_is_needed_is_kept() -> None:
    async with fake_kube_api() as (api, client):
        for number in range(2 * PAGE_LIMIT + 1):
            await api.put(CONFIG_MAPS, config_map(f"m{number}"))
        async with followed((api, client)) as (watch, _):
            await until(lambda: watch.synced)
            assert len(watch.items) == 2 * PAGE_LIMIT + 1
            assert watch.items["llm", "m7"] == "1"
            lists = [query for _, query in api.requests if "watch" not in query]
            assert [query.get("continue") for query in lists] == [None, str(PAGE_LIMIT), str(2 * PAGE_LIMIT)]


async def test_changes_are_followed_and_told_with_what_is_kept() -> None:
    async with fake_kube_api() as (api, client):
        await api.put(CONFIG_MAPS, config_map("a"))
        async with followed((api, client)) as (watch, changes):
            await until(lambda: watch.synced)
            await api.put(CONFIG_MAPS, config_map("a", "2"))
            await api.put(CONFIG_MAPS, config_map("b", "3"))
            await api.delete(CONFIG_MAPS, "llm", "a")
            await api.put(CONFIG_MAPS, config_map("b", "gone"))
            await until(lambda: not watch.items)
            a, b = ("llm", "a"), ("llm", "b")
            assert changes == [(a, "1"), (a, "2"), (b, "3"), (a, None), (b, None)]


async def test_a_change_of_what_is_not_kept_is_not_told() -> None:
    async with fake_kube_api() as (api, client), followed((api, client)) as (watch, changes):
        await until(lambda: watch.synced)
        await api.put(CONFIG_MAPS, config_map("a"))
        await api.put(CONFIG_MAPS, {**config_map("a"), "status": "new"})
        await api.put(CONFIG_MAPS, config_map("b"))
        await until(lambda: len(watch.items) == 2)
        assert len(changes) == 2


@pytest.mark.parametrize("cut", [False, True], ids=["ended-by-the-server", "connection-cut"])
async def test_a_watch_resumes_where_it_stood_and_nothing_is_lost(cut: bool) -> None:
    async with fake_kube_api() as (api, client), followed((api, client)) as (watch, _):
        await until(lambda: watch.synced)
        await api.put(CONFIG_MAPS, config_map("a"))
        await until(lambda: len(watch.items) == 1)
        seen = str(api.version)
        await api.end_watches(cut=cut)
        await api.put(CONFIG_MAPS, config_map("b"))
        await until(lambda: len(watch.items) == 2)
        lists = [query for _, query in api.requests if "watch" not in query]
        watches = [query["resourceVersion"] for _, query in api.requests if "watch" in query]
        assert len(lists) == 1
        assert watches[1] == seen
        assert watch.fault is None


async def test_a_bookmark_moves_the_place_to_resume_from() -> None:
    async with fake_kube_api() as (api, client), followed((api, client)) as (watch, _):
        await until(lambda: len(api.requests) == 2)
        await api.bookmark(CONFIG_MAPS)
        booked = str(api.version)
        await until(lambda: watch._version == booked)
        await api.end_watches()
        await until(lambda: len(api.requests) == 3)
        assert api.requests[2][1]["resourceVersion"] == booked
        assert api.requests[2][1]["allowWatchBookmarks"] == "true"


async def test_a_watch_too_far_behind_lists_again_and_finds_what_has_gone() -> None:
    async with fake_kube_api() as (api, client):
        await api.put(CONFIG_MAPS, config_map("a"))
        await api.put(CONFIG_MAPS, config_map("b"))
        async with followed((api, client)) as (watch, changes):
            await until(lambda: len(api.requests) == 2)
            api.ends_watches_at_once = True
            await api.end_watches(cut=True)
            await until(lambda: watch.fault is not None)
            await api.delete(CONFIG_MAPS, "llm", "a")
            await api.put(CONFIG_MAPS, config_map("c"))
            api.compact()
            api.ends_watches_at_once = False
            await until(lambda: set(watch.items) == {("llm", "b"), ("llm", "c")})
            assert (("llm", "a"), None) in changes
            assert changes.count((("llm", "b"), "1")) == 1
            await until(lambda: watch.fault is None)


async def test_a_watch_that_fell_behind_lists_again_at_once_and_is_no_fault() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await short_sleep(seconds)

    clock = count(0.0, 300.0).__next__  # each watch has lasted for minutes
    async with fake_kube_api() as (api, client), followed((api, client), sleep=sleep, monotonic=clock) as (watch, _):
        await until(lambda: len(api.requests) == 2)
        await api.put("/api/v1/secrets", config_map("elsewhere"))  # moves the server's version, not the watch's
        api.compact()
        await api.end_watches()
        await until(lambda: len(api.requests) == 5)
        assert [query.get("watch") for _, query in api.requests] == [None, "true", "true", None, "true"]
        assert waits == [0.0]
        assert watch.fault is None


async def test_a_page_that_expires_in_the_middle_starts_the_list_again() -> None:
    async with fake_kube_api() as (api, client):
        for number in range(PAGE_LIMIT + 1):
            await api.put(CONFIG_MAPS, config_map(f"m{number}"))
        api.expired_tokens = 2
        async with followed((api, client)) as (watch, _):
            await until(lambda: watch.synced)
            assert len(watch.items) == PAGE_LIMIT + 1
            assert watch.fault is None


async def test_an_outage_keeps_the_last_items_and_says_since_when() -> None:
    async with fake_kube_api() as (api, client):
        await api.put(CONFIG_MAPS, config_map("a"))
        async with followed((api, client), now_ns=lambda: 1_795_000_000_000_000_000) as (watch, _):
            await until(lambda: len(api.requests) == 2)
            api.failures = [503] * 20
            await api.end_watches(cut=True)
            await until(lambda: watch.fault is not None and "503" in watch.fault)
            assert watch.fault is not None
            assert "since 2026-11-18T11:06:40Z, the last known 1 objects stay in use" in watch.fault
            assert watch.synced
            assert watch.items["llm", "a"] == "1"
            await until(lambda: not api.failures and watch.fault is None)


async def test_a_refused_list_names_the_rule_to_add_and_heals_when_it_is_added() -> None:
    async with fake_kube_api() as (api, client):
        api.forbidden = {CONFIG_MAPS}
        async with followed((api, client)) as (watch, _):
            await until(lambda: watch.settled)
            assert not watch.synced
            assert watch.fault is not None
            assert watch.fault.endswith("nothing is known yet")
            assert '{apiGroups: [""], resources: ["configmaps"], verbs: ["list", "watch"]}' in watch.fault
            api.forbidden = set()
            await until(lambda: watch.synced and watch.fault is None)


async def test_an_api_that_is_not_served_is_no_fault_and_is_looked_for_again() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await short_sleep(seconds)

    async with fake_kube_api() as (api, client):
        api.not_served = {CONFIG_MAPS}
        await api.put(CONFIG_MAPS, config_map("a"))
        async with followed((api, client), sleep=sleep) as (watch, changes):
            await until(lambda: watch.settled)
            assert watch.absent
            assert watch.fault is None
            assert waits[0] == 300.0
            api.not_served = set()
            await until(lambda: len(watch.items) == 1)
            api.not_served = {CONFIG_MAPS}
            await api.end_watches()
            await until(lambda: watch.absent)
            assert changes[-1] == (("llm", "a"), None)


async def test_an_object_of_another_shape_is_left_out_and_does_not_stop_the_watch() -> None:
    async with fake_kube_api() as (api, client):
        await api.put(CONFIG_MAPS, {"metadata": {"namespace": "llm", "name": "odd"}})
        await api.put(CONFIG_MAPS, {"metadata": {"namespace": "llm", "name": "odder"}, "data": None})
        async with followed((api, client)) as (watch, _):
            await until(lambda: watch.synced)
            await api.put(CONFIG_MAPS, config_map("a"))
            await until(lambda: list(watch.items) == [("llm", "a")])


async def test_watches_that_end_at_once_are_spaced_out_and_not_tried_in_a_loop() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await short_sleep(seconds)

    async with fake_kube_api() as (api, client):
        api.ends_watches_at_once = True
        async with followed((api, client), sleep=sleep, chance=lambda: 0.999) as (watch, _):
            await until(lambda: len(waits) == 8)
            assert waits == sorted(waits)
            assert waits[0] == pytest.approx(0.8, rel=0.01)
            assert waits[-1] == pytest.approx(30.0, rel=0.01)
            assert watch.synced


async def test_retry_after_is_waited_for() -> None:
    class Throttling:
        async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise ApiError(429, "TooManyRequests", "slow down", retry_after_seconds=17.0)

    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.Event().wait()

    watch = ListWatch(Throttling(), CONFIG_MAPS, prune=value_of, sleep=sleep)  # type: ignore[arg-type]
    task = asyncio.create_task(watch.run())
    await until(lambda: bool(waits))
    task.cancel()
    assert waits == [17.0]
    assert not watch.settled


async def test_silence_on_an_open_watch_resumes_it_and_is_no_fault() -> None:
    watches = 0

    class Silent:
        async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {"metadata": {"resourceVersion": "7"}, "items": [config_map("a")]}

        async def stream(self, *_: Any, on_open: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
            nonlocal watches
            watches += 1
            on_open()
            await short_sleep(0)
            raise ApiError(0, "Timeout", "nothing came")
            yield {}

    watch = ListWatch(Silent(), CONFIG_MAPS, prune=value_of, sleep=short_sleep)  # type: ignore[arg-type]
    task = asyncio.create_task(watch.run())
    await until(lambda: watches > 3)
    task.cancel()
    assert watch.fault is None
    assert watch._version == "7"


async def test_silence_on_a_list_is_a_fault_even_after_a_watch_was_open() -> None:
    lists = 0

    class Stuck:
        async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
            nonlocal lists
            lists += 1
            if lists > 1:
                raise ApiError(0, "Timeout", "nothing came")
            return {"metadata": {"resourceVersion": "7"}, "items": [config_map("a")]}

        async def stream(self, *_: Any, on_open: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
            on_open()
            raise ApiError(410, "Expired", "too old")
            yield {}

    watch = ListWatch(Stuck(), CONFIG_MAPS, prune=value_of, sleep=short_sleep)  # type: ignore[arg-type]
    task = asyncio.create_task(watch.run())
    await until(lambda: lists > 3)
    task.cancel()
    assert watch.fault is not None
    assert "Timeout" in watch.fault
    assert "the last known 1 objects stay in use" in watch.fault


async def test_selectors_go_with_lists_and_watches() -> None:
    async with fake_kube_api() as (api, client):
        options = {"label_selector": "app in (vllm, nim)", "field_selector": "status.phase=Running"}
        async with followed((api, client), **options):
            await until(lambda: len(api.requests) == 2)
            for _, query in api.requests:
                assert query["labelSelector"] == "app in (vllm, nim)"
                assert query["fieldSelector"] == "status.phase=Running"


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/api/v1/pods", 'ClusterRole: {apiGroups: [""], resources: ["pods"]'),
        ("/api/v1/namespaces/llm/pods", 'Role of that namespace: {apiGroups: [""], resources: ["pods"]'),
        (
            "/apis/monitoring.coreos.com/v1/podmonitors",
            'ClusterRole: {apiGroups: ["monitoring.coreos.com"], resources: ["podmonitors"]',
        ),
    ],
)
def test_the_remedy_names_the_role_the_group_and_the_resource(path: str, remedy: str) -> None:
    assert remedy in rbac_remedy(path)


def test_waits_double_from_under_a_second_to_half_a_minute() -> None:
    assert [round(backoff_seconds(failures, 0.0), 1) for failures in (1, 2, 3, 6, 7, 10_000)] == [
        *(0.4, 0.8, 1.6, 12.8, 15.0, 15.0)
    ]
