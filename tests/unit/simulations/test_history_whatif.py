"""What a report on a service's past says: runs by hand, why a quarter-hour was missed, bounds, and drift noticed."""

from dataclasses import replace

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from simulations.counts.run import CountRun, CountWorld, count_run, planned_run
from simulations.counts.serving_curve import serving_curve
from simulations.history.bounds import Bounds, recorded_run
from simulations.history.decision_log import Logged, logged
from simulations.history.minutes import History, counts_of
from simulations.history.need import largest_rise, need_for
from simulations.history.outcome import Outcome, ages_of, days_of, largest_missed, last_until, numbers_at
from simulations.history.samples import Grid
from simulations.history.whatif import Question, answer, check_first_bin, default_first_bin
from simulations.history.worst import worst_quarter_hours
from simulations.lead_time import LeadTime
from simulations.slo import SLO

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
DAY = 5_760
START = 1_700_006_400  # a midnight, UTC
LEAD = LeadTime(start_median_seconds=150.0, load_median_seconds=150.0)


def world_of(requests_per_second, *, prompt=500.0, output=200.0, initial=6):
    """Rates, prompts and outputs of each minute."""
    minutes = len(requests_per_second)
    history = History(
        name="x",
        grid=Grid(START, minutes),
        requests=60.0 * np.asarray(requests_per_second, float),
        prompt_tokens=np.broadcast_to(np.asarray(prompt, float), minutes),
        output_tokens=np.broadcast_to(np.asarray(output, float), minutes),
        known=np.ones(minutes, bool),
    )
    counts, slo = counts_of(history), SLO(ttft_seconds=2.0, tpot_seconds=0.075)
    curve = serving_curve(counts, PROFILE, slo)
    return CountWorld(counts=counts, profile=PROFILE, slo=slo, curve=curve, lead_time=LEAD, initial_replicas=initial)


def leadtime(asked=0.99, **changes):
    return predictive_policy(
        PredictiveSpec(profile=PROFILE, tpot_seconds=0.075, attainment=asked, max_replicas=60, **changes)
    )


@pytest.fixture(scope="module")
def steady():
    """Two hours at 12 requests/s."""
    return world_of([12.0] * 120)


def test_steady_need_is_what_delivers(steady):
    """A fleet of the need, rounded up, delivers what was asked; two replicas fewer do not."""
    need = need_for(steady, 0.95)
    replicas = int(np.ceil(need.replicas.max()))
    for count, is_enough in ((replicas, True), (int(need.replicas.mean()) - 2, False)):
        run = planned_run(replace(steady, initial_replicas=count), np.full(steady.counts.bins, count))
        assert (run.figures().attainment >= 0.95) is is_enough


def test_what_cannot_be_had_is_told(steady):
    """No server decodes faster than its empty batch; the need is then that of the lightest load known."""
    hard = replace(steady, curve=replace(steady.curve, attainment=np.minimum(steady.curve.attainment, 0.9)))
    assert need_for(hard, 0.99).attainable == pytest.approx(0.9)
    assert np.isfinite(need_for(hard, 0.99).replicas).all()


def test_bounds_deliver_what_was_asked_and_one_replica_fewer_does_not(steady):
    """The constant one is the fewest; the clairvoyant is no dearer."""
    bounds = Bounds(steady)
    static, plan = bounds.cheapest_static(0.95), bounds.cheapest_clairvoyant(0.95)
    fewer = int(static.replicas[0]) - 1
    less = planned_run(replace(steady, initial_replicas=fewer), np.full(steady.counts.bins, fewer))
    assert static.figures().attainment >= 0.95 > less.figures().attainment
    assert plan.figures().attainment >= 0.95
    assert plan.figures().gpu_hours <= static.figures().gpu_hours + 1e-9


def test_what_ran_is_as_recorded_and_pays_its_starts(steady):
    """Ready when recorded; minutes without a sample are as the one before; each start costs a lead time."""
    ready = np.full(120, 5.0)
    ready[30:60] = np.nan
    ready[60:] = 7.0
    run = recorded_run(steady, ready, 300.0)
    assert run.ready_replicas[[0, 150, 239, 241, 400]].tolist() == [5, 5, 5, 7, 7]
    drained = planned_run(replace(steady, initial_replicas=5), np.full(steady.counts.bins, 5)).gpu_seconds.sum()
    assert run.gpu_seconds.sum() == pytest.approx(drained + 2 * 3_600 + 2 * 300, rel=1e-6)


def made_run(requests, good, *, replicas, ready, waiting=0.0):
    """A run by hand, bin by bin."""
    bins = len(requests)
    return CountRun(
        policy="x",
        requests=np.asarray(requests, float),
        good=np.asarray(good, float),
        gpu_seconds=np.full(bins, 15.0),
        replicas=np.broadcast_to(replicas, bins).astype(np.int64),
        ready_replicas=np.broadcast_to(ready, bins).astype(np.int64),
        waiting=np.broadcast_to(waiting, bins).astype(float),
        rescales=np.zeros(bins, np.int64),
    )


def stepped(before, after):
    """Of 120 bins, from bin 80 on another."""
    return np.where(np.arange(120) < 80, before, after)


@pytest.mark.parametrize(
    ("need", "replicas", "ready", "waiting", "why"),
    [
        pytest.param(stepped(4, 9), stepped(4, 10), 4, 0, "the others are still starting", id="a-lead-time-late"),
        pytest.param(stepped(4, 9), 5, 5, 0, "still asks for too few", id="too-few"),
        pytest.param(stepped(4, 9), 10, 4, 0, "took longer than the median", id="slow-pods"),
        pytest.param(stepped(4, 30), 20, 20, 0, "maxReplicas of 20 was reached; 30.0 were needed", id="held"),
        pytest.param(stepped(4, 9), 12, 12, 50, "50 requests of before were still waiting", id="a-backlog"),
        pytest.param(stepped(4, 9), 9, 9, 0, "about the 9.0 needed", id="by-their-size"),
    ],
)
def test_why_a_quarter_hour_was_missed(need, replicas, ready, waiting, why):
    """The bin with most misses is 85; a lead time before it is bin 65."""
    good = np.full(120, 10.0)
    good[85] = 2.0
    log = [
        Logged(at_seconds=START + 15.0 * k, replicas=4, desired_replicas=4, message=f"sentence {k}", numbers={})
        for k in range(120)
    ]
    run = made_run(np.full(120, 10.0), good, replicas=replicas, ready=ready, waiting=waiting)
    outcome = Outcome(asked=0.99, run=run, start_bin=0, known=np.ones(120, bool), log=log)
    (row,) = worst_quarter_hours(outcome, need.astype(float), START * 10**9, 60, lead_seconds=300.0, max_replicas=20)
    assert (row.at_seconds, row.worst_seconds) == (START + 60 * 15, START + 85 * 15)
    assert (row.requests, row.missed) == (600.0, 8.0)
    assert row.decision == "sentence 86"
    assert why in row.why


def test_minutes_that_are_not_known_are_not_judged():
    """Neither counted nor listed."""
    good = np.full(120, 10.0)
    good[85] = 0.0
    known = np.ones(120, bool)
    known[80:90] = False
    outcome = Outcome(asked=0.99, run=made_run(np.full(120, 10.0), good, replicas=4, ready=4), start_bin=0, known=known)
    total = outcome.part(60, 120)
    assert (total.requests, total.delivered, total.violations) == (500.0, 1.0, 0.0)
    assert total.gpu_hours == pytest.approx(50 * 15 / 3_600)
    assert worst_quarter_hours(outcome, np.full(120, 5.0), 0, 60, lead_seconds=300.0, max_replicas=20) == []
    assert largest_missed(outcome, np.full(120, 5.0), 0, 300.0, 60) is None


def test_the_largest_jump_missed():
    """Of the bins with misses, where the need rose most within a lead time; a part's run begins where it begins."""
    need = np.concatenate([np.full(90, 4.0), np.full(10, 7.0), np.full(20, 12.0)])
    good = np.full(60, 10.0)
    good[[32, 55]] = 5.0
    outcome = Outcome(
        asked=None,
        run=made_run(np.full(60, 10.0), good, replicas=4, ready=4),
        start_bin=60,
        known=np.ones(120, bool),
    )
    jump = largest_missed(outcome, need, 0, 300.0, 60)
    assert (jump.at_seconds, jump.replicas) == (115 * 15, 5.0)
    assert largest_rise(need, 30)[[0, 95, 105]].tolist() == [0.0, 3.0, 8.0]


def test_calendar_days_and_ages_cover_every_bin_once():
    """From an evening on; the last age has no end."""
    days = days_of((START + 20 * 3_600) * 10**9, 9 * DAY)
    assert [day.end_bin - day.first_bin for day in days] == [960, *[DAY] * 8, DAY - 960]
    assert days[1].name == "Thu 2023-11-16"
    ages = ages_of(9 * DAY)
    for spans in (days, ages):
        edges = [0, *(span.end_bin for span in spans)]
        assert [span.first_bin for span in spans] == edges[:-1]
        assert edges[-1] == 9 * DAY
    assert [age.name for age in ages_of(DAY // 2)] == ["first 6 hours", "6 to 24 hours"]


@pytest.mark.parametrize(("days", "first"), [(14, 7 * DAY), (20, 13 * DAY), (10, 5 * DAY), (1, DAY // 2)])
def test_what_is_judged(days, first):
    """The last week of two or more, else the second half."""
    assert default_first_bin(days * DAY) == first


@pytest.mark.parametrize("first", [-5, 0, 59, DAY - 59, DAY + 1])
def test_a_part_that_leaves_nothing_is_refused(first):
    with pytest.raises(BadInput, match=r"judge-days: was .*, must be in \[0.0104, 0.99\] for x"):
        check_first_bin(first, DAY, "x")


def test_a_log_changes_no_decision(steady):
    """The recording policy decides as the policy does, and keeps every sentence."""
    policy, log = logged(leadtime())
    run, plain = count_run(steady, policy), count_run(steady, leadtime())
    assert run.replicas.tolist() == plain.replicas.tolist()
    assert len(log) == 480
    assert last_until(log, START - 1.0) is None
    assert last_until(log, START + 3_600.0).at_seconds == pytest.approx(START + 3_590)
    assert "needed" in log[-1].message


def test_an_answer_has_every_rival_and_an_empty_part_is_refused(steady):
    """leadtime, what ran, the HPA's place, static and clairvoyant; the first judged bin is the same for all."""
    question = Question(
        world=steady,
        own={0.95: leadtime(0.95)},
        rivals=[],
        first_bin=240,
        known=np.ones(480, bool),
        max_replicas=60,
        ready_replicas=np.full(120, 8.0),
    )
    found = answer(question)
    assert [each.policy.partition(",")[0] for each in found.outcomes] == [
        "leadtime",
        "what ran",
        "static",
        "clairvoyant",
    ]
    assert len({round(each.part(240, 480).requests) for each in found.outcomes}) == 1
    with pytest.raises(BadInput, match="no known request in the judged part"):
        answer(replace(question, known=np.arange(480) < 240))


@pytest.mark.parametrize(
    ("rates", "outputs", "noticed"),
    [
        pytest.param([10.0] * 120 + [20.0] * 120, 200.0, {"margin": 1.0}, id="traffic-doubles"),
        pytest.param([10.0] * 240, [200.0] * 120 + [450.0] * 120, {"margin": 1.0}, id="the-mix-changes"),
    ],
)
def test_drift_is_noticed(rates, outputs, noticed):
    """Within an hour the decision's own numbers have grown by at least these factors, and so has what it asks for."""
    world = world_of(rates, output=outputs)
    policy, log = logged(leadtime())
    count_run(world, policy)
    before, after = (numbers_at(log, START + 60.0 * minute) for minute in (119, 180))
    for name, factor in noticed.items():
        assert after[name] > factor * before[name], f"{name}: {before[name]} -> {after[name]}"
    assert after["needed_replicas"] >= 1.5 * before["needed_replicas"]
