"""A service's past, minute by minute, and the counts that policies are run on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations.counts.demand_counts import BIN_SECONDS, Counts
from simulations.demand.lengths import Lognormal
from simulations.demand.rate_curve import mean_preserving
from simulations.history.samples import F8, MINUTE_SECONDS, Grid, Known, unit_slips
from simulations.lead_time import generator

FEWEST_MINUTES = 120
_MOST_UNKNOWN = 0.5
_SAMPLE_REQUESTS = 20_000
_BINS_PER_MINUTE = MINUTE_SECONDS // BIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Attained:
    """What the servers' own histograms say of a span: shares of answered requests, in [0, 1]; None if not known."""

    ttft: float | None
    tpot: float | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """(least, most) share that can have met both; None where one of the two is not known."""
        if self.ttft is None or self.tpot is None:
            return None
        return max(0.0, self.ttft + self.tpot - 1.0), min(self.ttft, self.tpot)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """requests: that arrived, each of shape (minutes,). prompt_tokens, output_tokens: means of a request's.

    known: False where nothing was recorded. ready_replicas: NaN where not known; None without any.
    lead_seconds: from creation to Ready of the pods that were seen. repairs: what was done -> to how many samples.
    notes: what was assumed, one sentence each. token_cv: of prompts and of answers, lognormal.
    """

    name: str
    grid: Grid
    requests: F8
    prompt_tokens: F8
    output_tokens: F8
    known: Known
    token_cv: tuple[float, float] = (1.0, 1.0)
    ready_replicas: F8 | None = None
    lead_seconds: tuple[float, ...] = ()
    repairs: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def warnings(self) -> list[str]:
        """What in the figures looks like an error of the recording, one sentence each."""
        said = []
        for minute, words in unit_slips(self.requests):
            at = datetime.fromtimestamp(self.grid.first_seconds + MINUTE_SECONDS * minute, UTC)
            said.append(
                f"about {at:%Y-%m-%d %H:%M} UTC demand became {words} what it was: a unit slip (per minute for per "
                "second)? It was taken as it is; correct the query, or choose a span on one side of it"
            )
        return said


def check_history(history: History) -> None:
    """Raise BadInput where there is nothing to learn and judge."""
    minutes = history.grid.minutes
    if minutes < FEWEST_MINUTES:
        raise BadInput(
            f"history: {history.name} has {minutes} whole minutes, must have at least {FEWEST_MINUTES}; ask for a "
            "longer span"
        )
    if not history.requests.any():
        raise BadInput(f"history: {history.name} has no request at all; check the query and its selector")
    unknown = 1.0 - float(history.known.mean())
    if unknown > _MOST_UNKNOWN:
        raise BadInput(
            f"history: of {history.name} {unknown:.0%} is in gaps, must be at most {_MOST_UNKNOWN:.0%}; choose a span "
            "in which the servers were scraped"
        )


def counts_of(history: History, seed: int = 1) -> Counts:
    """The minutes' requests in bins of 15 s, each minute's total kept. Raises BadInput.

    A minute's requests fall into its bins independently, by a rate that is continuous with the minutes' means kept: of
    a Poisson process with the known counts that is exact. A bin's tokens are its requests at the minute's means; what
    depends on squares follows from lognormal lengths of `token_cv`.
    """
    check_history(history)
    rng = generator(seed, "history")
    whole = np.floor(history.requests + rng.random(history.grid.minutes)).astype(np.int64)
    starts, middles = mean_preserving(np.concatenate([history.requests[:1], history.requests, history.requests[-1:]]))
    ends, starts, middles = starts[2:], starts[1:-1], middles[1:-1]
    weights = np.stack(
        [3 * starts + middles, starts + 3 * middles, 3 * middles + ends, middles + 3 * ends][:_BINS_PER_MINUTE], axis=1
    )
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.full_like(weights, 1 / _BINS_PER_MINUTE), where=total > 0)
    requests = rng.multinomial(whole, weights).astype(np.float64).ravel()
    prompt, output = (np.repeat(each, _BINS_PER_MINUTE) for each in (history.prompt_tokens, history.output_tokens))
    prompt_cv, output_cv = history.token_cv
    squares = prompt**2 * (1 + prompt_cv**2)
    read = output * prompt + (output**2 * (1 + output_cv**2) + output) / 2
    size = int(min(max(whole.sum(), 1), _SAMPLE_REQUESTS))
    drawn = rng.choice(history.grid.minutes, size=size, p=whole / whole.sum())
    prompts = Lognormal(mean=1.0, cv=prompt_cv).draw(rng, size, np.maximum(history.prompt_tokens[drawn], 1.0))
    outputs = Lognormal(mean=1.0, cv=output_cv).draw(rng, size, np.maximum(history.output_tokens[drawn], 1.0))
    return Counts(
        name=history.name,
        start_ns=round(history.grid.first_seconds) * NS_PER_SECOND,
        requests=requests,
        prompt_tokens=requests * prompt,
        output_tokens=requests * output,
        prompt_token_squares=requests * squares,
        kv_token_steps=requests * read,
        sample_prompts=prompts.astype(np.int32),
        sample_outputs=outputs.astype(np.int32),
    )
