"""The HPA's target: the cheapest of the grid that delivered in the days before, which alone are looked at."""

from dataclasses import replace

import numpy as np
import pytest

from leadtime.whatif_policies import TUNED, hpa_tuned
from policies.capacity.profile import PROFILES
from policies.capacity.sustained import sustained_batch
from simulations.counts.run import CountWorld
from simulations.counts.serving_curve import serving_curve
from simulations.history.minutes import History, counts_of
from simulations.history.samples import Grid
from simulations.history.tuned import GRID, Trial, best, targets_for, tuning_bins
from simulations.history.whatif import Question, answer
from simulations.lead_time import LeadTime
from simulations.slo import SLO

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
DAY = 5_760
MINUTES, FIRST_BIN = 120, 360
REPLICAS = (1, 40)
ASKED = [0.5, 0.95, 0.999]
KNOWN = np.ones(4 * MINUTES, bool)


@pytest.fixture(scope="module")
def world():
    """Two hours of waves, the last half-hour of which is judged."""
    history = History(
        name="x",
        grid=Grid(1_700_006_400, MINUTES),
        requests=60.0 * (8.0 + 4.0 * np.sin(np.arange(MINUTES) / 45 * np.pi)),
        prompt_tokens=np.full(MINUTES, 500.0),
        output_tokens=np.full(MINUTES, 200.0),
        known=np.ones(MINUTES, bool),
    )
    counts, slo = counts_of(history), SLO(ttft_seconds=2.0, tpot_seconds=0.075)
    return CountWorld(
        counts=counts,
        profile=PROFILE,
        slo=slo,
        curve=serving_curve(counts, PROFILE, slo),
        lead_time=LeadTime(start_median_seconds=60.0, load_median_seconds=60.0),
    )


@pytest.fixture(scope="module")
def beside(world):
    return hpa_tuned(ASKED, world, FIRST_BIN, KNOWN, REPLICAS, lambda _what, _share: None)


@pytest.mark.parametrize(
    ("trials", "target"),
    [
        pytest.param([(5, 0.999, 20), (8, 0.96, 12), (12, 0.90, 8)], 8, id="the-cheapest-that-delivered"),
        pytest.param([(5, 0.999, 20), (8, 0.95, 12), (12, 0.90, 8)], 8, id="exactly-what-was-asked-is-enough"),
        pytest.param([(5, 0.97, 11), (8, 0.999, 12), (12, 0.90, 8)], 5, id="more-than-asked-counts-nothing"),
        pytest.param([(5, 0.94, 20), (8, 0.93, 12), (12, 0.90, 8)], 5, id="none-delivered-so-the-most"),
        pytest.param([(5, 0.94, 20), (8, 0.94, 12)], 8, id="of-equals-the-cheaper"),
    ],
)
def test_which_target_is_taken(trials, target):
    tried = [Trial(target=each, delivered=delivered, gpu_hours=hours) for each, delivered, hours in trials]
    assert best(tried, 0.95).target == target


def test_targets_are_a_geometric_grid_of_the_batch(world):
    """The sixth is a quarter of what meets the TPOT with the mean request; what is printed is what is run."""
    targets = targets_for(world.counts, PROFILE, 0.075)
    batch = sustained_batch(PROFILE, prompt_tokens=500.0, output_tokens=200.0, tpot_seconds=0.075)
    assert (targets[0], targets[GRID - 1]) == pytest.approx((batch, batch / 4), rel=0.005)
    assert np.diff(np.log(targets)) == pytest.approx(-np.log(4) / 5, abs=0.01)
    assert [float(f"{target:g}") for target in targets] == targets


@pytest.mark.parametrize(("first", "bins"), [(DAY, (0, DAY)), (7 * DAY, (4 * DAY, 7 * DAY))])
def test_what_it_is_tuned_on(first, bins):
    """Three days at most, up to the judged part."""
    assert tuning_bins(first) == bins


def test_each_attainment_has_its_own_target(beside):
    """Six are enough here. A policy each; the stricter, the lower its target and the dearer."""
    taken = [best(beside.trials, asked) for asked in ASKED]
    assert len(beside.trials) == GRID
    targets = [policy.spec.metrics[0].average_value_milli / 1_000 for _, policy in beside.rivals]
    assert [asked for asked, _ in beside.rivals] == ASKED
    assert {policy.name for _, policy in beside.rivals} == {TUNED}
    assert targets == pytest.approx([trial.target for trial in taken])
    assert targets[0] > targets[1] > targets[2]
    assert taken[0].gpu_hours < taken[1].gpu_hours < taken[2].gpu_hours
    for asked, trial in zip(ASKED, taken, strict=True):
        said = f"for {asked:g} {trial.target:g}, the cheapest that delivered it: {trial.delivered:.2%} with"
        assert trial.delivered >= asked
        assert said in beside.said


def test_that_none_delivered_is_said(world):
    """Of three replicas at most: lower targets are tried as well, and the one that comes closest is taken."""
    found = hpa_tuned([0.95], world, FIRST_BIN, KNOWN, (1, 3), lambda _what, _share: None)
    most = max(trial.delivered for trial in found.trials)
    assert [trial.target for trial in found.trials] == targets_for(world.counts.part(0, FIRST_BIN), PROFILE, 0.075)
    assert len(found.trials) > GRID
    assert most < 0.95
    assert f", none delivered it, this one most: {most:.2%} with " in found.said


def test_nothing_of_the_judged_part_is_seen(world, beside):
    """Three times the demand there changes no trial, and no target."""
    later = np.arange(world.counts.bins) >= FIRST_BIN
    counts = replace(
        world.counts,
        **{
            name: getattr(world.counts, name) * np.where(later, 3.0, 1.0)
            for name in ("requests", "prompt_tokens", "output_tokens", "prompt_token_squares", "kv_token_steps")
        },
    )
    other = hpa_tuned([0.95], replace(world, counts=counts), FIRST_BIN, KNOWN, REPLICAS, lambda _what, _share: None)
    assert other.trials == beside.trials


def test_days_of_which_nothing_is_known_tune_nothing(world):
    """A quarter of the batch is taken, and it is said."""
    known = np.arange(world.counts.bins) >= FIRST_BIN
    found = hpa_tuned([0.95], world, FIRST_BIN, known, REPLICAS, lambda _what, _share: None)
    ((_, policy),) = found.rivals
    target = targets_for(world.counts.part(0, FIRST_BIN), PROFILE, 0.075)[GRID - 1]
    assert not found.trials
    assert policy.spec.metrics[0].average_value_milli == round(1_000 * target)
    assert found.said.startswith("HPA, tuned: not tuned, as no request is known just before the judged part")


def test_a_target_for_two_attainments_is_run_once(world, beside):
    """Each has its row; progress is told of one run."""
    told = set()
    policy = beside.rivals[0][1]
    question = Question(
        world=world,
        own={},
        rivals=[(0.9, policy), (0.95, policy)],
        first_bin=FIRST_BIN,
        known=KNOWN,
        max_replicas=REPLICAS[1],
    )
    found = answer(question, lambda what, _share: told.add(what))
    assert [each.asked for each in found.outcomes] == [0.9, 0.95]
    assert found.outcomes[0].run is found.outcomes[1].run
    assert told == {"HPA, tuned, 0.9 asked"}
