"""The page's queue of questions: one at a time, a few may wait, each can be cancelled."""

import asyncio
from pathlib import Path

import pytest
from fake_planner import FakePlanner

from leadtime.plan.serve_queue import MOST_WAITING, PlanQueue, Run
from policies.errors import BadInput


async def over(run: Run) -> None:
    """Until it is over: each step of the loop takes what was made possible."""
    while not run.is_over:  # noqa: ASYNC110 - no event tells it, as for the page, which asks again and again
        await asyncio.sleep(0)


async def test_an_answer_is_kept_with_its_figures_and_files(tmp_path: Path) -> None:
    queue = PlanQueue(FakePlanner(), tmp_path, clock=iter([10.0, 25.0]).__next__)
    run = queue.ask({}, "poisson:rate=1", "poisson:rate=1")
    assert run.state == "waiting"
    await over(run)
    assert (run.state, run.files) == ("done", ("plan.html", "plan.json", "hpa.yaml"))
    assert run.figures["usd_per_month"]["value"] == 1_500
    assert queue.seconds(run) == 15.0
    await queue.close()


async def test_one_runs_at_a_time_in_the_order_of_asking(tmp_path: Path) -> None:
    planner = FakePlanner(holds=True)
    queue = PlanQueue(planner, tmp_path)
    first, second = queue.ask({}, "a", "a"), queue.ask({}, "b", "b")
    await planner.began.wait()
    assert (first.state, second.state) == ("running", "waiting")
    assert queue.listed() == [second, first], "newest first"
    planner.go.set()
    await over(second)
    assert (first.state, second.state) == ("done", "done")
    await queue.close()


async def test_a_cancelled_run_ends_and_the_next_begins(tmp_path: Path) -> None:
    planner = FakePlanner(holds=True)
    queue = PlanQueue(planner, tmp_path)
    first, second, third = (queue.ask({}, name, name) for name in "abc")
    await planner.began.wait()
    queue.cancel(first)
    queue.cancel(second)
    planner.go.set()
    await over(third)
    assert [run.state for run in (first, second, third)] == ["cancelled", "cancelled", "done"]
    assert planner.ended == ["a"], "what runs is told; what waits never began"
    queue.cancel(third)
    assert third.state == "done", "what is over stays so"
    await queue.close()


async def test_a_plan_that_fails_is_told_and_the_next_begins(tmp_path: Path) -> None:
    planner = FakePlanner()
    planner.error = "l4: slo: too slow"
    queue = PlanQueue(planner, tmp_path)
    run = queue.ask({}, "a", "a")
    await over(run)
    assert (run.state, run.error) == ("failed", "l4: slo: too slow")
    planner.error, planner.fault = "", RuntimeError("a mistake of ours")
    broken = queue.ask({}, "b", "b")
    await over(broken)
    assert broken.state == "failed"
    assert "a mistake of ours" in broken.error
    planner.fault = None
    well = queue.ask({}, "c", "c")
    await over(well)
    assert well.state == "done"
    await queue.close()


async def test_only_so_many_may_wait(tmp_path: Path) -> None:
    planner = FakePlanner(holds=True)
    queue = PlanQueue(planner, tmp_path)
    queue.ask({}, "a", "a")
    await planner.began.wait()
    for _ in range(MOST_WAITING):
        queue.ask({}, "b", "b")
    with pytest.raises(BadInput, match=f"{MOST_WAITING} questions wait already"):
        queue.ask({}, "c", "c")
    await queue.close()


async def test_closing_ends_what_runs_and_begins_nothing_else(tmp_path: Path) -> None:
    planner = FakePlanner(holds=True)
    queue = PlanQueue(planner, tmp_path)
    first, second = queue.ask({}, "a", "a"), queue.ask({}, "b", "b")
    await planner.began.wait()
    await queue.close()
    assert planner.ended == ["a"]
    assert (first.state, second.state) == ("cancelled", "waiting")


async def test_answers_of_earlier_sessions_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "run-7").mkdir()
    (tmp_path / "run-of-luck").mkdir()
    queue = PlanQueue(FakePlanner(), tmp_path)
    run = queue.ask({}, "a", "a")
    await over(run)
    assert run.job.out == tmp_path / "run-8"
    await queue.close()
