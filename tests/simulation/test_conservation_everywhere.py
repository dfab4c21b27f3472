"""Nothing is made, lost or done twice, whatever is switched on; and how time is cut changes nothing."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from random_runs import SECONDS, Run, runs

from simulations.engine import layout
from simulations.fleet import Fleet
from simulations.request_rows import OUTCOMES
from simulations.results import Recorder
from simulations.scenario import Scenario

LONGEST_SECONDS = 3_000.0
"""Of simulated time until everything must be answered: 400 requests of 20 tokens on one slow seat take 400 s."""

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

SAME = ("outcome", "replica", "generated", "preemptions", "cached_tokens", "number")
CLOSE = ("arrival", "enqueued", "first_token", "finish")


def served(scenario: Scenario, run: Run, *, looks: bool = False, jump: bool = True) -> tuple[Fleet, Any]:
    """The fleet after its last answer, and every request as it was handed over, in the order of handing over."""
    fleet = Fleet(scenario)
    fleet.engine._world.world["jump"] = jump
    recorder = Recorder(scenario, "none", fleet)
    pieces: list[Any] = []

    def take() -> None:
        for piece in fleet.take():
            pieces.append(piece.copy())
            recorder.take(piece)

    scalings = dict(run.scalings)
    for second in sorted({*scalings, *(run.looks if looks else ())}):
        fleet.advance(second)
        take()
        if second in scalings:
            fleet.scale(scalings[second])
    for second in np.geomspace(SECONDS + 2.0, LONGEST_SECONDS, 12):
        fleet.advance(float(second))
        take()
        if fleet.finished:
            break
    recorder.result()  # checks conservation
    return fleet, np.concatenate(pieces) if pieces else np.zeros(0, layout.REQUEST)


@SETTINGS
@given(runs())
def test_every_request_ends_exactly_once_and_gives_everything_back(run: Run) -> None:
    fleet, rows = served(run.scenario, run)
    trace = run.scenario.trace
    assert fleet.finished
    assert len(rows) == len(trace), "each is handed over once"
    np.testing.assert_array_equal(rows["prompt_tokens"], trace.prompt_tokens, "in order of arrival")
    np.testing.assert_array_equal(rows["output_tokens"], trace.output_tokens)
    check_outcomes(rows, run.scenario)
    for pod in (*fleet.serving(), *(pod for pod in fleet.prefill_pods if pod.row is not None)):
        check_empty(fleet, pod.row)


def check_outcomes(rows: Any, scenario: Scenario) -> None:
    """What each outcome means for the times and tokens of a request."""
    outcome = {name: rows[rows["outcome"] == code] for code, name in enumerate(OUTCOMES)}
    assert not len(outcome["pending"])
    good = outcome["served"]
    np.testing.assert_array_equal(good["generated"], good["output_tokens"])
    assert (good["arrival"] <= good["enqueued"]).all()
    assert (good["enqueued"] < good["first_token"]).all()
    assert (good["first_token"] <= good["finish"]).all()
    single = good["output_tokens"] == 1
    np.testing.assert_array_equal(good["first_token"][single], good["finish"][single])
    too_long = rows["prompt_tokens"] + rows["output_tokens"] > 16 * scenario.profile.kv_blocks
    assert not too_long[rows["outcome"] == OUTCOMES.index("served")].any()
    assert too_long[rows["outcome"] == OUTCOMES.index("rejected")].all()
    if scenario.timeouts.client_seconds == np.inf:
        assert not len(outcome["aborted"])
    if scenario.failures.mtbf_seconds == np.inf or scenario.failures.retry:
        assert not len(outcome["failed"])
    assert np.isnan(np.concatenate([outcome[name]["finish"] for name in ("aborted", "failed", "timed_out")])).all()
    assert (outcome["timed_out"]["generated"] == 0).all()


def check_empty(fleet: Fleet, row: int) -> None:
    """A server without requests has all its blocks, no batch, no queue and no adapter in use."""
    world = fleet.engine._world
    server = world.servers[row]
    once = world.world[0]
    for field in ("outstanding", "running", "waiting", "decoding", "decoding_tokens", "aborting", "publishing"):
        assert server[field] == 0, field
    assert not server["in_step"]
    assert server["free_blocks"] == fleet.profile.kv_blocks
    assert not world.residues["count"][16 * row : 16 * (row + 1)].any()
    assert not world.adapters["running"][row * once["adapter_room"] : (row + 1) * once["adapter_room"]].any()
    if fleet.scenario.serving.prefix_caching:
        assert sum(count for count, _ in free_queue(world, row)) == fleet.profile.kv_blocks
        assert not any(references for _, references in free_queue(world, row))


def free_queue(world: layout.World, row: int) -> list[tuple[int, int]]:
    """(blocks, references) of each node in a server's queue of free blocks; its links are checked on the way."""
    server, found, before = world.servers[row], [], layout.NONE
    node = int(server["lru_head"])
    while node != layout.NONE:
        assert world.nodes[node]["previous"] == before
        found.append((int(world.nodes[node]["count"]), int(world.nodes[node]["references"])))
        before, node = node, int(world.nodes[node]["next"])
    assert server["lru_tail"] == before
    return found


def assert_same(rows: Any, others: Any) -> None:
    """Counts are equal, instants within 1e-9 s."""
    for field in SAME:
        np.testing.assert_array_equal(rows[field], others[field], field)
    for field in CLOSE:
        np.testing.assert_allclose(rows[field], others[field], rtol=0, atol=1e-9, err_msg=field)


@SETTINGS
@given(runs())
def test_one_iteration_at_a_time_gives_the_same(run: Run) -> None:
    fleet, rows = served(run.scenario, run)
    stepping, others = served(run.scenario, run, jump=False)
    assert_same(rows, others)
    for counter in ("iterations", "preemptions", "generation_tokens", "prompt_tokens", "lora_loads"):
        assert fleet.counted(counter) == stepping.counted(counter), counter


@SETTINGS
@given(runs())
def test_demand_in_pieces_gives_the_same(run: Run) -> None:
    assert_same(served(run.scenario, run)[1], served(run.in_pieces(), run)[1])


@SETTINGS
@given(runs())
def test_looking_at_the_fleet_changes_nothing(run: Run) -> None:
    assert_same(served(run.scenario, run)[1], served(run.scenario, run, looks=True)[1])
