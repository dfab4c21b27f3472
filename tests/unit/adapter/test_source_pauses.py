"""How long the running adapter leaves a failing source alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from adapter.assembly import _BACKOFF_SECONDS, _loop
from adapter.clock import SystemClock
from adapter.collector import Collector
from adapter.inventory import FileInventory
from adapter.sources.pods import Pods
from adapter.sources.rule import Rule
from adapter.sources.settings import SourceSettings
from adapter.sources.source import Reading, SourceUnavailable
from adapter.store import Store


class Down:
    """A source that nobody reaches."""

    name = "down"

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:
        raise SourceUnavailable("connection", f"{len(rules)} rules, {len(pods)} pods, {now_ns}: refused")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("source", "longest_seconds"),
    [
        pytest.param({"scrape": {}}, 15.0, id="pods-that-start-are-asked-every-interval"),
        pytest.param({"prometheus": {"url": "http://p:9090"}}, 15.0 + _BACKOFF_SECONDS, id="a-backend-is-spared"),
    ],
)
async def test_the_pause_after_many_failures(source: dict[str, object], longest_seconds: float, tmp_path: Path) -> None:
    settings = SourceSettings.model_validate(source)
    collector = Collector(Store(), [], failback_after_seconds=60.0)
    (tmp_path / "targets.json").write_text("[]")
    loop = _loop(settings, Down(), collector, FileInventory(tmp_path / "targets.json"), SystemClock())
    loop._chance = lambda: 1.0
    for _ in range(8):
        await loop.collect_once()
    assert loop._backoff_seconds() == longest_seconds
