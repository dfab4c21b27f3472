"""Servers' counters -> what arrived: also while a queue grows, a server restarts, starts, ends, or is not scraped."""

from collections import Counter

import numpy as np
import pytest

from autoscaler.observe.demand_rules import SERVER_RULES
from policies.errors import BadInput
from simulations.history import samples
from simulations.history.minutes import History, check_history, counts_of
from simulations.history.samples import Grid, clean
from simulations.history.server_counters import arrivals, by_series
from simulations.history.servers_and_pods import lead_time_from
from simulations.history.service import SERVERS, Service

GRID = Grid(0.0, 6)


def server(values):
    """One sample a minute; None is none."""
    pairs = [(60 * place, value) for place, value in enumerate(values) if value is not None]
    return {("pod=a",): clean(pairs, Counter())}


@pytest.mark.parametrize(
    ("answered", "running", "waiting", "arrived"),
    [
        pytest.param([0, 6, 12, 18, 24, 30, 36], [3] * 7, [0] * 7, [6] * 6, id="steady"),
        pytest.param([0, 6, 6, 6, 6, 6, 6], [3] * 7, [0, 0, 5, 10, 15, 15, 15], [6, 5, 5, 5, 0, 0], id="a-queue-grows"),
        pytest.param([0, 6, 12, 0, 6, 12, 18], [3, 3, 3, 2, 2, 2, 2], [0] * 7, [6, 6, 2, 6, 6, 6], id="it-restarts"),
        pytest.param([None, None, 0, 5, 10, 15, 20], [4] * 7, [0] * 7, [0, 4, 5, 5, 5, 5], id="it-starts"),
        pytest.param([0, 6, 12, 18, 24, None, None], [3] * 7, [0] * 7, [6, 6, 6, 6, 0, 0], id="it-ends"),
        pytest.param([0, 6, None, None, 24, 30, 36], [3] * 7, [0] * 7, [6] * 6, id="it-is-not-scraped"),
    ],
)
def test_arrivals_are_what_is_answered_running_and_waiting_more(answered, running, waiting, arrived):
    """An idle server beside it is scraped all the time, so that no minute is unknown."""
    idle = {("pod=b",): clean([(60 * k, 0) for k in range(7)], Counter())}
    requests, known = arrivals({**server(answered), **idle}, server(running), server(waiting), GRID, Counter())
    assert known.all()
    assert requests.tolist() == pytest.approx(arrived)


def test_servers_add_up_and_a_missing_one_is_no_gap():
    """Minutes are known while any server is scraped."""
    answered = {
        ("pod=a",): clean([(60 * k, 10 * k) for k in range(7)], Counter()),
        ("pod=b",): clean([(60 * k, 3 * k) for k in range(3)], Counter()),
    }
    requests, known = arrivals(answered, {}, {}, GRID, Counter())
    assert known.all()
    assert requests.tolist() == pytest.approx([13, 13, 10, 10, 10, 10])


def test_parts_of_one_series_are_joined_by_their_labels():
    """A long span is asked for in several queries."""
    answer = [
        {"metric": {"pod": "a"}, "values": [[0, "1"], [60, "2"]]},
        {"metric": {"pod": "b"}, "values": [[0, "7"]]},
        {"metric": {"pod": "a"}, "values": [[120, "3"]]},
        {"metric": {"pod": "empty"}, "values": []},
    ]
    found = by_series(answer, Counter())
    assert {key: value.values.tolist() for key, value in found.items()} == {("pod=a",): [1, 2, 3], ("pod=b",): [7]}


@pytest.mark.parametrize(
    ("service", "query"),
    [
        pytest.param(
            Service(url="x", deployment=("llm", "m")),
            'sum(kube_deployment_status_replicas_ready{namespace="llm",deployment="m"})',
            id="the-deployments-own-count",
        ),
        pytest.param(Service(url="x", replicas_query="q"), "q", id="as-given"),
        pytest.param(
            Service(url="x", selector='a="b"'),
            'count(sum by (namespace, pod, instance) (vllm:num_requests_running{a="b"}))',
            id="servers",
        ),
    ],
)
def test_where_what_ran_is_read(service, query):
    assert service.ready_query()[0] == query


@pytest.mark.parametrize(
    ("server", "running"),
    [
        pytest.param("vllm", "sum by (namespace, pod, instance) (vllm:num_requests_running{})", id="engines-add-up"),
        pytest.param(
            "sglang",
            "sum by (namespace, pod, instance) "
            "(max by (namespace, pod, instance, dp_rank) (sglang:num_running_reqs{}))",
            id="data-parallel-ranks-add-up-others-repeat-each-other",
        ),
        pytest.param("tgi", "sum by (namespace, pod, instance) (tgi_batch_current_size{})", id="one-series"),
    ],
)
def test_running_requests_of_a_server_are_counted_once(server, running):
    service = Service(url="x", server=server)
    assert service.gauge_by_server(service.names.running) == running


def test_every_server_counts_by_the_names_of_the_controllers_own_rules():
    for server, rules in zip(SERVERS, SERVER_RULES, strict=True):
        names = SERVERS[server]
        own = (names.running, names.waiting, names.answered, names.prompt_tokens, names.output_tokens)
        assert own == tuple(rule.name for rule in rules.values())


def history(requests, **changes):
    minutes = len(requests)
    return History(
        **{
            "name": "x",
            "grid": Grid(600.0, minutes),
            "requests": np.asarray(requests, float),
            "prompt_tokens": np.full(minutes, 500.0),
            "output_tokens": np.full(minutes, 100.0),
            "known": np.ones(minutes, bool),
            **changes,
        }
    )


def test_every_minutes_requests_and_tokens_are_kept():
    """Four bins a minute hold its requests; tokens are at its means, squares those of a lognormal."""
    rng = np.random.default_rng(5)
    requests = rng.poisson(40.0, 300)
    requests[100:110] = 0
    counts = counts_of(history(requests))
    assert counts.requests.reshape(-1, 4).sum(axis=1).tolist() == requests.tolist()
    assert counts.prompt_tokens.sum() == pytest.approx(500 * requests.sum())
    assert counts.prompt_token_squares.sum() == pytest.approx(2 * 500**2 * requests.sum())
    assert counts.sample_prompts.mean() == pytest.approx(500, rel=0.05)
    assert counts.start_ns == 600 * 10**9


def test_bins_fluctuate_as_arrivals_do():
    """A Poisson stream's bins have the variance of their mean; nothing is drawn twice."""
    requests = np.random.default_rng(6).poisson(400.0, 2_000)
    bins = counts_of(history(requests)).requests
    assert bins.var() / bins.mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"requests": np.ones(5)}, "has 5 whole minutes, must have at least 120", id="short"),
        pytest.param({"requests": np.zeros(200)}, "has no request at all", id="all-zeros"),
        pytest.param({"known": np.arange(200) < 80}, "60% is in gaps, must be at most 50%", id="gaps"),
    ],
)
def test_what_cannot_be_judged_is_named(changed, message):
    requests = changed.pop("requests", np.ones(200))
    with pytest.raises(BadInput, match=message):
        check_history(history(requests, **changed))


def test_a_slip_is_told_with_its_time():
    """Nothing is corrected: it may be real."""
    (said,) = history([10.0] * 120 + [600.0] * 120).warnings()
    assert "about 1970-01-01 02:10 UTC demand became 60 times what it was" in said


def test_lead_times_of_few_pods_are_not_learned():
    """Median and spread of three or more."""
    assert lead_time_from([200.0, 210.0]) is None
    median, sigma = lead_time_from(200.0 * np.exp(0.2 * np.random.default_rng(1).standard_normal(4_000)))
    assert median == pytest.approx(200.0, rel=0.02)
    assert sigma == pytest.approx(0.2 * np.sqrt(2.0), rel=0.05)
    assert lead_time_from([120.0] * 5) == (pytest.approx(120.0), 0.0)


def test_requests_that_leave_unanswered_are_no_arrivals():
    """A minute in which more left than came counts 0, and is counted."""
    repairs = Counter()
    requests, _ = arrivals(server([0] * 7), server([9, 3, 3, 3, 3, 3, 3]), {}, GRID, repairs)
    assert requests.tolist() == [0.0] * 6
    assert repairs[samples.LEFT] == 1
