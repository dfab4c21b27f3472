"""Hypothesis strategies of small whole runs: a scenario with any of the features on, and what is done to its fleet.

Hypothesis draws the features, so that it can take them away again; the requests come from one seed, so that there
can be enough of them. Step times have no common measure, so no two instants are equal by accident.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from engine_runs import InPieces, prefixes_of
from hypothesis import strategies as st

from policies.capacity.profile import Profile
from simulations.engine import Router
from simulations.lead_time import LeadTime
from simulations.scenario import Disaggregation, Failures, Scenario, Serving, Timeouts
from simulations.trace import Prefixes, Trace, Turns

SECONDS = 30.0
"""How long the demand lasts."""

ROUTERS = (
    Router(policy="round-robin"),
    Router(policy="least-outstanding"),
    Router(policy="scored", queue_weight=1.0, kv_weight=1.3, prefix_weight=0.9, lora_weight=0.4),
    Router(policy="scored", queue_weight=1.0, kv_weight=1.3, prefix_weight=0.9, signal_interval_seconds=0.77),
)


@dataclass(frozen=True)
class Run:
    """scalings: (second, replicas) in order of time. looks: instants at which somebody advances time as well.

    pieces: where the demand may be cut. Failures print the draws, seed included, and not the requests.
    """

    scenario: Scenario = field(repr=False)
    scalings: tuple[tuple[float, int], ...]
    looks: tuple[float, ...]
    pieces: tuple[int, ...]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))  # else hypothesis prints every request

    def in_pieces(self) -> Scenario:
        """The same scenario, its demand given piece by piece."""
        assert isinstance(self.scenario.trace, Trace)
        return replace(self.scenario, trace=InPieces(self.scenario.trace, self.pieces))


@st.composite
def runs(draw: st.DrawFn, *, most_requests: int = 400) -> Run:
    """Tiny caches and budgets, crowded servers: everything that can happen to a request happens to some."""
    seed = draw(st.integers(0, 2**32 - 1), label="seed")
    rng = np.random.default_rng(seed)
    count = draw(st.integers(1, most_requests), label="requests")
    serving = Serving(
        prefix_caching=draw(st.booleans(), label="prefix caching"),
        max_loras=draw(st.sampled_from([0, 0, 1, 2]), label="max_loras"),
        lora_load_seconds=0.0317,
        priority_scheduling=draw(st.booleans(), label="priorities"),
    )
    split = draw(st.sampled_from([0, 0, 0, 1, 2]), label="prefill replicas")
    times = st.floats(0.0, SECONDS, allow_subnormal=False).map(lambda second: round(second, 3) + 0.000_137)
    kept_turns = draw(st.booleans(), label="turns")
    trace = _trace(rng, count, serving, turns=kept_turns)
    scenario = Scenario(
        trace=trace,
        profile=_profile(draw),
        lead_time=LeadTime(start_median_seconds=2.1, load_median_seconds=1.3, sigma=0.4, warm_start_median_seconds=0.3),
        initial_replicas=draw(st.integers(0, 3), label="initial replicas"),
        seed=seed % 1_000,
        router=draw(st.sampled_from(ROUTERS), label="router"),
        serving=serving,
        timeouts=Timeouts(
            gateway_seconds=draw(st.sampled_from([math.inf, 0.61, 3.1]), label="gateway timeout"),
            client_seconds=draw(st.sampled_from([math.inf, math.inf, 0.413, 2.3]), label="client timeout"),
        ),
        failures=Failures(
            mtbf_seconds=draw(st.sampled_from([math.inf, math.inf, 4.0, 11.0]), label="mtbf"),
            retry=draw(st.booleans(), label="retry"),
        ),
        disaggregation=Disaggregation(prefill_replicas=split, transfer_bytes_per_second=1_000.0) if split else None,
    )
    scalings = draw(st.lists(st.tuples(times, st.integers(0, 4)), max_size=5), label="scalings")
    return Run(
        scenario=scenario,
        scalings=(*sorted(scalings), (SECONDS + 1.0, 2)),  # so that somebody answers the rest
        looks=tuple(sorted(draw(st.lists(times, max_size=6), label="looks"))),
        pieces=_cuts(rng, trace, draw(st.integers(0, 5), label="cuts")),
    )


def _profile(draw: st.DrawFn) -> Profile:
    return Profile(
        name="tiny",
        model="tiny",
        gpu="none",
        base_seconds=draw(st.sampled_from([0.0113, 0.0377]), label="base"),
        per_prefill_token_seconds=0.000_231,
        per_decode_seq_seconds=0.001_117,
        per_kv_token_seconds=draw(st.sampled_from([0.0, 0.000_007_3]), label="per KV token"),
        per_prefill_context_token_seconds=draw(st.sampled_from([0.0, 0.000_000_31]), label="attention"),
        request_overhead_seconds=draw(st.sampled_from([0.0, 0.0041]), label="overhead"),
        kv_blocks=draw(st.integers(6, 30), label="kv_blocks"),
        kv_bytes_per_token=3,
        max_num_seqs=draw(st.sampled_from([1, 2, 5, 16]), label="max_num_seqs"),
        max_num_batched_tokens=draw(st.sampled_from([256, 61, 17]), label="max_num_batched_tokens"),
        source="drawn",
        validation="none",
    )


def _trace(rng: np.random.Generator, count: int, serving: Serving, *, turns: bool) -> Trace:
    """Bursts: half of the requests come in a tenth of the time. A few can never fit the cache."""
    arrivals = np.sort(
        np.where(rng.random(count) < 0.5, rng.uniform(0, SECONDS, count), rng.uniform(9, 9 + SECONDS / 10, count))
    )
    following = np.full(count, -1, np.int32)
    if turns:  # chains of neighbours: what follows has the arrival of the first of its chain
        chained = rng.random(count) < 0.4
        chained[-1:] = False
        following[chained] = np.flatnonzero(chained) + 1
        for index in np.flatnonzero(chained):
            arrivals[index + 1] = arrivals[index]
        arrivals = np.maximum.accumulate(arrivals)
    return Trace(
        "drawn",
        0,
        arrivals,
        (1 + rng.geometric(1 / 30, count)).astype(np.int32),
        rng.geometric(1 / 20, count).astype(np.int32),
        prefixes=_prefixes(rng, count) if serving.prefix_caching else None,
        lora=rng.integers(-1, 4, count).astype(np.int32) if serving.max_loras else None,
        priority=rng.integers(0, 3, count).astype(np.int32) if serving.priority_scheduling else None,
        turns=Turns(next_request=following, think_seconds=rng.exponential(0.5, count)) if turns else None,
        ends_seconds=SECONDS,
    )


def _prefixes(rng: np.random.Generator, count: int) -> Prefixes:
    """A tree of few branches, so that prefixes are shared; they reach past many prompts."""
    return prefixes_of([rng.integers(0, 2, rng.integers(0, 6)).tolist() for _ in range(count)])


def _cuts(rng: np.random.Generator, trace: Trace, cuts: int) -> tuple[int, ...]:
    """Where the trace may be cut into pieces: not within a chain of turns."""
    allowed: Any = np.arange(1, len(trace))
    if trace.turns is not None:
        allowed = allowed[trace.turns.next_request[:-1] < 0]
    return tuple(sorted(rng.choice(allowed, min(cuts, len(allowed)), replace=False).tolist()))
