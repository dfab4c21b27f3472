"""Slices of work between which the event loop goes round."""

import asyncio
import time

import pytest

from adapter.sources.turns import Turns


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def test_a_round_of_the_loop_holds_one_slice_of_work_however_many_tasks_want_one() -> None:
    """20 tasks of 2 ms at a slice of 2 ms: at most one piece lies between two rounds."""
    turns = Turns(slice_seconds=0.002)
    pieces_in_round = 0
    rounds: list[int] = []

    async def work() -> None:
        nonlocal pieces_in_round
        async with turns():
            busy(0.002)
            pieces_in_round += 1

    async def count_rounds() -> None:
        nonlocal pieces_in_round
        while sum(rounds) < 20:
            await asyncio.sleep(0)
            rounds.append(pieces_in_round)
            pieces_in_round = 0

    async with asyncio.timeout(5):
        await asyncio.gather(count_rounds(), *(work() for _ in range(20)))
    assert max(rounds) == 1


async def test_small_pieces_share_a_round() -> None:
    turns = Turns(slice_seconds=10.0)
    order = []

    async def work(number: int) -> None:
        async with turns():
            order.append(number)

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10)), "first come, first served"


async def test_a_piece_that_fails_lets_the_next_one_go_on() -> None:
    turns = Turns(slice_seconds=0.0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns():
                _ = 1 // 0
    async with asyncio.timeout(5), turns():
        pass
