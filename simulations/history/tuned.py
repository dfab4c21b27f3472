"""An HPA's target as a diligent admin would find it: tried on the days before, the cheapest that delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from policies.capacity.profile import Profile
from policies.capacity.sustained import sustained_batch
from policies.policy import Policy
from simulations.counts.demand_counts import Counts
from simulations.counts.run import CountWorld, count_run
from simulations.history.outcome import DAY_BINS, Outcome
from simulations.history.samples import Known
from simulations.history.whatif import OnProgress, replicas_at_start, share_of

GRID = 6
"""Targets that are always tried: from the whole batch to a quarter of it."""
_FURTHER = 3
_RATIO = 4.0 ** (1.0 / (GRID - 1))
_MOST_DAYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a target delivered and cost in the tuning part. target: requests a replica."""

    target: float
    delivered: float
    gpu_hours: float


def targets_for(counts: Counts, profile: Profile, tpot_seconds: float) -> list[float]:
    """Requests a replica, highest first: the batch that meets the TPOT with the mean request, and so on by a ratio.

    The first GRID end at a quarter of the batch; those after it are for where none of these is enough. To 3
    significant digits, so that what is printed is what is run. counts: with at least one request.
    """
    requests = float(counts.requests.sum())
    batch = sustained_batch(
        profile,
        prompt_tokens=float(counts.prompt_tokens.sum()) / requests,
        output_tokens=float(counts.output_tokens.sum()) / requests,
        tpot_seconds=tpot_seconds,
    )
    return [max(0.001, float(f"{batch / _RATIO**number:.3g}")) for number in range(GRID + _FURTHER)]


def tuning_bins(first_bin: int) -> tuple[int, int]:
    """[first, end): the last days before the judged part, which begins with `first_bin`."""
    return max(0, first_bin - _MOST_DAYS * DAY_BINS), first_bin


def tried(
    world: CountWorld,
    policies: Mapping[float, Policy[Any, Any]],
    strictest: float,
    bins: tuple[int, int],
    known: Known,
    replicas: tuple[int, int],
    on_progress: OnProgress = lambda _what, _share: None,
) -> list[Trial]:
    """Run targets' policies over the bins [first, end) alone; empty where no request is known in them.

    policies: target -> policy, in the order of `targets_for`; those after the first GRID run only until one delivered
    the strictest attainment asked. world, known: of the whole history. replicas: (least, most) at its beginning.
    """
    first, end = bins
    if not (world.counts.requests[first:end] * known[first:end]).any():
        return []
    part = replace(world, counts=world.counts.part(first, end))
    part = replace(part, initial_replicas=replicas_at_start(part, replicas))
    trials: list[Trial] = []
    for number, (target, policy) in enumerate(policies.items()):
        if number >= GRID and max(trial.delivered for trial in trials) >= strictest:
            break
        what = f"tuning the HPA on {(end - first) / DAY_BINS:.2f} days, target {number + 1} of {max(GRID, number + 1)}"
        run = count_run(part, policy, share_of(what, end - first, on_progress))
        totals = Outcome(asked=None, run=run, start_bin=first, known=known).part(first, end)
        trials.append(Trial(target=target, delivered=totals.delivered, gpu_hours=totals.gpu_hours))
    return trials


def best(trials: Sequence[Trial], asked: float) -> Trial:
    """The cheapest that delivered what was asked; where none did, the one that delivered most. At least one trial."""
    return min(trials, key=lambda trial: (max(0.0, asked - trial.delivered), trial.gpu_hours))
