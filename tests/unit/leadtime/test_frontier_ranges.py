"""Where the frontier searches: every policy, its own fields, the same number of settings."""

from itertools import islice

import pytest

from leadtime.frontier_ranges import RANGES, UNITS, settings
from policies.capacity.profile import profile_named
from policies.entry import parameters
from policies.registry import ENTRIES, configured

SCALES = {"batch": 16.0, "peak": 60.0, "lead": 300.0, "ttft": 2.0, "tpot": 0.075, "prefill": 9_000.0, "kv": 80_000.0}
FITTING = {
    "profile": profile_named("llama-3.1-8b-fp8-l4"),
    "tpot_seconds": 0.075,
    "ttft_seconds": 2.0,
    "max_replicas": 240,
    "min_replicas": 1,
}


def test_every_policy_is_searched() -> None:
    assert RANGES.keys() == ENTRIES.keys()
    assert SCALES.keys() == set(UNITS) - {""}


@pytest.mark.parametrize("name", RANGES)
def test_the_knob_is_searched_and_every_field_is_the_policys(name: str) -> None:
    searched = {each.field for each in RANGES[name]}
    assert searched <= {each.name for each in parameters(ENTRIES[name])}
    assert ENTRIES[name].knob in searched


@pytest.mark.parametrize("name", RANGES)
def test_thirty_different_settings_are_accepted(name: str) -> None:
    found = list(settings(name, 30, SCALES))
    assert len({tuple(each.values()) for each in found}) == 30
    for each in found:
        assert configured(name, each, FITTING).queries is not None


def test_more_settings_add_to_those_that_there_are() -> None:
    assert list(islice(settings("hpa-queue", 50, SCALES), 20)) == list(settings("hpa-queue", 20, SCALES))
