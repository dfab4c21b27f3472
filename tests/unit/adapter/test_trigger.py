"""The interval between collections."""

import asyncio

from adapter.trigger import IntervalTrigger


async def test_the_interval_asks_at_once_and_again_when_it_has_passed() -> None:
    asked = 0
    async with asyncio.timeout(10), IntervalTrigger(0.01) as trigger:
        async for _ in trigger:
            asked += 1
            if asked == 3:
                break
    assert asked == 3
