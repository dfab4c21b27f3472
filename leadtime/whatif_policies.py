"""The policies that `leadtime whatif` runs: leadtime's own at each asked attainment, and an HPA, tuned or given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leadtime.manifests.read import read_policy
from leadtime.policy_text import check_metrics, settings_of
from policies.capacity.profile import Profile
from policies.policy import Policy
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from policies.registry import configured
from simulations.counts.run import CountWorld
from simulations.history.outcome import DAY_BINS
from simulations.history.samples import Known
from simulations.history.tuned import GRID, Trial, best, targets_for, tried, tuning_bins
from simulations.history.whatif import OnProgress
from simulations.slo import SLO

TUNED = "HPA, tuned"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beside:
    """rivals: as a Question takes them. said: what they are. trials: of the tuning; empty for what was given."""

    rivals: Sequence[tuple[float | None, Policy[Any, Any]]]
    said: str
    trials: Sequence[Trial] = ()


def own_policies(
    attainments: Sequence[float], profile: Profile, slo: SLO, *, lead_seconds: float, replicas: tuple[int, int]
) -> dict[float, Policy[Any, Any]]:
    """Asked attainment -> the policy that ships. lead_seconds: its prior; it learns its own. replicas: (min, max)."""
    low, high = replicas
    return {
        asked: predictive_policy(
            PredictiveSpec(
                profile=profile,
                tpot_seconds=slo.tpot_seconds,
                ttft_seconds=slo.ttft_seconds,
                attainment=asked,
                min_replicas=low,
                max_replicas=high,
                lead_time_seconds=lead_seconds,
            )
        )
        for asked in attainments
    }


def hpa_given(
    manifest: Path | None, preset: str | None, profile: Profile, slo: SLO, replicas: tuple[int, int]
) -> Beside | None:
    """The manifest as it stands, or a preset; None where neither is given. Raises BadInput."""
    if manifest is not None:
        policy = read_policy(manifest)
        check_metrics(f"--hpa-manifest {manifest}", policy)
        said = f"HPA: {manifest.name} as it stands, its own minReplicas and maxReplicas included"
        return Beside(rivals=[(None, policy)], said=said)
    if preset is None:
        return None
    name, _, settings = preset.partition(":")
    pairs = settings_of(f"--hpa {preset}", settings)
    low, high = replicas
    fitting = {
        "profile": profile,
        "tpot_seconds": slo.tpot_seconds,
        "ttft_seconds": slo.ttft_seconds,
        "min_replicas": low,
        "max_replicas": high,
    }
    policy = replace(configured(name, pairs, fitting), name=preset)
    return Beside(rivals=[(None, policy)], said=f"HPA: {preset}, of `leadtime policies`")


def hpa_tuned(
    attainments: Sequence[float],
    world: CountWorld,
    first_bin: int,
    known: Known,
    replicas: tuple[int, int],
    on_progress: OnProgress,
) -> Beside:
    """On all requests in the system, with the target that did best on the days before the judged part, which begins
    with `first_bin`: what a diligent admin sets. All else are the HPA's defaults."""
    before = world.counts.part(0, first_bin)
    if not before.requests.any():
        before = world.counts
    targets = targets_for(before, world.profile, world.slo.tpot_seconds)
    low, high = replicas
    policies = {
        target: replace(
            configured("hpa-total-demand", {}, {"target_requests": target, "min_replicas": low, "max_replicas": high}),
            name=TUNED,
        )
        for target in targets
    }
    bins = tuning_bins(first_bin)
    trials = tried(world, policies, max(attainments), bins, known, replicas, on_progress)
    if not trials:
        careful = targets[GRID - 1]
        said = (
            f"{TUNED}: not tuned, as no request is known just before the judged part; {careful:g} running and waiting "
            "requests a replica, a quarter of the batch that meets the TPOT with the mean request"
        )
        return Beside(rivals=[(asked, policies[careful]) for asked in attainments], said=said)
    chosen = {asked: best(trials, asked) for asked in attainments}
    return Beside(
        rivals=[(asked, policies[trial.target]) for asked, trial in chosen.items()],
        said=_tuning_said(trials, chosen, (bins[1] - bins[0]) / DAY_BINS),
        trials=trials,
    )


def _tuning_said(trials: Sequence[Trial], chosen: Mapping[float, Trial], days: float) -> str:
    """What was tried, chosen, and what that delivered, in one sentence."""
    choices = []
    for asked, trial in chosen.items():
        why = "the cheapest that delivered it" if trial.delivered >= asked else "none delivered it, this one most"
        choices.append(
            f"for {asked:g} {trial.target:g}, {why}: {trial.delivered:.2%} with {trial.gpu_hours:,.1f} GPU-hours"
        )
    return (
        f"{TUNED}: on running and waiting requests, with the HPA's defaults; of targets of "
        f"{', '.join(f'{trial.target:g}' for trial in trials)} a replica (down from the batch that meets the TPOT with "
        f"the mean request), each run over the {days:.2f} days before the judged part, were taken "
        f"{'; '.join(choices)} (--hpa-manifest takes yours, --hpa another)"
    )
